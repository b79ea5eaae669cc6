"""Praat TextGrids."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, TypeVar

from plait.core.errors import DataError
from plait.readers import Reader
from plait.readers._names import Names
from plait.readers._textgrid_binary import MAGIC, Rows, binary_tiers
from plait.readers._words import read_bytes, read_text, words
from plait.streams.stream import Stream

__all__ = ["TextGrid"]

T = TypeVar("T")

_TOKEN = re.compile(
    r'"(?P<text>(?:[^"]|"")*)"|(?<!\S)(?P<comment>![^\r\n]*)'
    r"|(?<!\S)(?P<number>[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?!\S)|(?P<flag><[^<>\s]*>)"
)
_CHRONOLOGICAL = "Praat chronological TextGrid text file"


class TextGrid(Reader):
    """One stream of words per tier, by the tier's name: intervals with their span, points with a span of length 0.

    It reads the binary form and the text forms (long, short, chronological), as Praat does: only free-standing numbers,
    quoted texts and flags count, and what follows a free-standing ``!`` is a comment. Intervals without text are left
    out. Tiers of one name become ``name``, ``name2`` ...

    Source: https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html

    Args:
        encoding: of text without a byte order mark.

    Raises:
        DataError: on opening: it has no tiers, or, with the line (or byte), is not a TextGrid.

    >>> TextGrid().suffixes
    ('.textgrid',)
    """

    suffixes: ClassVar[tuple[str, ...]] = (".textgrid",)

    def __init__(self, *, encoding: str = "utf-8") -> None:
        self.encoding = encoding

    def open(self, path: Path) -> dict[str, Stream]:
        data = read_bytes(path)
        tiers = binary_tiers(path, data) if data.startswith(MAGIC) else self._text_tiers(path)
        if not tiers:
            raise DataError(f"{path}: has no tiers. Annotate it in Praat, or leave it out.")
        names = Names()
        return {
            names.free(tier or f"tier{number}"): words(path, [row for row in rows if row[2] or kind == "TextTier"])
            for number, (kind, tier, rows) in enumerate(tiers, 1)
        }

    def _text_tiers(self, path: Path) -> list[tuple[str, str, Rows]]:
        tokens = _Tokens(path, read_text(path, self.encoding))
        kind = tokens.text("the file type")
        if kind == _CHRONOLOGICAL:
            return _chronological(tokens)
        content = tokens.text("the object class")
        if kind not in ("ooTextFile", "ooTextFile short") or content != "TextGrid":
            raise tokens.error(f"got {kind!r}, {content!r}; expected 'ooTextFile', 'TextGrid'")
        tokens.number("the start"), tokens.number("the end")
        if not tokens.flag():
            return []
        return [_tier(tokens) for _ in range(tokens.count("the number of tiers"))]


def _tier(tokens: _Tokens) -> tuple[str, str, Rows]:
    kind, name, rows, _ = _head(tokens)
    rows += [_row(tokens, kind) for _ in range(tokens.count("the number of intervals"))]
    return kind, name, rows


def _chronological(tokens: _Tokens) -> list[tuple[str, str, Rows]]:
    """The heads of all tiers, then all intervals and points in the order of time, each with its tier."""
    tokens.number("the start"), tokens.number("the end")
    tiers = [_head(tokens) for _ in range(tokens.count("the number of tiers"))]
    while tokens.more():
        number = tokens.count("a tier's number")
        if not 1 <= number <= len(tiers):
            raise tokens.error(f"got the tier {number}; expected 1 to {len(tiers)}")
        kind, _, rows, _ = tiers[number - 1]
        rows.append(_row(tokens, kind))
    for kind, name, rows, end in tiers:
        if kind == "IntervalTier" and rows and rows[-1][1] < end:  # this form has no count of them
            raise tokens.error(f"the intervals of {name!r} end at {rows[-1][1]}, not at {end} s; the file is cut short")
    return [(kind, name, rows) for kind, name, rows, _ in tiers]


def _head(tokens: _Tokens) -> tuple[str, str, Rows, float]:
    """A tier's class, name, room for its rows, and where it ends."""
    kind, name = tokens.text("a tier's class"), tokens.text("a tier's name")
    if kind not in ("IntervalTier", "TextTier"):
        raise tokens.error(f"got the tier class {kind!r}; expected 'IntervalTier' or 'TextTier'")
    tokens.number("a tier's start")
    return kind, name, [], tokens.number("a tier's end")


def _row(tokens: _Tokens, kind: str) -> tuple[float, float, str]:
    start = tokens.number("a time")
    stop = tokens.number("an interval's end") if kind == "IntervalTier" else start
    if stop < start:
        raise tokens.error(f"an interval runs from {start} to {stop} s; expected an end after its start")
    return start, stop, tokens.text("a label").strip()


class _Tokens:
    """The free-standing tokens of the file, one after the other."""

    def __init__(self, path: Path, text: str) -> None:
        self._path, self._text = path, text
        self._matches = (match for match in _TOKEN.finditer(text) if match.lastgroup != "comment")
        self._next = next(self._matches, None)
        self._at = self._end = 0

    def text(self, what: str) -> str:
        value = self._take("text", what, lambda s: s.replace('""', '"'))
        # A quote within a label that is not doubled ends it early, and the rest would be skipped as free text.
        after = self._text[self._end : self._end + 1]
        if after.strip():
            raise self.error(f"{after!r} stands behind a closing quote; expected quotes within {what} to be doubled")
        return value

    def number(self, what: str) -> float:
        return self._take("number", what, float)

    def flag(self) -> bool:
        value = self._take("flag", "<exists> or <absent>", str)
        if value not in ("<exists>", "<absent>"):
            raise self.error(f"got {value[:40]}; expected <exists> or <absent>")
        return value == "<exists>"

    def more(self) -> bool:
        """Whether there are tokens left."""
        return self._next is not None

    def count(self, what: str) -> int:
        value = self.number(what)
        if not 0 <= value <= len(self._text) or value != int(value):
            raise self.error(f"{what} is {value}")
        return int(value)

    def error(self, what: str) -> DataError:
        line = self._text.count("\n", 0, self._at) + 1
        return DataError(f"{self._path}:{line}: {what}. Open the TextGrid in Praat and save it anew as text.")

    def _take(self, group: str, what: str, make: Callable[[str], T]) -> T:
        match, self._next = self._next, next(self._matches, None)
        if match is None:
            self._at = len(self._text)
            raise self.error(f"the file ends where {what} should stand; it is cut short")
        self._at, self._end = match.span()
        if match.lastgroup != group:
            raise self.error(f"got {match.group()[:40]!r}; expected {what}")
        return make(match.group(group))
