"""`plait report`."""

from __future__ import annotations

import argparse
from pathlib import Path

from plait.cli.shared import cache_argument, code_argument, outside_argument, print_json, progress_bar

HELP = "write a run's page again, or compare finished runs with paired tests"
ORDER = 74
EXAMPLES = (
    "plait report runs/mood --markdown",
    "plait report runs/base runs/mood",
    "plait report runs/base runs/mood --markdown",
)


def arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("runs", nargs="+", metavar="RUN", help="folders of runs; of one also its evaluation.json")
    p.add_argument("--out", help="folder for the page (default: the run's; of several runs: runs/compared)")
    p.add_argument("--markdown", action="store_true", help="print Markdown for a pull request and nothing else")
    p.add_argument("--section", action="append", default=[], metavar="CLASS",
                   help="of one run: your own section of the report, by its dotted path; may be repeated")  # fmt: skip
    code_argument(p)
    outside_argument(p)
    cache_argument(p)


def run(args: argparse.Namespace) -> int:
    """Of one run: write report.html again from its evaluation.json; no model is asked.

    Of several: ask each again, and compare them on the test items that all of them share. Differences are paired, over
    groups, with p-values corrected for their number (Holm). It says which run is better, or that it cannot be told, and
    writes runs.html and runs.json.
    """
    if len(args.runs) == 1:
        return _again(args, Path(args.runs[0]))
    from plait.comparison.runs import compare_runs, open_runs
    from plait.comparison.runs_report import as_markdown, save_runs, summary_of

    out = Path(args.out) if args.out else Path("runs/compared")
    runs = open_runs(args.runs, allow_code=args.allow_code, allow_outside=args.allow_outside)
    out.mkdir(parents=True, exist_ok=True)  # so that an unwritable place is told before hours of scoring
    with progress_bar(args, "compare") as progress:
        result = compare_runs(runs, cache=args.cache, progress=progress)
    report = save_runs(result, out)
    if args.json:
        print_json({**result, "report": str(report)})
    elif args.markdown:
        print(as_markdown(result), end="")
    else:
        _print(summary_of(result), report)
    return 0


def _again(args: argparse.Namespace, place: Path) -> int:
    from plait.core.errors import DataError
    from plait.evaluation.schema import read_evaluation
    from plait.report.markdown import as_markdown
    from plait.report.report import write_report
    from plait.report.table import summary_of

    file = place / "evaluation.json" if place.suffix != ".json" else place
    if not file.exists():
        raise DataError(f"{place}: has not been evaluated. Do it with: plait evaluate {place}")
    evaluation = read_evaluation(file)
    out = Path(args.out) if args.out else file.parent
    out.mkdir(parents=True, exist_ok=True)
    report = write_report(evaluation, out / "report.html", sections=args.section)
    if args.json:
        print_json({**evaluation, "report": str(report)})
    elif args.markdown:
        print(as_markdown(evaluation), end="")
    else:
        _print(summary_of(evaluation), report)
    return 0


def _print(shown: object, report: Path) -> None:
    from rich.console import Console

    Console().print(shown)
    print(f"report: {report}")
