"""Shared by the commands: arguments, printing, progress."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plait.core.errors import shortened
from plait.core.safe_yaml import brief

if TYPE_CHECKING:
    from plait.core.progress import Progress
    from plait.recipe import Recipe

__all__ = [
    "cache_argument",
    "cluster_argument",
    "code_argument",
    "fail",
    "jobs_argument",
    "load",
    "outside_argument",
    "print_json",
    "progress_bar",
    "read_yaml",
    "recipe_arguments",
    "run_arguments",
    "say",
    "yaml_option",
]

CACHE = ".plait-cache"


def fail(args: argparse.Namespace, problems: list[str], kind: str) -> None:
    if args.json:
        print_json({"error": kind, "problems": problems})
    for problem in shortened(problems):
        print(f"{kind}: {problem}", file=sys.stderr)


def print_json(thing: object) -> None:
    # default=str: paths and fractions have no JSON of their own.
    print(json.dumps(thing, ensure_ascii=False, default=str))


def say(args: argparse.Namespace, thing: object, lines: Sequence[str]) -> None:
    if args.json:
        print_json(thing)
    else:
        for line in lines:
            print(line)


def code_argument(p: argparse.ArgumentParser, *, gated: bool = False) -> None:
    """``gated``: without the flag nothing from outside plait is imported; else the command decides."""
    p.set_defaults(gated=gated)
    p.add_argument("--allow-code", action="store_true", help="import classes from outside plait that files name")


def outside_argument(p: argparse.ArgumentParser) -> None:
    p.add_argument("--allow-outside", action="store_true", help="let paths leave the manifest's folder")


def recipe_arguments(p: argparse.ArgumentParser, what: str = "a YAML recipe") -> None:
    p.add_argument("recipe", help=what)
    p.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as train.epochs=5")


def cache_argument(p: argparse.ArgumentParser) -> None:
    p.add_argument("--cache", default=CACHE, help=f"folder of prepared features (default: {CACHE})")
    jobs_argument(p)


def jobs_argument(p: argparse.ArgumentParser, default: int = 1) -> None:
    p.add_argument("--jobs", type=_jobs, default=default, metavar="N", help=f"processes to use (default: {default})")


def _jobs(text: str) -> int:
    # isdigit() alone accepts superscripts and the digits of other scripts, some of which int() refuses.
    if not (text.isascii() and text.isdigit() and len(text) < 6 and int(text)):
        raise argparse.ArgumentTypeError(f"got {brief(text)}; expected a whole number from 1 to 99999")
    return int(text)


def cluster_argument(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--cluster",
        metavar="local|auto|ADDRESS",
        help="a Ray cluster to work on: this machine alone, the cluster it belongs to, or an address (extra 'scale')",
    )


def run_arguments(p: argparse.ArgumentParser) -> None:
    recipe_arguments(p)
    p.add_argument("--out", help="the run's folder (default: runs/NAME)")
    cache_argument(p)


def load(args: argparse.Namespace) -> tuple[Recipe, Path]:
    # Imported here, as all that is heavy in these modules is: --help must not wait for it.
    from plait.recipe import load_recipe

    recipe = load_recipe(args.recipe, args.overrides)
    return recipe, Path(args.out) if getattr(args, "out", None) else Path("runs") / recipe.name


def read_yaml(path: str) -> Any:
    from plait.core.atomic import read_text
    from plait.core.errors import ConfigError

    try:
        text = read_text(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML ({error}).") from error
    return yaml_option(text, path)


def yaml_option(text: str, where: str) -> Any:
    """The value of an option, or of a file, in YAML."""
    from plait.core.safe_yaml import parse_yaml, refuse_wild

    data = parse_yaml(text, where)[0]
    refuse_wild(data, where)
    return data


def progress_bar(args: argparse.Namespace, what: str) -> AbstractContextManager[Progress | None]:
    from plait.core.progress import bar

    return bar(what, quiet=args.json)
