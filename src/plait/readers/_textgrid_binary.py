"""TextGrids in Praat's binary form.

Source: Praat's own reader and writer of the form (``TextGrid_v_writeBinary``), big-endian throughout.
"""

from __future__ import annotations

import struct
from pathlib import Path

from plait.core.errors import DataError

__all__ = ["MAGIC", "binary_tiers"]

MAGIC = b"ooBinaryFile\x08TextGrid"

Rows = list[tuple[float, float, str]]


def binary_tiers(path: Path, data: bytes) -> list[tuple[str, str, Rows]]:
    """Class, name and (start, stop, text) of each tier.

    Raises:
        DataError: the file is cut short or holds another kind of tier.
    """
    take = _Values(data, len(MAGIC))
    try:
        take.numbers(2)
        if not take.unpack(">?")[0]:
            return []
        return [_tier(take) for _ in range(take.count(1))]
    except (struct.error, ValueError) as error:
        raise DataError(f"{path}: byte {take.at}: {error}. Open it in Praat and save it anew as text.") from error


def _tier(take: _Values) -> tuple[str, str, Rows]:
    kind = take.bytes(take.unpack(">B")[0]).decode("ascii", "replace")
    if kind not in ("IntervalTier", "TextTier"):
        raise ValueError(f"got the tier class {kind!r}; expected 'IntervalTier' or 'TextTier'")
    name = take.text()
    take.numbers(2)
    rows: Rows = []
    # Ten bytes at least: a time, and the length of an empty text.
    for _ in range(take.count(10)):
        start, *stop = take.numbers(2 if kind == "IntervalTier" else 1)
        rows.append((start, stop[0] if stop else start, take.text().strip()))
        if rows[-1][1] < start:
            raise ValueError(f"an interval runs from {start} to {stop[0]} s; expected an end after its start")
    return kind, name, rows


class _Values:
    """The values of the file, one after the other."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self.at = data, at

    def unpack(self, form: str) -> tuple[float, ...]:
        values = struct.unpack_from(form, self._data, self.at)
        self.at += struct.calcsize(form)
        return values

    def numbers(self, count: int) -> tuple[float, ...]:
        return self.unpack(f">{count}d")

    def count(self, size: int) -> int:
        """How many things of at least ``size`` bytes follow."""
        value = int(self.unpack(">i")[0])
        if not 0 <= value * size <= len(self._data) - self.at:
            raise ValueError(f"{value} things are promised, more than the file holds")
        return value

    def bytes(self, length: float) -> bytes:
        value = self._data[self.at : self.at + int(length)]
        if len(value) < length:
            raise ValueError("the file is cut short")
        self.at += len(value)
        return value

    def text(self) -> str:
        """Latin-1 after its length, or UTF-16 after a length of -1 and its own length."""
        length = int(self.unpack(">h")[0])
        if length >= 0:
            return self.bytes(length).decode("latin-1")
        if length != -1:
            raise ValueError(f"a text is {length} letters long")
        return self.bytes(2 * self.unpack(">H")[0]).decode("utf-16-be", "replace")
