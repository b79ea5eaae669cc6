"""`plait demo`."""

from __future__ import annotations

import argparse

from plait.cli.shared import jobs_argument, print_json, progress_bar, say

HELP = "run the whole pipeline on a small synthetic corpus of media files"
ORDER = 10
EXAMPLES = ("plait demo", "plait demo --out world --recordings 12 --raw")


def arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("--out", default="demo", help="folder for corpus, run and report (default: demo)")
    p.add_argument("--seed", type=int, default=0)
    jobs_argument(p, 2)
    p.add_argument("--recordings", type=int, default=60)
    p.add_argument("--raw", action="store_true", help="make the recordings only, in OUT itself")
    p.add_argument("--epochs", type=int, help="of training (default: the recipe's)")


def run(args: argparse.Namespace) -> int:
    """Make a small corpus of media files whose clocks disagree; import, check, sync, fit and evaluate it."""
    from plait.demo.demo import demo
    from plait.demo.synth import make_world

    if args.raw:
        with progress_bar(args, "make") as progress:
            make_world(args.out, recordings=args.recordings, seed=args.seed, workers=args.jobs, progress=progress)
        say(args, {"folder": args.out}, [f"wrote {args.out}", f"next: plait import {args.out}"])
        return 0
    result = demo(
        args.out,
        seed=args.seed,
        jobs=args.jobs,
        recordings=args.recordings,
        epochs=args.epochs,
        quiet=args.json,
    )
    if args.json:
        print_json(result)
    return 0
