"""`plait view`."""

from __future__ import annotations

import argparse
from pathlib import Path

from plait.cli.shared import code_argument, outside_argument, progress_bar, say

HELP = "show a recording with all its streams"
ORDER = 86
EXAMPLES = ("plait view study/manifest.jsonl talk01", "plait view study/manifest.jsonl talk01 --save talk01.rrd")


def arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("manifest", help="the manifest")
    p.add_argument("recording", nargs="?", help="its id (default: the first)")
    p.add_argument("--save", metavar="FILE", help="write a .rrd file instead of opening the viewer")
    p.add_argument("--rate", type=float, default=5.0, help="pictures per second (default: 5)")
    code_argument(p, gated=True)
    outside_argument(p)


def run(args: argparse.Namespace) -> int:
    """Show a recording's streams on one time line in rerun, or write them to a file for it."""
    from plait.corpus.corpus import Corpus
    from plait.interchange.viewer import view

    corpus = Corpus(args.manifest, allow_outside=args.allow_outside)
    recording = corpus[args.recording or corpus.ids[0]]
    with progress_bar(args, "view") as progress:
        shown = view(recording, save=args.save, rate=args.rate, progress=progress)
    lines = [f"  {name}: {count} entries" for name, count in shown.items()]
    where = [f"wrote {Path(args.save)}; open it with: rerun {args.save}"] if args.save else []
    say(args, {"recording": recording.id, "entries": shown, "saved": args.save}, [*lines, *where])
    return 0
