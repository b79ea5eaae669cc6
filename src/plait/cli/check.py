"""`plait check`."""

from __future__ import annotations

import argparse
from pathlib import Path

from plait.cli.shared import progress_bar, say

HELP = "validate a manifest, its files, clocks, labels and splits"
ORDER = 30


def arguments(p: argparse.ArgumentParser) -> None:
    p.add_argument("manifest", help="a manifest, or a recipe (YAML) whose corpus, task and split are checked")
    p.add_argument("--deep", action="store_true", help="read all values too")
    p.add_argument("--signals", action="store_true", help="measure every signal: a quality table for each stream")
    p.add_argument("--allow-outside", action="store_true", help="let paths leave the manifest's folder")


def run(args: argparse.Namespace) -> int:
    """Validate manifest, files, clocks, labels and splits, without torch; exit code 1 if anything is wrong."""
    from plait.errors import ConfigError
    from plait.recipe import load_recipe
    from plait.streams.check import check_corpus

    manifest, recipe, outside = args.manifest, None, args.allow_outside
    if Path(manifest).suffix in (".yaml", ".yml"):
        loaded = load_recipe(manifest)
        if not isinstance(loaded.corpus, str):
            raise ConfigError(f"{manifest}: its corpus is a raw folder. Check what `plait import` makes of it.")
        task = loaded.task if isinstance(loaded.task, dict) else {"name": loaded.task}
        recipe = {"task": task, "split": loaded.split} if loaded.split else {"task": task}
        manifest, outside = loaded.corpus, outside or loaded.allow_outside
    with progress_bar(args, "check") as progress:
        options = {"allow_outside": outside, "deep": args.deep, "signals": args.signals, "recipe": recipe}
        report = check_corpus(manifest, **options, progress=progress)
    say(args, report.to_json(), report.lines())
    return 1 if report.problems else 0
