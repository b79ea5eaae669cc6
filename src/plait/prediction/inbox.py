"""One stream as it arrives: packets in any order, each row once, in order up to a watermark."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plait.core.errors import DataError
from plait.streams.clock import rational
from plait.streams.stream import Values

__all__ = ["SAME", "Counts", "Inbox", "Keys", "Rows", "rate_of"]


@dataclass
class Counts:
    """What became of the rows of a stream: ``pushed`` is the sum of all others.

    Attributes:
        pushed: rows that came.
        used: rows in time order that features were made of.
        pending: rows that wait for earlier ones that may still come.
        late: rows behind the watermark when they came; not used.
        repeated: rows of a time that was there already; not used.
        early: rows before the session's start; not used.
    """

    pushed: int = 0
    used: int = 0
    pending: int = 0
    late: int = 0
    repeated: int = 0
    early: int = 0


Keys: TypeAlias = "NDArray[np.int64] | NDArray[np.float64]"

SAME = 1e-7
"""Seconds by which two times of one row may differ."""


class Rows(NamedTuple):
    """Rows in order of time: their keys, [n], and values, [n, ...].

    A key is the number of a row on a regular clock (int64), or its time in seconds (float64).
    """

    keys: Keys
    values: Values

    def part(self, places: slice | NDArray[np.bool_]) -> Rows:
        """Some of the rows."""
        return Rows(self.keys[places], self.values[places])


@dataclass
class Inbox:
    """Rows of one stream that wait until no earlier one can come.

    Args:
        name: of the stream, for messages.
        rate: observations per second of a regular clock; None: each row has a time of its own.
        lateness: seconds by which a row may come after a later one of its stream.
    """

    name: str
    rate: Fraction | None
    lateness: float = 0.0
    newest: float = -math.inf
    """End of the newest row, seconds; -inf before the first."""
    watermark: float = -math.inf
    """All rows before it that will ever be used are here, seconds. It never goes back."""
    phase: Fraction | None = None
    """Time of row 0 of a regular clock, between 0 and one period."""
    counts: Counts = field(default_factory=Counts)
    _waiting: Rows | None = None
    """Of rows without a gap the first key only: keys of sound would take more than the sound."""

    @property
    def pending(self) -> Rows | None:
        """Rows that wait, in order."""
        kept = self._waiting
        if kept is None or len(kept.keys) == len(kept.values):
            return kept
        return Rows(kept.keys[0] + np.arange(len(kept.values)), kept.values)

    @pending.setter
    def pending(self, rows: Rows) -> None:
        together = self.rate is not None and len(rows.keys) > 1 and rows.keys[-1] - rows.keys[0] == len(rows.keys) - 1
        # copies: a slice would keep alive what it was cut from
        self._waiting = Rows(rows.keys[: 1 if together else None].copy(), rows.values.copy())

    @property
    def bytes(self) -> int:
        """Of the rows that wait."""
        return 0 if self._waiting is None else self._waiting.keys.nbytes + self._waiting.values.nbytes

    def push(self, values: Values, times: ArrayLike | None, start: float) -> None:
        """Take a packet: rows [n, ...], with the time of each, [n], or of the first one, in seconds.

        On a regular clock each row belongs to the place nearest to its time; without times the packet follows the
        newest row.

        Raises:
            DataError: times that are not finite or not as many as rows.
        """
        rows = self._placed(values, times)
        if not len(rows.keys):
            return
        self.counts.pushed += len(rows.keys)
        first, behind = self.key_of(start), self.key_of(self.watermark)
        early, late = rows.keys < first, rows.keys < behind
        self.counts.early += int(early.sum())
        self.counts.late += int((late & ~early).sum())
        self._keep(rows.part(~(early | late)))
        self.newest = max(self.newest, self.time_of(rows.keys[-1]) + self.period)

    @property
    def period(self) -> float:
        """Seconds from one row to the next on a regular clock; else 0."""
        return 1 / self._rate if self.rate else 0.0

    @cached_property
    def _rate(self) -> float:  # fractions are slow to turn into floats
        return float(self.rate or 0)

    @property
    def _offset(self) -> float:
        return float(self.phase) if self.phase else 0.0

    def time_of(self, key: float) -> float:
        """The time of a row by its key, seconds."""
        return float(key) if self.rate is None else self._offset + float(key) * self.period

    def key_of(self, time: float) -> float:
        """The key of the first row at or after a time."""
        if self.rate is None or math.isinf(time):
            return time
        place = (time - self._offset) * self._rate
        near = round(place)  # rounding of a float second must not move a row
        return near if abs(place - near) < 1e-3 else math.ceil(place)

    @property
    def silent(self) -> bool:
        """Whether the watermark was moved beyond the newest row, by silence or by the end: nothing can follow without a
        gap."""
        return self.watermark > self.newest + self.period / 2 + SAME

    def seal(self, watermark: float) -> None:
        """Move the watermark on, never back: rows before it that come from now on are late."""
        self.watermark = max(self.watermark, watermark)

    def take(self) -> Rows | None:
        """The rows before the watermark, in order; they do not wait any more."""
        waiting = self.pending
        if waiting is None:
            return None
        done = int(np.searchsorted(waiting.keys, self.key_of(self.watermark)))
        ready, self.pending = waiting.part(slice(done)), waiting.part(slice(done, None))
        self.counts.used += done
        self.counts.pending -= done
        return ready

    def runs(self, rows: Rows) -> list[Rows]:
        """Runs of rows without a gap; on an irregular clock there are no gaps."""
        if not len(rows.keys):
            return []
        cuts = (np.flatnonzero(np.diff(rows.keys) != 1) + 1).tolist() if self.rate else []
        edges = [0, *cuts, len(rows.keys)]
        return [rows.part(slice(lo, hi)) for lo, hi in pairwise(edges)]

    def _placed(self, values: Values, times: ArrayLike | None) -> Rows:
        """The rows of a packet with their keys, in order."""
        at = np.atleast_1d(np.asarray(math.nan if times is None else times, np.float64))
        if times is None:
            if self.rate is None or (math.isinf(self.newest) and len(values)):
                raise DataError(f"{self.name}: rows without times. Give times=, or rates= and the time of the first.")
            at = np.array([self.newest if len(values) else 0.0])
        if at.ndim != 1 or not np.isfinite(at).all():
            raise DataError(f"{self.name}: times are not finite seconds; expected one per row, or that of the first.")
        first_alone = len(at) == 1 and self.rate is not None
        if not first_alone and len(at) != len(values):
            raise DataError(f"{self.name}: {len(values)} rows and {len(at)} times; expected one time per row.")
        keys: Keys = at if self.rate is None else self._key_near(at, self.rate)
        keys = keys + np.arange(len(values)) if first_alone else keys
        order = np.argsort(keys, kind="stable")
        return Rows(keys[order], values[order])

    def _key_near(self, times: NDArray[np.float64], rate: Fraction) -> NDArray[np.int64]:
        if self.phase is None:
            period = 1 / rate
            # a thousandth of a period is no phase: files begin at 0, and so does their clock
            place = rational_time(float(times[0])) % period
            self.phase = Fraction(0) if min(place, period - place) < period / 1000 else place
        return np.rint((times - self._offset) * self._rate).astype(np.int64)

    def _keep(self, rows: Rows) -> None:
        """Merge into what waits; of rows of one key the first that came stays."""
        before = self.pending
        keys = rows.keys if before is None else np.concatenate([before.keys, rows.keys])
        values = rows.values if before is None else np.concatenate([before.values, rows.values])
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        fresh = np.ones(len(keys), bool)
        fresh[1:] = keys[1:] != keys[:-1]
        self.counts.repeated += int((~fresh).sum())
        self.pending = Rows(keys[fresh], values[order][fresh])
        self.counts.pending = int(fresh.sum())


def rational_time(seconds: float) -> Fraction:
    """A time as the fraction that was meant: of a nanosecond at most.

    >>> rational_time(0.1)
    Fraction(1, 10)
    """
    return Fraction(round(seconds * 10**9), 10**9)


def rate_of(rate: float | str | Fraction | None) -> Fraction | None:
    """A rate as its exact fraction; None stays None.

    Raises:
        DataError: it is not above 0.
    """
    return None if rate is None else rational(rate)
