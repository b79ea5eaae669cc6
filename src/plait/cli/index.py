"""`plait index`."""

from __future__ import annotations

import argparse
from pathlib import Path

from plait.cli.shared import cache_argument, code_argument, outside_argument, say

HELP = "make an index of a corpus, to be searched"
ORDER = 84
EXAMPLES = (
    "plait index runs/captions study/manifest.jsonl",
    "plait index runs/captions new/ --of picture --out new.index --approximate",
)


def arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("run_folder", metavar="RUN", help="a run of task retrieve")
    p.add_argument("corpus", nargs="+", metavar="CORPUS", help="a manifest, or raw files and folders of recordings")
    p.add_argument("--out", help="the index's folder (default: RUN/index)")
    p.add_argument("--of", action="append", default=[], metavar="MODALITY",
                   help="a modality that is searched; may be repeated (default: the recipe's gallery)")  # fmt: skip
    p.add_argument("--segment", nargs=2, type=float, action="append", default=[], metavar=("START", "STOP"),
                   help="seconds of every recording to put in; may be repeated")  # fmt: skip
    p.add_argument("--approximate", action="store_true", default=None,
                   help="also lists for quick search, by faiss (default: for more than 20,000 rows)")  # fmt: skip
    p.add_argument("--exact", dest="approximate", action="store_false", help="no lists")
    p.add_argument("--threads", type=int, default=1, help="of the processor, for the lists (default: 1)")
    p.add_argument("--replicate", help="which of the run's models, such as seed0 (default: the first)")
    code_argument(p)
    outside_argument(p)
    cache_argument(p)


def run(args: argparse.Namespace) -> int:
    """Embed every example of a corpus, and write the vectors to be searched."""
    from plait.cli.search import searcher

    out = args.out or str(Path(args.run_folder) / "index")
    segments = [(a, b) for a, b in args.segment]
    options = {"of": args.of, "approximate": args.approximate, "threads": args.threads}
    made = searcher(args).index(args.corpus, out, segments=segments, **options)
    say(args, vars(made), [str(made)])
    return 0
