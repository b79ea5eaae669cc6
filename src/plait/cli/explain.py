"""`plait explain`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from plait.cli import evaluate
from plait.cli.shared import progress_bar, say

if TYPE_CHECKING:
    from plait.evaluation.explanation.neighbours import TrainingItems
    from plait.training.run import Run

HELP = "show on what a run's answers rest: over its test part, or for files of yours"
ORDER = 72
EXAMPLES = ("plait explain runs/mood", "plait explain runs/mood talk.mp4 --draw evidence")


def arguments(p: argparse.ArgumentParser) -> None:
    evaluate.arguments(p)
    p.add_argument(
        "files", nargs="*", help="raw files, folders or a manifest: their answers, with the evidence in time"
    )
    p.add_argument(
        "--method", default="occlusion", help="of files: occlusion (default), integrated_gradients or shapley"
    )
    p.add_argument("--nearest", type=int, default=3, metavar="N", help="of files: how many of the nearest training "
                   "items to name (default: 3; 0: none, without reading the training items)")  # fmt: skip
    p.add_argument("--draw", metavar="FOLDER", help="of files: write a picture of each, the evidence above its streams")


def run(args: argparse.Namespace) -> int:
    """As `plait evaluate`, with what takes longer: permutation, interactions, damage, swaps, and explanations in time.
    With files: what speaks for each of their answers."""
    if not args.files:
        return evaluate.evaluated(args, explain=True)
    from plait.evaluation.explanation.flow import WARNING
    from plait.prediction.predict import Predictor
    from plait.report.explained import explain_files
    from plait.training.run import Run

    run = Run(args.run_folder, allow_code=args.allow_code, allow_outside=args.allow_outside)
    with progress_bar(args, "explain") as progress:
        training, notes = _training(run, args) if args.nearest > 0 else (None, [])
        options = {"method": args.method, "draw": args.draw, "training": training, "nearest": args.nearest}
        found = explain_files(Predictor(run, cache=args.cache), args.files, **options, progress=progress)
    lines = [*map(str, found), *notes]
    lines += [f"note: {WARNING}"] if any(one.attention for one in found) else []
    lines += [f"drew {len(found)} answers to {args.draw}"] if args.draw else []
    say(args, {"explained": [one.to_json() for one in found], "notes": notes}, lines)
    return 0


def _training(run: Run, args: argparse.Namespace) -> tuple[TrainingItems | None, list[str]]:
    """The run's training items, and a note if they cannot be read."""
    from plait.core.errors import DataError
    from plait.core.parts import foreign_code
    from plait.evaluation.explanation.neighbours import TrainingItems

    try:
        with foreign_code(run.allow_code):
            return TrainingItems(run, args.cache), []
    except DataError as error:  # a run answers without its corpus too
        return None, [f"note: nearest training items are not known: {error.problems[0]}"]
