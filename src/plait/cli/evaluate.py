"""`plait evaluate`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plait.cli.shared import cache_argument, code_argument, outside_argument, print_json, progress_bar

if TYPE_CHECKING:
    from plait.evaluation.schema import Evaluation

HELP = "score a run for every subset of its modalities"
ORDER = 70
EXAMPLES = (
    "plait evaluate runs/mood",
    "plait evaluate runs/mood --corruptions",
    "plait evaluate runs/mood --corpus other/manifest.jsonl --json",
)


def arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("run_folder", metavar="RUN", help="a run's folder")
    p.add_argument("--corpus", help="the manifest of another corpus, whose streams may be fewer")
    p.add_argument("--out", help="folder for the page and its numbers (default: the run's)")
    p.add_argument("--corruptions", action="store_true", help="also damage the test items in every way that fits each "
                   "stream, features and raw signals, and draw curves")  # fmt: skip
    p.add_argument("--section", action="append", default=[], metavar="CLASS",
                   help="your own section of the report, by its dotted path; may be repeated")  # fmt: skip
    code_argument(p)
    outside_argument(p)
    cache_argument(p)


def run(args: argparse.Namespace) -> int:
    """Score every subset of modalities on the test part (or another corpus), write JSON and report.html."""
    return evaluated(args, explain=False)


def evaluated(args: argparse.Namespace, *, explain: bool) -> int:
    """Evaluate, and on wish explain; write and print what was found."""
    from plait.evaluation.evaluate import evaluate
    from plait.report.report import save_evaluation
    from plait.report.sections import sections_of
    from plait.training.run import Run

    sections_of(args.section)  # so that a wrong name is reported before hours of scoring
    run = Run(args.run_folder, allow_code=args.allow_code, allow_outside=args.allow_outside)
    with progress_bar(args, "explain" if explain else "evaluate") as progress:
        more = _causes(args) if explain else {}
        more |= {"explain": explain, "corruptions": args.corruptions}
        result = evaluate(run, cache=args.cache, corpus=args.corpus, progress=progress, **more)
    out = Path(args.out) if args.out else run.folder
    # Beside the run's own evaluation, not over it.
    if args.corpus and not args.out:
        out = run.folder / f"on-{Path(args.corpus).resolve().parent.name}"
    report = save_evaluation(result, out, sections=args.section)
    if args.json:
        print_json({**result, "report": str(report)})
    else:
        _print_table(result)
        if explain and (args.treatment or args.outcome or args.adjust):
            print(
                "claim:", *(text for text in (result["claim"]["verdict"], result["claim"]["reason"]) if text), sep=" "
            )
        print(f"report: {report}")
    return 0


def _causes(args: argparse.Namespace) -> dict[str, Any]:
    """What `plait explain` may be told of the world."""
    from plait.evaluation.cause.claim import Claim

    told = Claim(args.treatment, args.outcome, (*args.adjust,), args.placebo, args.selection)
    return {"claim": told, "environments": args.environments}


def _print_table(result: Evaluation) -> None:
    from rich.console import Console

    from plait.report.table import summary_of

    Console().print(summary_of(result))
