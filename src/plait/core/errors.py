"""Errors whose messages say what to do about them."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

__all__ = ["ConfigError", "DataError", "MissingExtra", "PartNotFound", "PlaitError"]
__all__ += ["gathering", "need", "raise_all", "shortened"]

EACH, MOST = 10, 200
"""How many problems are written out: of one kind, and in all."""


class PlaitError(Exception):
    """Base of every error that plait raises on purpose.

    The message says what, where, got, expected, and what to do. ``problems`` holds one
    message per problem, so that a file's problems come all in one go; the text is `shortened`.

    >>> str(DataError("a.csv:3: 'x' is not a number. Correct the cell or name the column."))
    "a.csv:3: 'x' is not a number. Correct the cell or name the column."
    """

    def __init__(self, problems: str | Iterable[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(shortened(self.problems)))

    def at(self, where: str) -> list[str]:
        """Its problems, each with the place in front unless it tells that place already.

        >>> DataError(["a.csv: row 3: is empty.", "row 4: is empty."]).at("a.csv")
        ['a.csv: row 3: is empty.', 'a.csv: row 4: is empty.']
        """
        return [p if p.startswith(where) else f"{where}: {p}" for p in self.problems]


class DataError(PlaitError):
    """A recording, file or manifest is not what it should be."""


class ConfigError(PlaitError):
    """A recipe, command line or argument asks for what is not there."""


class PartNotFound(ConfigError):
    """The user's own class is not available: its module may not be imported, or its import fails."""


class MissingExtra(PlaitError):
    """An optional package is needed; the message names the extra to install."""


@contextmanager
def gathering(problems: list[str]) -> Iterator[None]:
    """Add what plait raises in this block to ``problems`` instead, so that all problems are reported together.

    >>> problems = []
    >>> with gathering(problems):
    ...     raise ConfigError("fusion: there is none.")
    >>> problems
    ['fusion: there is none.']
    """
    try:
        yield
    except PlaitError as error:
        problems.extend(error.problems)


def raise_all(kind: type[PlaitError], problems: list[str]) -> None:
    """Raise ``kind`` with every problem found, or return if there is none."""
    if problems:
        raise kind(problems)


def shortened(problems: Sequence[str]) -> list[str]:
    """Problems for people: at most 10 of one kind and 200 in all are written out; the rest is counted.

    Problems are of one kind if they differ only in their place, numbers, paths and quoted names.

    >>> shortened([f"m.jsonl:{i} 'x': a{i}/x.npy: no such file." for i in range(1, 900)])[-2:]
    ["m.jsonl:10 'x': a10/x.npy: no such file.", '... and 889 more of the same kind.']
    """
    kinds = [_kind(p) for p in problems]
    count, seen = Counter(kinds), Counter[str]()
    lines = []
    for problem, kind in zip(problems, kinds):
        seen[kind] += 1
        if seen[kind] <= EACH:
            lines.append(problem)
        if seen[kind] == EACH < count[kind]:
            lines.append(f"... and {count[kind] - EACH:,} more of the same kind.")
    return lines if len(lines) <= MOST else [*lines[:MOST], f"... and {len(lines) - MOST:,} more."]


def _kind(problem: str) -> str:
    # What precedes the first colon is the place.
    what = problem.partition(": ")[2] or problem
    # A message may quote a whole line of a file: its beginning tells the kind.
    return re.sub(r"'[^']*'|\"[^\"]*\"|\S*[/\\]\S*|[\d.]+", "", what[:500])


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
