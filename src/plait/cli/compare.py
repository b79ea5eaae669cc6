"""`plait compare`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from plait.cli.shared import (
    cache_argument,
    cluster_argument,
    load,
    print_json,
    progress_bar,
    recipe_arguments,
    yaml_option,
)

if TYPE_CHECKING:
    from plait.comparison.schema import Comparison
    from plait.core.parts import Spec

HELP = "find out which modalities to fuse, and how"
ORDER = 65
EXAMPLES = ("plait compare mood.yaml", "plait compare mood.yaml --fusions gated crossmodal --without")


def arguments(p: argparse.ArgumentParser) -> None:
    recipe_arguments(p)
    p.add_argument("--out", help="folder of the comparison (default: runs/NAME-compare)")
    cache_argument(p)
    cluster_argument(p)
    p.add_argument("--fusions", nargs="+", default=[], metavar="FUSION", help="more fusions: names or {name: ...}")
    p.add_argument("--without", action="store_true", help="also leave out each modality in turn")
    p.add_argument("--only", nargs="+", metavar="VARIANT", help="these variants only, such as alone-audio late")
    p.add_argument("--tune", type=int, metavar="K", help="folds of the training part to choose by (default: 4)")
    p.add_argument("--seeds", nargs="+", type=int, metavar="N", help="seeds to train with, instead of the recipe's")
    p.add_argument("--overwrite", action="store_true", help="train anew if the folder holds variants of another recipe")


def run(args: argparse.Namespace) -> int:
    """Train each modality alone and fusions of all, under one budget, and say which to take and why.

    The recipe's test part is not looked at. The same command resumes a comparison that was cut off.
    """
    from plait.comparison.compare import Candidates, compare
    from plait.comparison.report import save_comparison

    recipe, _ = load(args)
    out = Path(args.out) if args.out else Path("runs") / f"{recipe.name}-compare"
    if args.seeds:
        recipe.train.seeds = args.seeds
    candidates = Candidates([_spec(f) for f in args.fusions], args.without, args.only, args.tune)
    with progress_bar(args, "compare") as progress:
        result = compare(
            recipe,
            out,
            cache=args.cache,
            candidates=candidates,
            jobs=args.jobs,
            cluster=args.cluster,
            overwrite=args.overwrite,
            progress=progress,
        )
    report = save_comparison(result, out)
    if args.json:
        print_json({**result, "report": str(report)})
    else:
        _print(result)
        print(f"report: {report}")
    return 1 if result["failed"] else 0


def _spec(text: str) -> Spec:
    """A fusion as in a recipe: a name, or a mapping in YAML."""
    from plait.core.errors import ConfigError

    found = yaml_option(text, "--fusions")
    if not isinstance(found, str | dict):
        raise ConfigError(f"--fusions {text!r}: expected a name or '{{name: ..., ...}}'.")
    return found


def _print(result: Comparison) -> None:
    from rich.console import Console
    from rich.text import Text

    from plait.comparison.report import advice_lines, comparison_table

    console = Console()
    console.print(comparison_table(result))
    for line in advice_lines(result):
        console.print(Text(line))
