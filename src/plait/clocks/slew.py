"""A corrected clock that is written once: what was answered never changes, and time never runs backwards.

A new estimate bends only the future. Small differences are slewed, large ones are set, as NTP does beyond its step
threshold (RFC 5905, section 11.3).
"""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Slew"]

Array = NDArray[np.float64]

CREEP = 0.1
"""Pace at which a corrected clock waits until it is caught up, where it may not be set back."""

KNOTS = 64
"""Most bends kept; times before the first of them are on its straight line."""


class Slew:
    """Own seconds -> corrected seconds: continuous but for steps ahead, strictly increasing, written once.

    Args:
        pace: how much faster or slower than the estimated clock a difference is worked off, seconds per second.
        step: seconds; a larger difference is not slewed: the clock steps ahead, or nearly waits.

    >>> clock = Slew(pace=500e-6, step=0.128)
    >>> clock(np.array([0.0, 10.0])).tolist()
    [0.0, 10.0]
    >>> clock.aim(10.0, ahead=0.005, drift=0.0)  # the clock is 5 ms behind: 10 s at 500 ppm
    >>> [round(t, 4) for t in clock(np.array([10.0, 15.0, 20.0, 30.0])).tolist()]
    [10.0, 15.0025, 20.005, 30.005]
    """

    def __init__(self, pace: float, step: float) -> None:
        self.pace, self.step = pace, step
        self._knots: list[tuple[float, float]] = []
        self._drift = 0.0
        self.told: float | None = None
        """Newest second that was answered."""

    def aim(self, at: float, ahead: float, drift: float) -> None:
        """From own second ``at`` on, or from the newest one answered, tend to ``t + ahead + drift * (t - at)``."""
        if self.told is None:
            self._knots, self._drift = [(at, at + ahead)], drift
            return
        start = max(at, self.told)
        here = float(self._at(np.array(start)))
        gap = start + ahead + drift * (start - at) - here
        kept = [knot for knot in self._knots if knot[0] < start] or [(start - 1.0, float(self._at(start - 1.0)))]
        self._knots = [*kept, (start, here), *self._way(start, here, gap, drift)][-KNOTS:]
        self._drift = drift

    def _way(self, start: float, here: float, gap: float, drift: float) -> list[tuple[float, float]]:
        """Where the corrected clock meets the estimated one."""
        if gap > self.step:
            return [(float(np.nextafter(start, np.inf)), here + gap)]
        pace = self.pace if abs(gap) <= self.step else 1 - CREEP
        lasts = abs(gap) / pace
        return [(start + lasts, here + lasts * (1 + drift) + gap)] if lasts > 1e-6 else []

    def __call__(self, times: ArrayLike) -> Array:
        """Corrected seconds; from now on these and all earlier ones stay as they are."""
        when = np.asarray(times, np.float64)
        if when.size:
            newest = float(when.max())
            self.told = newest if self.told is None else max(self.told, newest)
        return self._at(when)

    def expected(self, times: ArrayLike) -> Array:
        """Corrected seconds, by what is known now."""
        return self._at(times)

    def inverse(self, times: ArrayLike) -> Array:
        """Own seconds of corrected ``times``, by what is known now.

        >>> clock = Slew(pace=500e-6, step=0.128)
        >>> clock.aim(10.0, ahead=2.0, drift=0.25)
        >>> clock.inverse(clock.expected(np.array([0.0, 10.0, 30.0]))).tolist()
        [0.0, 10.0, 30.0]
        """
        when = np.asarray(times, np.float64)
        if not self._knots:
            return np.array(when)
        own, there = np.array(self._knots).T
        first = self._first(own, there)
        before, after = np.minimum(when - there[0], 0), np.maximum(when - there[-1], 0)
        return np.asarray(np.interp(when, there, own) + before / first + after / (1 + self._drift))

    @property
    def aimed(self) -> bool:
        """Whether it was ever told where to tend to."""
        return bool(self._knots)

    def off(self, at: float, ahead: float, drift: float, t: float) -> float:
        """Seconds by which the corrected clock still differs from an estimated one at own second t."""
        return float(self._at(t)) - (t + ahead + drift * (t - at))

    def _at(self, t: ArrayLike) -> Array:
        when = np.asarray(t, np.float64)
        if not self._knots:
            return np.array(when)
        own, there = np.array(self._knots).T
        first = self._first(own, there)
        between = np.interp(when, own, there)
        before, after = np.minimum(when - own[0], 0), np.maximum(when - own[-1], 0)
        return np.asarray(between + first * before + (1 + self._drift) * after)

    def _first(self, own: Array, there: Array) -> float:
        """Pace before the first knot."""
        return float((there[1] - there[0]) / (own[1] - own[0])) if len(own) > 1 else 1 + self._drift

    def save(self) -> Array:
        """Everything but the options, [knots + 1, 2]; `load` takes it back."""
        told = np.nan if self.told is None else self.told
        return np.array([(told, self._drift), *self._knots])

    def load(self, saved: Array) -> Self:
        self.told = None if np.isnan(saved[0, 0]) else float(saved[0, 0])
        self._drift = float(saved[0, 1])
        self._knots = [(float(a), float(b)) for a, b in saved[1:]]
        return self
