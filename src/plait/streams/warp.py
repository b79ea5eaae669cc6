"""A piecewise linear time line: seconds to add that change along a recording, with jumps where samples were lost."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plait.core.errors import DataError, raise_all
from plait.streams.clock import Clock, Grid, Spans, Ticks

__all__ = ["Warp", "Warped", "warped"]

Times = NDArray[np.float64]


FARTHEST = 1e12
"""Seconds beyond which a number is taken for no time."""

SAME = 1e-6
"""Points nearer to each other than this (seconds) become one where two warps are composed."""


class _Piece(NamedTuple):
    """A straight piece: second ``anchor`` becomes ``value``; each second after it adds ``slope`` seconds."""

    anchor: Fraction
    value: Fraction
    slope: Fraction

    def at(self, t: Fraction) -> Fraction:
        return self.value + (t - self.anchor) * self.slope


@dataclass(frozen=True, init=False)
class Warp:
    """Seconds to add along a time line: linear between points, held before the first and after the last.

    Two points at one time are a jump: times before it get the first offset, that time and later ones the second.

    Args:
        points: (seconds, seconds to add), in order of time; none at all changes nothing.

    Raises:
        DataError: a number is not finite, points go backwards in time, or time itself would stand still or go
            backwards; all in one go.

    >>> lost = Warp([(312.4, 0.0), (312.4, 0.06)])  # 60 ms of samples were lost
    >>> lost([312.0, 313.0]).round(6).tolist()
    [312.0, 313.06]
    """

    points: tuple[tuple[float, float], ...]

    def __init__(self, points: Iterable[tuple[float, float]]) -> None:
        object.__setattr__(self, "points", tuple((round(float(t), 12), round(float(add), 12)) for t, add in points))
        raise_all(DataError, self._problems())

    def _problems(self) -> list[str]:
        wrong = [p for p in self.points if not all(abs(number) <= FARTHEST for number in p)]
        if wrong:
            return [f"warp: point {list(p)} is not two finite numbers of seconds." for p in wrong]
        problems = []
        for (t, add), (later, then) in pairwise(self.points):
            if later < t:
                problems.append(f"warp: points go backwards, from {t} to {later} s. Sort them by time.")
            elif Fraction(later) + Fraction(then) <= Fraction(t) + Fraction(add) and (t, add) != (later, then):
                problems.append(
                    f"warp: from {t} to {later} s, {add} and then {then} s are added, so that time would go "
                    f"backwards from {t + add:g} to {later + then:g} s. What is added may not fall by more than "
                    "the seconds between two points."
                )
        return problems

    @cached_property
    def edges(self) -> tuple[Fraction, ...]:
        """Where one straight piece ends and the next begins."""
        return tuple(sorted({Fraction(t) for t, _ in self.points}))

    @cached_property
    def pieces(self) -> tuple[_Piece, ...]:
        """The straight pieces, one more than there are edges."""
        exact = [(Fraction(t), Fraction(t) + Fraction(add)) for t, add in self.points]
        if not exact:
            return (_Piece(Fraction(0), Fraction(0), Fraction(1)),)
        # A jump (b == a) has no piece: the pieces on its two sides meet there.
        between = [_Piece(a, x, (y - x) / (b - a)) for (a, x), (b, y) in pairwise(exact) if b > a]
        return (_Piece(*exact[0], Fraction(1)), *between, _Piece(*exact[-1], Fraction(1)))

    @cached_property
    def _table(self) -> tuple[Times, Times, Times]:
        anchors, values, slopes = (np.array([float(p[i]) for p in self.pieces]) for i in range(3))
        return anchors, values, slopes

    @cached_property
    def _ends(self) -> tuple[Fraction, ...]:
        """Where all pieces but the last end, on the warped line."""
        return tuple(piece.at(edge) for piece, edge in zip(self.pieces, self.edges))

    def __call__(self, times: ArrayLike) -> Times:
        """Seconds on the warped line, of the shape of ``times``."""
        own = np.asarray(times, np.float64)
        anchors, values, slopes = self._table
        piece = np.searchsorted(np.array(self.edges, np.float64), own, side="right")
        ends = np.array([*self._ends, np.inf], np.float64)[piece]
        return np.minimum(values[piece] + slopes[piece] * (own - anchors[piece]), ends)  # rounding must not pass an end

    def back(self, t: Fraction | float) -> Fraction:
        """The first second that the warp puts at ``t`` or later."""
        t = Fraction(t)
        k = bisect_left(self._ends, t)
        piece = self.pieces[k]
        own = piece.anchor + (t - piece.value) / piece.slope
        # A time within a jump has no second of its own: the first one after it is the jump.
        return max(own, self.edges[k - 1]) if k else own

    def _sides(self, before: Fraction, after: Fraction) -> tuple[Fraction, Fraction]:
        """The limit from the left at ``before``, and the value at ``after``, on the warped line."""
        left, right = bisect_left(self.edges, before), bisect_right(self.edges, after)
        return self.pieces[left].at(before), self.pieces[right].at(after)

    def then(self, other: Warp) -> Warp:
        """The composition: this warp, then ``other`` on the line that this one gives.

        >>> Warp([(5, 0), (5, 1)]).then(Warp([(8, 0), (8, 2)])).points
        ((5.0, 0.0), (5.0, 1.0), (7.0, 1.0), (7.0, 3.0))
        """
        points: list[tuple[float, float]] = []
        # The composition bends where this warp does, and where it reaches a bend of the other.
        for first, last in _runs(sorted({*self.edges, *map(self.back, other.edges)})):
            left, right = other._sides(*self._sides(first, last))
            points.append((float(first), float(left - first)))
            if right - left > SAME:
                points.append((float(first), float(right - first)))
        return Warp(points)

    def moved(self, offset: float = 0.0, drift_ppm: float = 0.0, origin: float = 0.0) -> Warp:
        """The same warp on the line ``(t - origin) * (1 + drift_ppm / 1e6) + offset``."""
        scale = 1 + drift_ppm * 1e-6
        return Warp(((t - origin) * scale + offset, add * scale) for t, add in self.points)


@dataclass(frozen=True)
class Warped(Clock):
    """A regular clock on a warped time line: a few exact grids, one after the other. Cutting it computes no times.

    Attributes:
        base: the clock before the warp.
        warp: the seconds added.

    >>> sound = Warped(Grid(0, 44100, 44100 * 7200), Warp([(0, 0), (3600, 0.02), (7200, -0.01)]))
    >>> sound.cut(3600.02, 3601.02).n, round(sound.start, 6), round(sound.stop, 6)
    (44101, 0.0, 7199.99)
    """

    base: Grid
    warp: Warp

    @property
    def n(self) -> int:  # type: ignore[override]  # read-only here
        return self.base.n

    @property
    def rate(self) -> Fraction:
        """Observations per second, before the warp."""
        return self.base.rate

    @cached_property
    def pieces(self) -> tuple[Grid, ...]:
        """Its grids, in order; none is empty, unless the whole clock is."""
        base = self.base
        firsts = [0, *(min(max(_on_or_after((e - base.start_exact) * base.rate), 0), base.n) for e in self.warp.edges)]
        grids = [
            Grid(piece.at(base.start_exact + lo / base.rate), base.rate / piece.slope, hi - lo)
            for piece, lo, hi in zip(self.warp.pieces, firsts, [*firsts[1:], base.n])
            if hi > lo
        ]
        return tuple(grids) or (Grid(self.warp._sides(base.start_exact, base.start_exact)[1], base.rate, 0),)

    @property
    def times(self) -> Times:
        return np.concatenate([grid.times for grid in self.pieces])

    @property
    def start(self) -> float:
        return self.pieces[0].start

    @property
    def stop(self) -> float:
        return self.pieces[-1].stop

    def _first_at(self, seconds: float) -> int:
        """Index of the first observation at or after ``seconds``, 0..n."""
        done = 0
        for grid in self.pieces:
            i = grid.first_at(seconds)
            if i < grid.n:
                return done + max(i, 0)
            done += grid.n
        return done

    def window(self, start: float, stop: float) -> slice:
        lo = self._first_at(start)
        return slice(lo, max(self._first_at(stop), lo))

    def __getitem__(self, part: slice) -> Warped:
        return Warped(self.base[part], self.warp)

    def corrected(self, offset: float = 0.0, drift_ppm: float = 0.0, origin: float = 0.0) -> Warped:
        shift = (offset, drift_ppm, origin)
        return Warped(self.base.corrected(*shift), self.warp.moved(*shift))

    def describe(self) -> dict[str, object]:
        rate, points = str(self.base.rate), len(self.warp.points)
        return {"clock": "warped", "start": self.start, "stop": self.stop, "rate": rate, "n": self.n, "points": points}


def _on_or_after(place: Fraction) -> int:
    """Index of the observation at or after a fractional index; rounding of a float second never gives the next one."""
    near = round(place)
    return near if abs(place - near) <= 1e-5 else math.ceil(place)


def _runs(edges: list[Fraction]) -> list[tuple[Fraction, Fraction]]:
    """First and last of each run of edges that differ by rounding only."""
    runs: list[tuple[Fraction, Fraction]] = []
    for edge in edges:
        if runs and edge - runs[-1][1] <= SAME:
            runs[-1] = (runs[-1][0], edge)
        else:
            runs.append((edge, edge))
    return runs


def warped(clock: Clock, warp: Warp) -> Clock:
    """The same observations on the warped time line.

    >>> warped(Ticks([1.0, 2.0]), Warp([(1.5, 0.0), (1.5, 0.25)])).times.tolist()
    [1.0, 2.25]
    """
    if isinstance(clock, Grid):
        return Warped(clock, warp)
    if isinstance(clock, Warped):
        return Warped(clock.base, clock.warp.then(warp))
    if isinstance(clock, Spans):
        return Spans(warp(clock.starts), warp(clock.stops))
    return Ticks(warp(clock.times))
