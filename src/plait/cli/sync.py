"""`plait sync`."""

from __future__ import annotations

import argparse
from pathlib import Path

from plait.cli.shared import cache_argument, code_argument, outside_argument, progress_bar, say

HELP = "estimate and correct clocks that disagree"
ORDER = 40
EXAMPLES = ("plait sync study/manifest.jsonl --plot pictures", "plait sync study/manifest.jsonl --reference audio")


def arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("manifest", help="the manifest whose clocks disagree")
    p.add_argument("--out", help="the manifest to write (default: NAME.synced.jsonl beside it)")
    which = "stream(s) whose device is the reference clock (default: the most frequent), or 'joint': the best one per"
    p.add_argument("--reference", nargs="*", help=f"{which} recording")
    p.add_argument(
        "--tolerance",
        type=float,
        default=0.010,
        metavar="SECONDS",
        help="flag a corrected clock that is less certain than this (default: %(default)s)",
    )
    p.add_argument("--plot", metavar="DIR", help="draw lag over time, and the streams before and after, as PNG files")
    code_argument(p, gated=True)
    outside_argument(p)
    cache_argument(p)


def run(args: argparse.Namespace) -> int:
    """Estimate offset and drift between devices from their signals; write corrected clocks to a new manifest."""
    from plait.clocks import synchronise, write_synced
    from plait.corpus.corpus import Corpus

    corpus = Corpus(args.manifest, allow_outside=args.allow_outside)
    with progress_bar(args, "sync") as progress:
        report = synchronise(
            corpus,
            reference=args.reference,
            tolerance=args.tolerance,
            progress=progress,
            workers=args.jobs,
            plot=args.plot or None,
        )
    out = Path(args.out) if args.out else corpus.path.with_suffix(".synced.jsonl")
    write_synced(corpus, report, out)
    pictures = [f"pictures in {args.plot}"] if args.plot else []
    say(args, {"manifest": str(out), **report.to_json()}, [*report.lines(), f"wrote {out}", *pictures])
    return 0
