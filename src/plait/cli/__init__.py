"""The command line: one module per command, each a thin layer over one public function.

A command is a module of this package with ``HELP``, ``ORDER`` (its place in the list), ``EXAMPLES``,
``arguments(parser)`` and ``run(args)``, whose docstring is the command's description. Its name is the module's, without
the final ``_`` that avoids Python's own names (``import_``, ``list_``).
"""

from __future__ import annotations

import argparse
import errno
import importlib
import inspect
import io
import pkgutil
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

import shtab

from plait.cli.shared import fail
from plait.core.errors import PlaitError
from plait.core.parts import foreign_code
from plait.core.version import __version__

__all__ = ["commands", "main"]


KEPT = "finished work is kept. The same command continues from there."

REMEDIES = {
    errno.ENOSPC: f"The disk is full: make room; {KEPT}",
    errno.EDQUOT: f"The quota is used up: make room; {KEPT}",
    errno.EROFS: "The disk is read-only: choose another folder.",
    errno.EACCES: "You have no permission for the folder or file: choose another, or have the permissions changed.",
    errno.EPERM: "You have no permission for the folder or file: choose another, or have the permissions changed.",
    errno.ENAMETOOLONG: "The name is too long for this disk: give a shorter one.",
    errno.ELOOP: "Its links form a circle: mend them.",
    errno.EMFILE: "Too many files are open at once: raise the limit (ulimit -n), or give fewer --jobs.",
    errno.EISDIR: "It is a folder; expected a file.",
    errno.ENOTDIR: "A part of the path is a file; expected folders.",
    errno.EEXIST: "It exists already, and is not a folder: give another path.",
}


class _Terminated(KeyboardInterrupt):
    """SIGTERM: the system asks the process to end; handled like an interrupt from the keyboard."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 when done, 1 for problems in the data or of the system, 2 for wrong arguments or recipes, 130 when
        interrupted, 143 when terminated.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a file or pipe gets each line when it is printed
    args = _parsed(argv)
    try:
        # A recipe is the user's own code; other files may not choose what is imported, unless the user allows it.
        with _terminable(), foreign_code(not getattr(args, "gated", False) or args.allow_code):
            return int(args.run(args) or 0)
    except PlaitError as error:
        fail(args, list(error.problems), type(error).__name__)
        return 2 if type(error).__name__ == "ConfigError" else 1
    except KeyboardInterrupt as error:
        terminated = isinstance(error, _Terminated)
        fail(args, [f"{'terminated' if terminated else 'interrupted'}; {KEPT}"], "Interrupted")
        return 143 if terminated else 130
    except BrokenPipeError:
        # The reader (head, say) has gone. Python flushes at exit, fails again, and would complain on stderr.
        sys.stderr.close()
        return 0
    except OSError as error:
        fail(args, [_of_the_system(error)], "SystemError")
        return 1
    except MemoryError:
        fail(args, [f"there is not enough memory: give fewer --jobs, or cut long recordings; {KEPT}"], "SystemError")
        return 1
    except RecursionError:
        fail(args, ["the input is nested too deeply to be read. Look for brackets within brackets in it."], "DataError")
        return 1


@contextmanager
def _terminable() -> Iterator[None]:
    """In this block SIGTERM raises, so that partial files are removed and other processes are ended."""

    def end(*_: object) -> None:
        raise _Terminated

    # Python takes signal handlers from the main thread only.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _of_the_system(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror or error}. {REMEDIES.get(error.errno or 0, KEPT[0].upper() + KEPT[1:])}"


def commands() -> dict[str, ModuleType]:
    """The modules of all commands by name, in the order of a typical workflow."""
    names = [info.name for info in pkgutil.iter_modules(__path__) if info.name not in ("shared", "__main__")]
    modules = {name.rstrip("_"): importlib.import_module(f"{__name__}.{name}") for name in names}
    return dict(sorted(modules.items(), key=lambda pair: pair[1].ORDER))


def _parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; KEY=VALUE may come after options too, which argparse does not expect."""
    parser = _parser()
    args, rest = parser.parse_known_args(argv)
    # Only what looks like KEY=VALUE: a misspelt option must still be an error.
    late = [word for word in rest if re.match(r"[A-Za-z_][\w.]*=", word)]
    if len(late) < len(rest) or (late and not hasattr(args, "overrides")):
        parser.parse_args(argv)  # ends with argparse's own message
    if late:
        args.overrides = [*args.overrides, *late]
    return args


def _parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="plait")
    top.description = "Braid streams that tick at different rates into one model."
    top.add_argument("--version", action="version", version=f"plait {__version__}")
    shtab.add_argument_to(top, "--print-completion", help="print the completion script of a shell, to be sourced")
    listed = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, command in commands().items():
        one = listed.add_parser(
            name,
            help=command.HELP,
            description=inspect.cleandoc(command.run.__doc__ or ""),
            epilog="\n".join(["examples:", *(f"  {line}" for line in command.EXAMPLES)]),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.arguments(one)
        one.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
        one.set_defaults(run=command.run)
    return top
