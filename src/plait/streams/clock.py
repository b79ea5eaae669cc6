"""Clocks: the only code that turns seconds into indices and back.

A clock says when each of a stream's ``n`` observations was made. There are three:
`Grid` (regular), `Ticks` (any instants) and `Spans` (intervals: words, subtitles).
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plait.core.errors import DataError

__all__ = ["Clock", "Grid", "Spans", "Ticks", "ends_of", "rational", "windows"]

Times = NDArray[np.float64]

FARTHEST = 1e15
"""Seconds beyond which a number is taken for no time (31 million years, where a float has steps of 0.1 s)."""


def rational(rate: float | int | str | Fraction) -> Fraction:
    """A rate in Hz as an exact fraction; 29.97, 23.98 and the like become the broadcast rate that they stand for.

    >>> rational(29.97), rational("30000/1001"), rational(44100), rational(0.5)
    (Fraction(30000, 1001), Fraction(30000, 1001), Fraction(44100, 1), Fraction(1, 2))
    """
    if isinstance(rate, float) and 1 < rate < 1e9:
        ntsc = Fraction(round(rate * 1001 / 1000) * 1000, 1001)
        # 23.98 is 0.004 off 24000/1001; below 20 Hz nobody means a broadcast rate.
        if rate != round(rate) and abs(float(ntsc) - rate) < 0.0051 and ntsc > 20:
            return ntsc
    # Fraction('1e999999999') would build an integer of a billion digits.
    if isinstance(rate, str) and (len(rate) > 40 or re.search(r"e[+-]?\d{3}", rate, re.IGNORECASE)):
        raise DataError(f"rate {rate[:40]!r} is out of range. Write observations per second.")
    try:
        # Through the shortest decimal: Fraction(0.1) is 3602879701896397/2**55.
        value = Fraction(repr(float(rate)) if isinstance(rate, float) else rate)
    except (ValueError, ZeroDivisionError, OverflowError) as error:
        raise DataError(
            f"rate {rate!r} is not a number of observations per second. Write 25, 29.97 or 30000/1001."
        ) from error
    if value <= 0:
        raise DataError(f"rate {rate!r} must be above 0.")
    if not 1 / FARTHEST <= value <= FARTHEST:
        raise DataError(f"rate {rate!r} is out of range. Write observations per second.")
    return value


def _exact(seconds: float | Fraction) -> Fraction:
    return seconds if isinstance(seconds, Fraction) else Fraction(float(seconds))


class Clock(ABC):
    """When each of ``n`` observations was made, in seconds."""

    n: int

    @property
    @abstractmethod
    def times(self) -> Times:
        """One instant per observation, [n], seconds (the middle, for spans)."""

    @property
    @abstractmethod
    def start(self) -> float:
        """Where the first observation begins, seconds."""

    @property
    @abstractmethod
    def stop(self) -> float:
        """Where the last observation ends, seconds (exclusive on a grid)."""

    @abstractmethod
    def window(self, start: float, stop: float) -> slice:
        """The observations that begin within ``start <= t < stop``, as a slice of indices."""

    @abstractmethod
    def __getitem__(self, part: slice) -> Clock:
        """The clock of a run of observations (step 1)."""

    @abstractmethod
    def corrected(self, offset: float = 0.0, drift_ppm: float = 0.0, origin: float = 0.0) -> Clock:
        """The same observations on another time line: ``(t - origin) * (1 + drift_ppm / 1e6) + offset``."""

    @abstractmethod
    def describe(self) -> dict[str, object]:
        """What the clock is, for people and for JSON (without the times themselves)."""

    def __len__(self) -> int:
        return self.n

    def cut(self, start: float, stop: float) -> Clock:
        """The clock of the observations within ``start <= t < stop``; a cut of a cut is a cut."""
        return self[self.window(start, stop)]

    def nearest(self, times: ArrayLike) -> NDArray[np.int64]:
        """For each time the index of the nearest observation, the earlier one on a tie; [len(times)].

        >>> Grid(0, 10, 5).nearest([0.04, 0.06, 9.0]).tolist()
        [0, 1, 4]
        """
        if self.n == 0:
            raise DataError("a clock without observations has no nearest one.")
        wanted, own = np.asarray(times, np.float64), self.times
        # Clipped so that a time outside of the clock compares its first or last two observations.
        right = np.clip(np.searchsorted(own, wanted), 1, max(self.n - 1, 1))
        if self.n == 1:
            return np.zeros(wanted.shape, np.int64)
        left = right - 1
        return np.where(wanted - own[left] <= own[right] - wanted, left, right).astype(np.int64)


def _bounds(part: slice, n: int) -> tuple[int, int]:
    lo, hi, step = part.indices(n)
    if step != 1:
        raise ValueError("a clock is sliced with step 1 only")
    return lo, max(lo, hi)


@dataclass(frozen=True, init=False)
class Grid(Clock):
    """A regular clock: observation i at ``start + i / rate``, kept as exact fractions.

    Args:
        start: seconds of observation 0 (exact when a Fraction).
        rate: observations per second; 29.97 means 30000/1001.
        n: how many observations.

    Raises:
        DataError: the rate is not above 0, or n is negative.

    >>> film = Grid(0, 29.97, 900)
    >>> film.rate, film.cut(10, 20).n, round(float(film.times[-1]), 4)
    (Fraction(30000, 1001), 300, 29.9966)
    """

    start_exact: Fraction
    rate: Fraction
    n: int

    def __init__(self, start: float | Fraction, rate: float | int | str | Fraction, n: int) -> None:
        if n < 0:
            raise DataError(f"a grid has {n} observations; expected 0 or more.")
        if not -FARTHEST <= start <= FARTHEST:
            where = f"at {start}" if isinstance(start, float) else "too far off"
            raise DataError(f"a grid starts {where}; expected a finite number of seconds.")
        object.__setattr__(self, "start_exact", _exact(start))
        object.__setattr__(self, "rate", rational(rate))
        object.__setattr__(self, "n", int(n))

    @cached_property
    def floats(self) -> tuple[float, float]:
        """Start and rate; exact fractions are slow to turn into floats."""
        return float(self.start_exact), float(self.rate)

    @property
    def start(self) -> float:
        return self.floats[0]

    @property
    def stop(self) -> float:
        return float(self.start_exact + self.n / self.rate)

    @property
    def times(self) -> Times:
        # Whole numbers up to the one division, so that i / rate is rounded once.
        if self.n * self.rate.denominator < 2**53:
            return self.start + np.arange(self.n) * self.rate.denominator / float(self.rate.numerator)
        return self.start + np.arange(self.n) / float(self.rate)  # the product would leave int64

    def first_at(self, seconds: float) -> int:
        """Index of the first observation at or after ``seconds``; may lie outside 0..n.

        Rounding of a float second never moves an index: a time within 1e-6 periods of an observation is on it.
        """
        if math.isinf(seconds):
            return self.n if seconds > 0 else 0
        place = (_exact(seconds) - self.start_exact) * self.rate
        # Far from 0 (Unix seconds) a float itself is coarser than 1e-6 of a period.
        slack = max(1e-6, 4 * math.ulp(max(abs(seconds), abs(self.start))) * float(self.rate))
        # Exact arithmetic, and a tolerance for what the float second had lost before.
        near = round(place)
        return near if abs(place - near) <= slack else math.ceil(place)

    def window(self, start: float, stop: float) -> slice:
        lo = min(max(self.first_at(start), 0), self.n)
        return slice(lo, min(max(self.first_at(stop), lo), self.n))

    def __getitem__(self, part: slice) -> Grid:
        lo, hi = _bounds(part, self.n)
        return Grid(self.start_exact + lo / self.rate, self.rate, hi - lo)

    def corrected(self, offset: float = 0.0, drift_ppm: float = 0.0, origin: float = 0.0) -> Grid:
        # Thousandths of ppm keep fractions short; the exact fraction of a float has a denominator up to 2**1074.
        scale = 1 + Fraction(round(drift_ppm * 1000), 10**9)
        return Grid((self.start_exact - _exact(origin)) * scale + _exact(offset), self.rate / scale, self.n)

    def describe(self) -> dict[str, object]:
        return {"clock": "grid", "start": self.start, "rate": str(self.rate), "n": self.n}


class _Listed(Clock):
    """What `Ticks` and `Spans` share: membership by a sorted array of starts."""

    _starts: Times

    def window(self, start: float, stop: float) -> slice:
        lo, hi = np.searchsorted(self._starts, [start, stop])
        return slice(int(lo), int(max(lo, hi)))


def _as_times(values: ArrayLike, what: str) -> Times:
    times = np.array(values, np.float64)
    if times.ndim != 1:
        raise DataError(f"{what} have shape {times.shape}; expected one number per observation.")
    # "Not within", rather than "beyond", so that NaN fails too.
    bad = np.flatnonzero(~(np.abs(times) <= FARTHEST))
    if len(bad):
        raise DataError(f"{what}: number {bad[0]} is {times[bad[0]]}; expected finite seconds.")
    back = np.flatnonzero(np.diff(times) < 0)
    if len(back):
        i = int(back[0])
        raise DataError(
            f"{what} go backwards at number {i + 1}: {times[i]:.6f} s, then {times[i + 1]:.6f} s "
            f"({len(back)} such places). Sort the rows or correct the times."
        )
    # `Ticks.times` hands this array out: nobody may put it out of order.
    times.setflags(write=False)
    return times


class Ticks(_Listed):
    """Observations at any instants that do not go backwards.

    Raises:
        DataError: a time is not finite or lies before the one in front of it.

    >>> Ticks([0.0, 0.5, 0.7]).cut(0.5, 0.7).times.tolist()
    [0.5]
    """

    def __init__(self, times: ArrayLike) -> None:
        self._starts = _as_times(times, "times")
        self.n = len(self._starts)

    @property
    def times(self) -> Times:
        return self._starts

    @property
    def start(self) -> float:
        return float(self._starts[0]) if self.n else 0.0

    @property
    def stop(self) -> float:
        return float(self._starts[-1]) if self.n else 0.0

    def __getitem__(self, part: slice) -> Ticks:
        lo, hi = _bounds(part, self.n)
        return Ticks(self._starts[lo:hi])

    def corrected(self, offset: float = 0.0, drift_ppm: float = 0.0, origin: float = 0.0) -> Ticks:
        return Ticks((self._starts - origin) * (1 + drift_ppm * 1e-6) + offset)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ticks) and np.array_equal(self._starts, other._starts)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Ticks({self.n} from {self.start:g} to {self.stop:g} s)"

    def describe(self) -> dict[str, object]:
        return {"clock": "ticks", "start": self.start, "stop": self.stop, "n": self.n}


class Spans(_Listed):
    """Intervals ordered by their start: words, subtitles, scenes. They may overlap and leave gaps.

    Raises:
        DataError: a time is not finite, an interval ends before it starts, or starts go backwards.

    >>> words = Spans([0.0, 0.4], [0.3, 1.0])
    >>> words.times.tolist(), words.cut(0.2, 1.0).start
    ([0.15, 0.7], 0.4)
    """

    def __init__(self, starts: ArrayLike, stops: ArrayLike) -> None:
        self._starts = _as_times(starts, "starts")
        self.stops = np.array(stops, np.float64)
        if self.stops.shape != self._starts.shape:
            raise DataError(
                f"{self._starts.shape} starts but {self.stops.shape} stops; expected one of each per interval."
            )
        bad = np.flatnonzero(~((self.stops >= self._starts) & (self.stops <= FARTHEST)))
        if len(bad):
            i = int(bad[0])
            raise DataError(f"interval {i} runs from {self._starts[i]} to {self.stops[i]} s; expected stop >= start.")
        self.stops.setflags(write=False)
        self.n = len(self._starts)

    @property
    def starts(self) -> Times:
        return self._starts

    @property
    def times(self) -> Times:
        return (self._starts + self.stops) / 2

    @property
    def start(self) -> float:
        return float(self._starts[0]) if self.n else 0.0

    @property
    def stop(self) -> float:
        return float(self.stops.max()) if self.n else 0.0

    def __getitem__(self, part: slice) -> Spans:
        lo, hi = _bounds(part, self.n)
        return Spans(self._starts[lo:hi], self.stops[lo:hi])

    def corrected(self, offset: float = 0.0, drift_ppm: float = 0.0, origin: float = 0.0) -> Spans:
        scale = 1 + drift_ppm * 1e-6
        return Spans((self._starts - origin) * scale + offset, (self.stops - origin) * scale + offset)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Spans)
            and np.array_equal(self._starts, other._starts)
            and np.array_equal(self.stops, other.stops)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Spans({self.n} from {self.start:g} to {self.stop:g} s)"

    def describe(self) -> dict[str, object]:
        return {"clock": "spans", "start": self.start, "stop": self.stop, "n": self.n}


MOST_WINDOWS = 10_000_000
"""Of one stream; more are a typing error, and would take for ever."""


def ends_of(clock: Clock) -> tuple[Times, Times]:
    """When each observation begins and ends, [n] each; one without a duration ends when it begins.

    >>> [x.tolist() for x in ends_of(Spans([0.0, 0.4], [0.3, 1.0]))], [x.tolist() for x in ends_of(Ticks([2.0]))]
    ([[0.0, 0.4], [0.3, 1.0]], [[2.0], [2.0]])
    """
    return (clock.starts, clock.stops) if isinstance(clock, Spans) else (clock.times, clock.times)


def windows(start: float, stop: float, length: float, hop: float) -> Iterator[tuple[float, float]]:
    """Windows of ``length`` seconds every ``hop`` seconds that lie wholly within ``start..stop``.

    Each start is computed from the first one, so that a million windows do not drift.

    Raises:
        DataError: length or hop is not above 0, or there would be more than `MOST_WINDOWS`.

    >>> list(windows(0, 1, 0.5, 0.25))
    [(0.0, 0.5), (0.25, 0.75), (0.5, 1.0)]
    """
    if length <= 0 or hop <= 0:
        raise DataError(f"windows of {length} s every {hop} s; expected both above 0.")
    # A hop of 0.1 means a tenth, not the float next to it; a million steps of the float would drift.
    begin, step, size, end = _exact(start), Fraction(str(hop)), Fraction(str(length)), _exact(stop)
    # A billionth of a window: a stream that is short by rounding still holds its last window.
    count = math.floor((end - begin - size) / step + Fraction(1, 10**9)) + 1
    if count > MOST_WINDOWS:
        raise DataError(
            f"windows every {hop:g} s: {stop - start:g} s hold more than {MOST_WINDOWS:,}. Give a larger hop."
        )
    for i in range(max(count, 0)):
        left = begin + i * step
        yield float(left), float(left + size)
