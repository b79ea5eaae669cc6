"""`plait list`."""

from __future__ import annotations

import argparse

from plait.cli.shared import say

HELP = "list the parts that a recipe can name"
ORDER = 95
EXAMPLES = ("plait list", "plait list fusions", "plait list --class mylab.fusions.Mine")


def arguments(p: argparse.ArgumentParser) -> None:
    # The names of the sorts only; the parts themselves are imported in `run`.
    from plait.catalogue import SORTS

    p.add_argument("what", nargs="?", choices=sorted(SORTS), help="one sort of part (default: all)")
    p.add_argument("--class", dest="own", metavar="PATH", help="a part of your own, by its dotted path")


def run(args: argparse.Namespace) -> int:
    """List the parts that a recipe can name, and their options."""
    from plait.catalogue import catalogue, own_part
    from plait.features.facts import in_words

    found = own_part(args.own) if args.own else catalogue(args.what)
    lines = []
    for what, ones in found.items():
        lines.append(f"{what}:")
        for n, one in ones.items():
            options = ", ".join(f"{k}={v!r}" for k, v in one["options"].items())
            lines += [f"  {n}: {one['what']}"] + ([f"      {options}"] if options else [])
            lines += [f"      {in_words(one)}"] if "receptive_field" in one else []
    say(args, found, lines)
    return 0
