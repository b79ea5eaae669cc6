"""What can go wrong, said so that it can be put right."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from types import ModuleType

__all__ = ["ConfigError", "DataError", "MissingExtra", "PlaitError", "need", "raise_all"]


class PlaitError(Exception):
    """Base of every error that plait raises on purpose.

    The message says what, where, got, expected, and what to do. ``problems`` holds one
    message per problem, so that a file's problems come all in one go.

    >>> str(DataError("a.csv:3: 'x' is not a number. Correct the cell or name the column."))
    "a.csv:3: 'x' is not a number. Correct the cell or name the column."
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class DataError(PlaitError):
    """A recording, file or manifest is not what it should be."""


class ConfigError(PlaitError):
    """A recipe, command line or argument asks for what is not there."""


class MissingExtra(PlaitError):
    """An optional package is needed; the message names the extra to install."""


def raise_all(kind: type[PlaitError], problems: list[str]) -> None:
    """Raise ``kind`` with every problem found, or return if there is none."""
    if problems:
        raise kind(problems)


def need(module: str, extra: str, why: str) -> ModuleType:
    """Import an optional module, or raise `MissingExtra` naming the extra that brings it.

    >>> need("json", "text", "reading").__name__
    'json'
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(
            f"{why} needs the package {module.split('.')[0]!r}, which is not installed. "
            f"Install it with: pip install 'plait[{extra}]'"
        ) from error
