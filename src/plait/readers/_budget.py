"""What a file may cost: bytes that it unpacks to, and things that it holds, relative to its own size.

A few kilobytes can claim terabytes, unpack to gigabytes or hold millions of empty records. Every reader draws what
its file claims from one purse before it takes the memory or the time.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from plait.core.errors import ConfigError, DataError

__all__ = ["Budget", "Purse"]

BYTES, DENSITY = 1 << 26, 100
"""A file may unpack to 64 MiB, or to 100 times its own size if that is more: text packs to a tenth, sensors to half."""

THINGS = 1_000_000
"""A file may hold this number of records, names or texts, or one per byte of its size if that is more."""


@dataclass(frozen=True)
class Budget:
    """What files may cost, as a multiple of the usual limit; a reader has one, and its sources keep it.

    >>> Budget.of({"rate": 50, "budget": 4}, "a.npz")
    (Budget(times=4.0), {'rate': 50})
    """

    times: float = 1.0

    @classmethod
    def of(cls, options: Mapping[str, object] | None, where: str) -> tuple[Budget, dict[str, object]]:
        """The budget that a reader's options give, and the other options.

        Raises:
            ConfigError: the budget is no number above 0.
        """
        others = dict(options or {})
        times = others.pop("budget", 1)
        if isinstance(times, bool) or not isinstance(times, int | float) or not 0 < times < 1e12:
            raise ConfigError(
                f"{where}.budget: got {str(times)[:40]!r}; expected a number above 0, such as 10 (ten times)."
            )
        return cls(float(times)), others

    def purse(self, path: Path, where: str = "", size: int | None = None) -> Purse:
        """A full purse for one opening or reading of a file.

        Args:
            path: the file.
            where: for messages, if it is not the path.
            size: bytes, if it is not a single file.
        """
        if size is None:
            try:
                size = os.path.getsize(path)
            except OSError:
                size = 0
        return Purse(where or str(path), size, self.times)


USUAL = Budget()
"""What every reader allows unless the user allows more."""


class Purse:
    """What is left for one opening or reading of a file.

    >>> Purse("a.npz", 1000, 1.0).spend(10**9, "x")
    Traceback (most recent call last):
    plait.core.errors.DataError: a.npz: x would take 1,000,000,000 bytes unpacked, of a file of 1,000 bytes; expected \
at most 67,108,864. If you trust the file, open it with the option budget: 15.
    """

    def __init__(self, where: str, size: int, times: float) -> None:
        self._where, self._size, self._times = where, size, times
        self._bytes = self._things = 0.0

    def spend(self, size: float, what: str) -> None:
        """Draw bytes that will be unpacked or filled.

        Raises:
            DataError: it is more than is left.
        """
        self._bytes += size
        self._check(self._bytes, max(BYTES, DENSITY * self._size), f"{what} would take", "bytes unpacked")

    def check(self, size: float, what: str) -> None:
        """Compare with a full purse without drawing: for a claim whose bytes are drawn later.

        Raises:
            DataError: it is more than a full purse holds.
        """
        self._check(size, max(BYTES, DENSITY * self._size), f"{what} would take", "bytes unpacked")

    def count(self, things: float, what: str) -> None:
        """Draw records, names or texts that will be taken one by one.

        Raises:
            DataError: it is more than is left.
        """
        self._things += things
        if self._things > THINGS:  # the usual case at the cost of one comparison
            self._check(self._things, max(THINGS, self._size), "it holds", f"{what} or more")

    def _check(self, got: float, usual: float, what: str, unit: str) -> None:
        if got <= usual * self._times:
            return
        raise DataError(
            f"{self._where}: {what} {got:,.0f} {unit}, of a file of {self._size:,} bytes; expected at most "
            f"{usual * self._times:,.0f}. If you trust the file, open it with the option budget: "
            f"{math.ceil(got / usual)}."
        )
