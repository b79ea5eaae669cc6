"""Which observations of one clock lie in an interval or at an instant of another. Nothing is decoded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from plait.streams.clock import Clock, Grid, Spans, Ticks
from plait.streams.warp import Warped

__all__ = ["At", "Observations", "Wanted", "first_at", "observations", "times_at", "typical_step", "wanted"]

Times = NDArray[np.float64]
Index = NDArray[np.int64]
At = Literal["start", "middle", "stop"]

STEPS_SEEN = 100
"""Number of first steps that give the typical step of an irregular clock in causal joins."""


def slack_of(seconds: Times) -> Times:
    """Tolerance for equal instants: a nanosecond, plus float64's resolution there."""
    slack: Times = np.spacing(np.abs(seconds))
    slack *= 4
    slack += 1e-9
    return slack


def first_at(clock: Clock, seconds: Times, after: bool = False) -> Index:
    """For each time the first observation at or after it (``after``: after it), 0..n; [len(seconds)].

    Rounding of a float second never moves an index: a time within 1e-6 of a grid's step, or a nanosecond of a tick,
    counts as equal. Grids are computed, so that hours of them take no memory; ticks are searched.

    >>> first_at(Grid(0, 100, 500), np.array([0.07, 0.071, 9.0])).tolist()
    [7, 8, 500]
    """
    if isinstance(clock, Warped):  # the pieces follow one another, so indices add up
        pieces = [first_at(piece, seconds, after) for piece in clock.pieces]
        return np.asarray(np.sum(pieces, axis=0), np.int64)
    if not isinstance(clock, Grid):
        listed = clock.starts if isinstance(clock, Spans) else clock.times
        slack = slack_of(seconds)
        edge = seconds + slack if after else seconds - slack
        return np.searchsorted(listed, edge, side="right" if after else "left").astype(np.int64)
    start, rate = clock.floats
    place = (seconds - start) * rate
    coarse = 4 * rate * math.ulp(abs(start) + clock.n / rate)  # what float64 can tell apart where the grid is
    near = min(max(1e-6, coarse), 0.5)
    index: Times = np.floor(place + near) + 1 if after else np.ceil(place - near)
    return np.minimum(np.maximum(index, 0), clock.n).astype(np.int64)


def times_at(clock: Clock, index: Index) -> Times:
    """Instants of some observations, of the shape of ``index``; no others are computed."""
    if isinstance(clock, Warped):
        return clock.warp(times_at(clock.base, index))
    if isinstance(clock, Grid):
        start, rate = clock.floats
        return start + index / rate
    times: Times = clock.times[index]
    return times


def typical_step(clock: Clock, causal: bool = False) -> float:
    """Median seconds between observations at different times (if causal, of the first hundred only); infinite for fewer
    than two."""
    if isinstance(clock, Grid):
        return 1 / clock.floats[1]
    if isinstance(clock, Warped):
        return 1 / float(clock.rate)
    times = clock.starts if isinstance(clock, Spans) else clock.times
    steps = np.diff(times[: STEPS_SEEN + 1] if causal else times)
    steps = steps[steps > 0]
    return float(np.median(steps)) if len(steps) else np.inf


@dataclass(frozen=True)
class Observations:
    """A stream's observations as ordered instants.

    Attributes:
        clock: a `Grid`, `Ticks` or `Warped` of the instants.
        over: when each observation ends and is fully known, [n]; None: at its instant.
        order: the stream's index of each observation, [n]; None: the same order.
        lasts: for spans that hold until they stop: the nearest earlier span that stops later, -1 for none.
    """

    clock: Clock
    over: Times | None = None
    order: Index | None = None
    lasts: Index | None = None

    def __len__(self) -> int:
        return self.clock.n

    def first(self, seconds: Times, after: bool = False) -> Index:
        """`first_at` of these observations."""
        return first_at(self.clock, seconds, after)

    def times(self, index: Index) -> Times:
        """The instants of some observations, of the shape of ``index``."""
        return times_at(self.clock, index)

    def pauses(self, gap: float) -> Index:
        """The observations followed by a pause of more than ``gap`` seconds; a grid never pauses."""
        if isinstance(self.clock, Warped):
            edges = np.cumsum([piece.n for piece in self.clock.pieces])[:-1].astype(np.int64)
            return edges[self.times(edges) - self.times(edges - 1) > gap] - 1
        if isinstance(self.clock, Grid):
            return np.zeros(0, np.int64)
        return np.flatnonzero(np.diff(self.clock.times) > gap)

    def known(self, index: Index) -> Times:
        """When some observations are fully known, of the shape of ``index``."""
        return self.times(index) if self.over is None else self.over[index]

    def slack(self, at: Times) -> Times:
        """Distance within which an instant coincides with an observation, [len(at)] seconds; see `first_at`."""
        slack = slack_of(at)
        return np.maximum(slack, 1e-6 * typical_step(self.clock)) if isinstance(self.clock, Grid | Warped) else slack

    def holding(self, at: Times) -> Index:
        """For each instant the span that began last and still lasts, -1 for none; requires ``lasts``."""
        # Each step goes to the next enclosing span, so it takes as many steps as spans are nested.
        pick = self.first(at, after=True) - 1
        if self.over is None or self.lasts is None or not len(self):
            return pick
        slack = slack_of(at)
        while (done := (pick >= 0) & (at >= self.over[pick] - slack)).any():
            pick = np.where(done, self.lasts[pick], pick)
        return pick


def observations(clock: Clock, stand: At = "middle", *, holds: bool = False) -> Observations:
    """Observations in the order of their instants; the instant of a span is its start, middle or stop.

    ``holds``: spans hold from their start until they stop; ``stand`` is ignored.
    """
    if not isinstance(clock, Spans):
        return Observations(clock)
    if holds:
        return Observations(Ticks(clock.starts), clock.stops, None, _stops_later(clock.stops))
    times = {"start": clock.starts, "middle": clock.times, "stop": clock.stops}[stand]
    if (np.diff(times) >= 0).all():
        return Observations(Ticks(times), clock.stops)
    order = np.argsort(times, kind="stable").astype(np.int64)
    return Observations(Ticks(times[order]), clock.stops[order], order)


def _stops_later(stops: Times) -> Index:
    """For each span the nearest earlier one that stops later, -1 for none; linear, by a stack."""
    out = np.full(len(stops), -1, np.int64)
    open_: list[int] = []
    for i, stop in enumerate(stops.tolist()):
        while open_ and stops[open_[-1]] <= stop:
            open_.pop()
        out[i] = open_[-1] if open_ else -1
        open_.append(i)
    return out


@dataclass(frozen=True)
class Wanted:
    """Rows of the target clock: their intervals, and the instants of their values, seconds.

    ``after``: intervals exclude their start and include their stop; else the reverse.
    """

    at: Times
    start: Times
    stop: Times
    after: bool = False


def wanted(clock: Clock, lo: int, hi: int, at: At, causal: bool) -> Wanted:
    """Rows lo..hi of a clock.

    The interval of a span is the span itself; of a grid's observation, one step about it (causal: before it); of a
    tick, the time nearer to it than to any other (causal: since the previous tick).
    """
    if isinstance(clock, Spans):
        start, stop = clock.starts[lo:hi], clock.stops[lo:hi]
        return Wanted({"start": start, "middle": (start + stop) / 2, "stop": stop}[at], start, stop)
    if isinstance(clock, Grid):
        number = np.arange(lo, hi + 1) - (1.0 if causal else 0.5)
        # From the exact rate, not the float one: a product of index and float step drifts over long recordings.
        edges = np.asarray(clock.start + number * clock.rate.denominator / float(clock.rate.numerator), np.float64)
        return Wanted(clock[lo:hi].times, edges[:-1], edges[1:], causal)
    times = times_at(clock, np.clip(np.arange(lo - 1, hi + 1), 0, len(clock) - 1))
    before, own, after = times[:-2], times[1:-1], times[2:]
    if causal:
        return Wanted(own, before, own, True)
    start, stop = (before + own) / 2, (own + after) / 2
    if lo == 0 and len(clock) > 1:  # the intervals of the first and last tick are symmetric
        start[:1] = 2 * own[:1] - stop[:1]
    if hi == len(clock) > 1:
        stop[-1:] = 2 * own[-1:] - start[-1:]
    return Wanted(own, start, stop)
