"""`plait check`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from plait.cli.shared import code_argument, outside_argument, progress_bar, say
from plait.core.errors import DataError
from plait.core.parts import foreign_code

if TYPE_CHECKING:
    from plait.core.progress import Progress
    from plait.quality.check import CheckReport
    from plait.recipe import Recipe

HELP = "validate a manifest, its files, clocks, labels and splits"
ORDER = 30
EXAMPLES = ("plait check study/manifest.jsonl --signals", "plait check mood.yaml")


def arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("manifest", help="a manifest, or a recipe (YAML) whose corpus, task and split are checked")
    p.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="changes to the recipe, such as train.epochs=5")
    p.add_argument("--deep", action="store_true", help="also read all values")
    p.add_argument("--signals", action="store_true", help="measure every signal: a quality table for each stream")
    code_argument(p, gated=True)
    outside_argument(p)


def run(args: argparse.Namespace) -> int:
    """Validate manifest, files, clocks, labels and splits; for a recipe, also everything that `plait fit` would refuse.

    Exit code 1 if anything is wrong.
    """
    from plait.quality.check import check_corpus

    with progress_bar(args, "check") as progress:
        if Path(args.manifest).suffix in (".yaml", ".yml"):
            with foreign_code(True):  # a recipe is code
                report = _of_recipe(args, progress)
        else:
            report = check_corpus(
                args.manifest,
                allow_outside=args.allow_outside,
                deep=args.deep,
                signals=args.signals,
                progress=progress,
            )
    say(args, report.to_json(), report.lines())
    return 1 if report.problems else 0


def _of_recipe(args: argparse.Namespace, progress: Progress | None) -> CheckReport:
    """Check the corpus of a recipe, and everything that `fit` would refuse; a raw folder is imported for the check."""
    import tempfile

    from plait.core.errors import PlaitError
    from plait.quality.check import check_corpus
    from plait.recipe import load_recipe
    from plait.training.rehearsal import rehearse

    recipe = load_recipe(args.manifest, args.overrides)
    with tempfile.TemporaryDirectory(prefix="plait-") as folder:
        problems, notes, manifest = list[str](), list[str](), Path(folder) / "manifest.jsonl"
        # What `fit` refuses is one problem among others: the corpus is still checked as far as it is there.
        try:
            notes = rehearse(recipe, Path(folder), progress).notes
        except PlaitError as error:
            problems = list(error.problems)
        imported = manifest.exists()
        place = manifest if imported else Path(str(recipe.corpus))
        if not place.is_file():
            raise DataError(problems)
        outside = args.allow_outside or recipe.allow_outside or imported
        section = {"task": _unit(recipe), **({"split": recipe.split} if recipe.split else {})}
        report = check_corpus(
            place,
            allow_outside=outside,
            recipe=section,
            deep=args.deep,
            signals=args.signals,
            progress=progress,
        )
    report.problems += [p for p in problems if p not in report.problems]
    report.warnings += notes
    return report


def _unit(recipe: Recipe) -> dict[str, object]:
    """The task section with the unit that the task needs; as it is written, if there is no such task."""
    from plait.core.errors import PlaitError
    from plait.training.experiment import task_and_unit

    try:
        return task_and_unit(recipe)[1]
    except PlaitError:
        return dict(recipe.task) if isinstance(recipe.task, dict) else {"name": recipe.task}
