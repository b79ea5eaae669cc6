"""`plait explain`."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from plait.cli import evaluate
from plait.cli.shared import progress_bar, say
from plait.core.errors import ConfigError

if TYPE_CHECKING:
    from plait.evaluation.explanation.neighbours import TrainingItems
    from plait.streams.stream import Stream
    from plait.training.run import Run

HELP = "show on what a run's answers rest: over its test part, or for files of yours"
ORDER = 72
EXAMPLES = (
    "plait explain runs/mood",
    "plait explain runs/mood talk.mp4 --draw evidence",
    "plait explain runs/mood --treatment drug --outcome mood=low --adjust age --adjust site",
)

FACTS = {
    "treatment": "a fact of two values, or NAME=VALUE",
    "outcome": "the label, or another fact: numbers, two values, or NAME=VALUE",
    "placebo": "a fact that cannot act on the outcome",
    "selection": "by what the recordings were chosen, or the share that was",
}


def arguments(p: argparse.ArgumentParser) -> None:
    evaluate.arguments(p)
    p.add_argument(
        "files", nargs="*", help="raw files, folders or a manifest: their answers, with the evidence in time"
    )
    p.add_argument(
        "--method", default="occlusion", help="of files: occlusion (default), integrated_gradients or shapley"
    )
    p.add_argument("--environments", default="group", metavar="NAME",
                   help="a fact (site, device, day) over which errors are compared (default: the groups)")  # fmt: skip
    p.add_argument("--adjust", action="append", default=[], metavar="NAME",
                   help="of a claim: what acts on both (may be repeated); none: treated at random")  # fmt: skip
    for name, what in FACTS.items():
        p.add_argument(f"--{name}", default="", metavar="NAME", help=f"of a claim about the world: {what}")
    p.add_argument("--nearest", type=int, default=3, metavar="N", help="of files: how many of the nearest training "
                   "items to name (default: 3; 0: none, without reading the training items)")  # fmt: skip
    p.add_argument("--draw", metavar="FOLDER", help="of files: write a picture of each, the evidence above its streams")


def run(args: argparse.Namespace) -> int:
    """As `plait evaluate`, with what takes longer: permutation, interactions, damage, swaps, and explanations in time.
    With files: what speaks for each of their answers, and explained.html."""
    if not args.files:
        return evaluate.evaluated(args, explain=True)
    if given := [name for name in (*FACTS, "adjust") if getattr(args, name)]:
        raise ConfigError(f"--{given[0]}: a claim is about a corpus, not about single files. Leave the files out.")
    from plait.core.names import Names
    from plait.evaluation.explanation.flow import WARNING
    from plait.evaluation.explanation.schema import VERSION, ExplainedFiles
    from plait.prediction.predict import Predictor
    from plait.report.evidence import EvidencePage, draw_evidence
    from plait.report.explained import Explained, explain_files
    from plait.training.run import Run

    run = Run(args.run_folder, allow_code=args.allow_code, allow_outside=args.allow_outside)
    page, names = EvidencePage(run.folder.resolve().name), Names(joint="-")
    drawn = Counter[tuple[str, ...]]()

    def seen(one: Explained, streams: Mapping[str, Stream]) -> None:
        page.add(one, streams)
        if args.draw and not one.objects:
            name = (one.recording, f"{one.start:.2f}")
            number = (str(drawn[name]),) if drawn[name] else ()  # further claims of the same answer
            drawn[name] += 1
            draw_evidence(one, streams, Path(args.draw) / f"{names.of(*name, *number)}.png")

    out = Path(args.out) if args.out else run.folder
    out.mkdir(parents=True, exist_ok=True)
    with progress_bar(args, "explain") as progress:
        training, notes = _training(run, args) if args.nearest > 0 else (None, [])
        options = {"method": args.method, "training": training, "nearest": args.nearest, "seen": seen}
        found = explain_files(Predictor(run, cache=args.cache), args.files, **options, progress=progress)
    report = page.write(out / "explained.html")
    lines = [*map(str, found), *notes]
    lines += [f"note: {WARNING}"] if any(one.attention for one in found) else []
    lines += [f"drew {drawn.total()} pictures to {args.draw}"] if args.draw else []
    rows = [one.to_json() for one in found]
    told: ExplainedFiles = {"version": VERSION, "explained": rows, "notes": notes, "report": str(report)}
    say(args, told, [*lines, f"report: {report}"])
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
