"""`plait explain`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from plait.cli import evaluate
from plait.cli.shared import progress_bar, say

if TYPE_CHECKING:
    from plait.streams.stream import Stream

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
    p.add_argument("--draw", metavar="FOLDER", help="of files: write a picture of each, the evidence above its streams")


def run(args: argparse.Namespace) -> int:
    """As `plait evaluate`, with what takes longer: permutation, interactions, damage, swaps, and explanations in time.
    With files: what speaks for each of their answers, and explained.html."""
    if not args.files:
        return evaluate.evaluated(args, explain=True)
    from plait.core.names import Names
    from plait.prediction.predict import Predictor
    from plait.report.evidence import EvidencePage, draw_evidence
    from plait.report.explained import Explained, explain_files
    from plait.training.run import Run

    run = Run(args.run_folder, allow_code=args.allow_code, allow_outside=args.allow_outside)
    page, names = EvidencePage(run.folder.resolve().name), Names(joint="-")

    def seen(one: Explained, streams: Mapping[str, Stream]) -> None:
        page.add(one, streams)
        if args.draw:
            draw_evidence(one, streams, Path(args.draw) / f"{names.of(one.recording, f'{one.start:.2f}')}.png")

    out = Path(args.out) if args.out else run.folder
    out.mkdir(parents=True, exist_ok=True)
    with progress_bar(args, "explain") as progress:
        predictor = Predictor(run, cache=args.cache)
        found = explain_files(predictor, args.files, method=args.method, seen=seen, progress=progress)
    report = page.write(out / "explained.html")
    lines = [str(one) for one in found]
    lines += [f"drew {len(found)} answers to {args.draw}"] if args.draw else []
    say(args, {"explained": [one.to_json() for one in found], "report": str(report)}, [*lines, f"report: {report}"])
    return 0
