"""Counts of a join: which rows were matched, and why the others were not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray

from plait.align.join_clock import Observations, Wanted, slack_of
from plait.align.join_coverage import Coverage
from plait.align.join_point import POINT
from plait.align.join_reduce import reduce_intervals

__all__ = ["Counter"]

Times = NDArray[np.float64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]

ROUNDING = 1 + 1e-9
"""Relative tolerance of a gap, so that a pause of exactly ``max_gap`` is no gap whatever float rounding does."""


@dataclass
class Counter:
    """Counts of one join, block by block of its rows.

    Masks are [k, d], or [k, 1] for all d.

    Attributes:
        clock: clock of the joined stream.
        width: numbers per observation.
        how: the method.
        gap: longest pause, seconds.
        step: usual seconds between observations.
        receptive_field: seconds after its instant at which an observation is known.
    """

    clock: Observations
    width: int
    how: str
    gap: float
    step: float
    receptive_field: float
    _waiting: Callable[[], None] | None = None
    _total: dict[str, int] = field(default_factory=dict)
    _future: float = 0.0
    _reached: int = 0
    _used: int = 0

    def anew(self) -> Counter:
        """The same, with nothing counted."""
        return Counter(self.clock, self.width, self.how, self.gap, self.step, self.receptive_field)

    def intervals(self, rows: Wanted, lo: Index, hi: Index, mask: Mask) -> None:
        """Add intervals of observations lo..hi each, with their mask."""
        # The last block waits until its counts are asked for: a join in one block then costs nothing for them.
        self._count()
        self._waiting = partial(self._intervals, rows, lo, hi, mask)

    def points(self, rows: Wanted, at: Times, mask: Mask, latest: Times) -> None:
        """Add instants; ``at`` is where they were looked up on the stream's clock."""
        self._count()
        self._waiting = partial(self._points, rows, at, mask, latest)

    def result(self) -> Coverage:
        """The total; ``unused`` is None for methods that pick single observations."""
        self._count()
        size = len(self.clock)
        spare = None if self.how in POINT else size - self._used
        return Coverage(**self._total, future_s=self._future, observations=size, unused=spare)

    def _count(self) -> None:
        if self._waiting is not None:
            self._waiting()
            self._waiting = None

    def _intervals(self, rows: Wanted, lo: Index, hi: Index, mask: Mask) -> None:
        counts = {"repeated": self._use(lo, hi)}
        known, at, start, stop = _any(mask), rows.at, rows.start, rows.stop
        if self.how == "count":  # the count of an empty interval is known to be 0, but that is no match
            known = hi > lo
        if not known.all():
            counts |= self._why_empty(start, lo, hi)
            at, start, stop = at[known], start[known], stop[known]
            lo, hi, mask = lo[known], hi[known], mask[known]
        if len(lo):
            counts["partial"] = self._in_part(start, stop, lo, hi)
        self._add(len(known), at, mask, self._latest(lo, hi), counts)

    def _points(self, rows: Wanted, at: Times, mask: Mask, latest: Times) -> None:
        known, stand, counts = _any(mask), rows.at, dict[str, int]()
        if not known.all():
            counts = self._why_no_point(at[~known])
            stand, mask, latest = stand[known], mask[known], latest[known]
        self._add(len(known), stand, mask, latest, counts)

    def _add(self, rows: int, at: Times, mask: Mask, latest: Times, counts: dict[str, int]) -> None:
        """Add the counts of a block of rows; ``at``, ``mask`` and ``latest`` are those of its matched rows."""
        future = (latest + self.receptive_field if self.receptive_field else latest) - at
        future = future[future > slack_of(at)]
        self._future = max(self._future, float(future.max(initial=0.0)))
        counts["unknown"] = rows - len(at) - sum(counts.get(name, 0) for name in ("before", "after", "gap", "empty"))
        counts |= {"intervals": rows, "matched": len(at), "cells": len(at) * self.width, "ahead": len(future)}
        counts["cells_unknown"] = 0 if mask.shape[1] < self.width else mask.size - int(np.count_nonzero(mask))
        for name, count in counts.items():
            self._total[name] = self._total.get(name, 0) + count

    def _latest(self, lo: Index, hi: Index) -> Times:
        """When the last observation of each interval is known, [k]."""
        if self.clock.over is None:
            return self.clock.times(hi - 1)
        return reduce_intervals(self.clock.over[:, None], lo, hi, np.maximum, np.float64)[:, 0]

    def _why_empty(self, start: Times, lo: Index, hi: Index) -> dict[str, int]:
        """Why intervals are empty: they lie before, after, in a pause, or are shorter than a step."""
        none = np.flatnonzero(hi <= lo)
        if not len(none):
            return {}
        place, start = lo[none], start[none]
        if not len(self.clock):
            return {"gap": len(place)}
        before = (place == 0) & (start < self.clock.times(place * 0) - slack_of(start))
        after = place == len(self.clock)
        inside = (place > 0) & ~after
        place = np.where(inside, place, 1) if len(self.clock) > 1 else place * 0
        pause = self.clock.times(place) - self.clock.times(np.maximum(place - 1, 0))
        gap = inside & (pause > self.gap * ROUNDING)
        counts = {"before": before, "after": after, "gap": gap, "empty": ~(before | after | gap)}
        return {name: int(rows.sum()) for name, rows in counts.items()}

    def _why_no_point(self, at: Times) -> dict[str, int]:
        """Why instants were not matched; those not counted here met NaN."""
        if not len(self.clock):
            return {"gap": len(at)}
        last = len(self.clock) - 1
        left = np.clip(self.clock.first(at, after=True) - 1, 0, last)
        right = np.clip(self.clock.first(at), 0, last)
        back, ahead, slack = at - self.clock.times(left), self.clock.times(right) - at, self.clock.slack(at)
        before, after = back < -slack, ahead < -slack
        near = self._near(back, ahead) | (np.abs(back) <= slack) | (np.abs(ahead) <= slack)
        if self.clock.lasts is not None and self.clock.over is not None:
            near, after = self.clock.holding(at) >= 0, at >= self.clock.over.max() - slack
        counts = {"before": before & ~near, "after": after & ~near, "gap": ~(before | after | near)}
        return {name: int(rows.sum()) for name, rows in counts.items()}

    def _near(self, back: Times, ahead: Times) -> Mask:
        """Whether there is an observation near enough, NaN or not."""
        limit = self.gap * ROUNDING
        if self.how == "hold":
            return np.asarray((back >= 0) & (back <= limit))
        if self.how == "nearest":
            return np.asarray(np.minimum(np.abs(back), np.abs(ahead)) <= limit / 2)
        return np.asarray((back >= 0) & (ahead >= 0) & (back + ahead <= limit))

    @cached_property
    def _pauses(self) -> Index:
        return self.clock.pauses(self.gap * ROUNDING)

    def _in_part(self, start: Times, stop: Times, lo: Index, hi: Index) -> int:
        """Number of intervals of which more than a step is outside the stream's range or in one of its pauses."""
        size, limit = len(self.clock), self.step * ROUNDING
        begin, end = self.clock.times(np.array([0, size - 1])).tolist()
        if begin - start[0] <= limit and stop.max() - end <= limit and not len(self._pauses):
            return 0
        out: Mask = (begin - start > limit) | ((stop - end > limit) & (hi == size))
        if len(self._pauses):
            out |= np.searchsorted(self._pauses, hi - 1) > np.searchsorted(self._pauses, lo)
            out |= np.isin(lo - 1, self._pauses) & (self.clock.times(lo) - start > limit)
            out |= np.isin(hi - 1, self._pauses) & (stop - self.clock.times(hi - 1) > limit)
        return int(np.count_nonzero(out))

    def _use(self, lo: Index, hi: Index) -> int:
        """Count the observations used, and return how many of them were used before; ``lo`` must be in order."""
        # Starts are in order, so what lies before the furthest stop so far was used before: one number remembers all.
        reached = np.maximum.accumulate(np.concatenate([[self._reached], hi]))
        new = int((reached[1:] - np.maximum(lo, reached[:-1])).sum())
        self._reached = int(reached[-1])
        self._used += new
        return int((hi - lo).sum()) - new


def _any(mask: Mask) -> Mask:
    """Which rows of [k, d] have any True."""
    return np.asarray(mask[:, 0] if mask.shape[1] == 1 else mask.any(1))
