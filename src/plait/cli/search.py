"""`plait search`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from plait.cli.shared import cache_argument, code_argument, outside_argument, say

if TYPE_CHECKING:
    from plait.prediction.search import Searcher

HELP = "find what belongs to a text, a file, or both"
ORDER = 85
EXAMPLES = (
    'plait search runs/captions "a dog on the beach"',
    "plait search runs/captions photo.jpg -k 5 --json",
    'plait search runs/captions "throws" throw.npy --segment 2 4',
    "plait search runs/captions photo.jpg --class dog --class child",
)


def arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("run_folder", metavar="RUN", help="a run of task retrieve")
    p.add_argument("query", nargs="+", help="a text, files or folders, or both: together they are one query")
    p.add_argument("--index", help="the folder that plait index made (default: RUN/index)")
    p.add_argument("-k", type=int, default=10, help="how many to find (default: 10)")
    p.add_argument("--as", dest="modality", default="", metavar="MODALITY",
                   help="which modality the text is, if the model has several of texts")  # fmt: skip
    p.add_argument("--segment", nargs=2, type=float, action="append", default=[], metavar=("START", "STOP"),
                   help="seconds of the files that ask; may be repeated")  # fmt: skip
    p.add_argument("--exact", action="store_true", default=None, help="compare every row, also if there are lists")
    p.add_argument("--class", dest="classes", action="append", default=[], metavar="TEXT",
                   help="instead of searching: which of these texts the files are (two or more)")  # fmt: skip
    p.add_argument("--replicate", help="which of the run's models, such as seed0 (default: the first)")
    code_argument(p)
    outside_argument(p)
    cache_argument(p)


def run(args: argparse.Namespace) -> int:
    """Embed a query, and print the rows of an index that are most like it, with their moments."""
    from plait.core.errors import DataError

    files = [part for part in args.query if Path(part).exists()]
    texts = [part for part in args.query if part not in files]
    lost = [text for text in texts if "/" in text and " " not in text]
    if lost:
        raise DataError(f"{lost[0]}: no such file. Correct the path; a text is written without /.")
    own, segments = searcher(args), [(a, b) for a, b in args.segment]
    if args.classes:
        if texts:
            raise DataError(f"--class: {texts[0]!r} is a text; expected files, which the classes are told of.")
        found = own.classify(files, {c: [c] for c in args.classes}, modality=args.modality, segments=segments)
    else:
        index = own.open(args.index or Path(args.run_folder) / "index")
        asked = {"text": " ".join(texts), "paths": files, "segments": segments, "modality": args.modality}
        found = own.search(index, **asked, k=args.k, exact=args.exact)
    say(args, {"searches": [one.to_json() for one in found]}, list(map(str, found)))
    return 0


def searcher(args: argparse.Namespace) -> Searcher:
    """The searcher of a run."""
    from plait.prediction.predict import Predictor
    from plait.prediction.search import Searcher

    allowed = {"allow_code": args.allow_code, "allow_outside": args.allow_outside}
    return Searcher(Predictor(args.run_folder, cache=args.cache, replicate=args.replicate, **allowed))
