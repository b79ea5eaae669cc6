"""The command line: one module a command, each a thin cover of one public function.

A command is a module of this package with ``HELP``, ``ORDER`` (its place in the list), ``arguments(parser)`` and
``run(args)``, whose docstring is the command's description; its name is the module's, without the
final ``_`` that keeps Python's own names (``import_``, ``list_``).
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from types import ModuleType

from plait.cli.shared import fail
from plait.errors import PlaitError

__all__ = ["commands", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns 0 when done, 1 for problems in the data, 2 when asked wrongly, 130 when interrupted."""
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args) or 0)
    except PlaitError as error:
        fail(args, list(error.problems), type(error).__name__)
        return 2 if type(error).__name__ == "ConfigError" else 1
    except KeyboardInterrupt:
        fail(
            args,
            ["interrupted; what is finished is kept. The same command goes on from there."],
            "Interrupted",
        )
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0


def commands() -> dict[str, ModuleType]:
    """The modules of all commands, by name, in the order in which one would use them."""
    names = [info.name for info in pkgutil.iter_modules(__path__) if info.name not in ("shared", "__main__")]
    modules = {name.rstrip("_"): importlib.import_module(f"{__name__}.{name}") for name in names}
    return dict(sorted(modules.items(), key=lambda pair: pair[1].ORDER))


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="plait")
    top.description = "Braid streams that tick at different rates into one model."
    listed = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, command in commands().items():
        one = listed.add_parser(name, help=command.HELP, description=command.run.__doc__)
        command.arguments(one)
        one.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        one.set_defaults(run=command.run)
    return top
