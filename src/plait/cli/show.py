"""`plait show`."""

from __future__ import annotations

import argparse
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from plait.cli.shared import code_argument, progress_bar, recipe_arguments, say

if TYPE_CHECKING:
    from plait.recipe import Recipe

HELP = "print a recipe with every default, and its features and encoders"
ORDER = 90
EXAMPLES = ("plait show mood.yaml", "plait show mood.yaml train.epochs=5 --json", "plait show runs/mood")

WIDTH = 80


def arguments(p: argparse.ArgumentParser) -> None:
    recipe_arguments(p, "a YAML recipe, or a run's folder")
    code_argument(p)


def run(args: argparse.Namespace) -> int:
    """Print a recipe with every default written out. As comments it prints what the recipe resolves to on its corpus
    (or resolved to in a run): stream, feature and encoder of each modality, then the fusion and the heads."""
    from plait.core.parts import foreign_code
    from plait.recipe import dump_recipe, load_recipe
    from plait.training.full import full_recipe
    from plait.training.resolved import resolved_lines, resolved_run
    from plait.training.run import Run

    if Path(args.recipe).is_dir():
        trained = Run(args.recipe, allow_code=args.allow_code)
        with foreign_code(args.allow_code):
            full = full_recipe(trained.recipe)
            found: dict[str, object] | None = resolved_run(trained)
            unknown = ""
    else:
        recipe = load_recipe(args.recipe, args.overrides)
        full = full_recipe(recipe)
        found, unknown = _on_its_corpus(args, recipe)
    lines = resolved_lines(found) if found else [f"streams, features and encoders are not known: {unknown}"]
    comments = [one for line in lines for one in _comment(line)]
    facts = full.model_dump(by_alias=True, mode="json") | {"resolved": found}
    say(args, facts, [dump_recipe(full).rstrip(), *comments])
    return 0


def _on_its_corpus(args: argparse.Namespace, recipe: Recipe) -> tuple[dict[str, object] | None, str]:
    """What the recipe resolves to; or the first reason why that is not known (`plait check` gives all)."""
    from plait.core.errors import PlaitError
    from plait.training.rehearsal import rehearse
    from plait.training.resolved import resolved

    with tempfile.TemporaryDirectory(prefix="plait-") as folder, progress_bar(args, "look") as progress:
        try:
            return resolved(rehearse(recipe, Path(folder), progress)), ""
        except PlaitError as error:
            return None, error.problems[0]


def _comment(line: str) -> list[str]:
    inner = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.wrap(line, WIDTH, initial_indent="# ", subsequent_indent=f"# {inner}", break_on_hyphens=False)
