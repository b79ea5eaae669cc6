"""The counting of a join: which rows met something, and why the others did not."""

from __future__ import annotations

from collections import Counter as Counts
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from plait.sync.join_clock import Observations, Wanted, slack_of
from plait.sync.join_coverage import Coverage

__all__ = ["Counter"]

Times = NDArray[np.float64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]

ROUNDING = 1 + 1e-9


@dataclass
class Counter:
    """Counts of one join, a block of rows after the other.

    Masks are [k, d], or [k, 1] for all d.

    Attributes:
        clock: of the stream that is joined.
        width: numbers an observation.
        how: the method.
        gap: longest pause, seconds.
        step: usual seconds between observations.
        reach: seconds by which an observation is known later than its instant.
    """

    clock: Observations
    width: int
    how: str
    gap: float
    step: float
    reach: float
    _total: Counts[str] = field(default_factory=Counts)
    _future: float = 0.0
    _reached: int = 0
    _used: int = 0

    def anew(self) -> Counter:
        """The same, with nothing counted."""
        return Counter(self.clock, self.width, self.how, self.gap, self.step, self.reach)

    def intervals(self, rows: Wanted, lo: Index, hi: Index, mask: Mask, latest: Times) -> None:
        """Take in intervals that hold observations lo..hi each; ``mask`` is what is known of them."""
        held = hi > lo
        known = np.asarray(mask.any(1)) & held
        partial = np.zeros(len(held), np.bool_)
        partial[held] = self._in_part(rows.start[held], rows.stop[held], lo[held], hi[held])
        counts = self._why_empty(rows.start, lo, hi)
        counts |= {"partial": int((partial & known).sum()), "repeated": self._use(lo[held], hi[held])}
        self._add(rows.at, mask, known, counts, latest)

    def points(self, rows: Wanted, at: Times, mask: Mask, latest: Times) -> None:
        """Take in instants; ``at`` is where on the stream's clock they were looked up."""
        known = np.asarray(mask.any(1))
        self._add(rows.at, mask, known, self._why_no_point(at[~known]), latest)

    def result(self, unused: bool) -> Coverage:
        """All of it; with how many observations were in no interval, where that means something."""
        size = len(self.clock)
        spare = size - self._used if unused else None
        return Coverage(**self._total, future_s=self._future, observations=size, unused=spare)

    def _add(self, at: Times, mask: Mask, known: Mask, counts: dict[str, int], latest: Times) -> None:
        future = np.where(known, np.where(known, latest, 0.0) + self.reach - at, -np.inf)
        ahead = future > slack_of(at)
        matched, reasons = int(known.sum()), sum(counts.get(name, 0) for name in ("before", "after", "gap", "empty"))
        self._future = max(self._future, float(future[ahead].max(initial=0.0)))
        self._total.update(
            counts,
            intervals=len(at),
            matched=matched,
            unknown=len(at) - matched - reasons,
            cells=matched * self.width,
            cells_unknown=0 if mask.shape[1] < self.width else int(np.count_nonzero(~mask[known])),
            ahead=int(ahead.sum()),
        )

    def _why_empty(self, start: Times, lo: Index, hi: Index) -> dict[str, int]:
        """Why intervals hold nothing: they lie before, after, in a pause, or are shorter than a step."""
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
        """Why instants met nothing; the rest of them met NaN."""
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
        """Whether there is an observation near enough, known or not."""
        limit = self.gap * ROUNDING
        if self.how == "hold":
            return np.asarray((back >= 0) & (back <= limit))
        if self.how == "nearest":
            return np.asarray(np.minimum(np.abs(back), np.abs(ahead)) <= limit / 2)
        return np.asarray((back >= 0) & (ahead >= 0) & (back + ahead <= limit))

    @cached_property
    def _pauses(self) -> Index:
        return self.clock.pauses(self.gap * ROUNDING)

    def _in_part(self, start: Times, stop: Times, lo: Index, hi: Index) -> Mask:
        """Whether more than a step of an interval lies out of the stream's range or in one of its pauses."""
        out, limit = np.zeros(len(lo), np.bool_), self.step * ROUNDING
        first, last = lo == 0, hi == len(self.clock)
        if len(self._pauses):
            out = np.searchsorted(self._pauses, hi - 1) > np.searchsorted(self._pauses, lo)
            first, last = first | np.isin(lo - 1, self._pauses), last | np.isin(hi - 1, self._pauses)
        first, last = np.flatnonzero(first), np.flatnonzero(last)
        out[first] |= self.clock.times(lo[first]) - start[first] > limit
        out[last] |= stop[last] - self.clock.times(hi[last] - 1) > limit
        return out

    def _use(self, lo: Index, hi: Index) -> int:
        """Count the observations used, and return how many of them were used before; ``lo`` in order."""
        reached = np.maximum.accumulate(np.concatenate([[self._reached], hi]))
        new = np.maximum(hi - np.maximum(lo, reached[:-1]), 0)
        self._reached = int(reached[-1])
        self._used += int(new.sum())
        return int((hi - lo - new).sum())
