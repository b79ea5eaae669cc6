"""`plait show`."""

from __future__ import annotations

import argparse

from plait.cli.shared import load, recipe_arguments, say

HELP = "print a recipe with every default"
ORDER = 90
EXAMPLES = ("plait show mood.yaml", "plait show mood.yaml train.epochs=5 --json")


arguments = recipe_arguments


def run(args: argparse.Namespace) -> int:
    """Print a recipe with every default written out."""
    from plait.recipe import dump_recipe
    from plait.training.full import full_recipe

    recipe, _ = load(args)
    full = full_recipe(recipe)
    say(args, full.model_dump(by_alias=True, mode="json"), [dump_recipe(full).rstrip()])
    return 0
