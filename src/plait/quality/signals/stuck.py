"""Stuck signals, and signals clipped at the ends of their range."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from plait.quality.signals import Finding, Measure, runs_of
from plait.streams.stream import Stream, Values

__all__ = ["Clipped", "Flat"]

Floats = NDArray[np.float64]


class Flat(Measure):
    """Runs in which all channels keep their values for unusually long: bad from one run.

    A working coarse sensor repeats values too (a thermometer for seconds). So a run counts only from 40 times the 0.9
    quantile of the runs' lengths (weighted by time) or 400 times their median, whichever is less; but always from 60 s,
    and never below 2 s. Gaps are left out.
    """

    kinds = ("series", "pose")

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self.lengths: Counter[int] = Counter()
        self.longest = (0, 0)
        self.last: Floats | None = None
        self.run = self.begin = 0

    def add(self, values: Values, first: int) -> None:
        table = np.asarray(values, np.float64).reshape(len(values), -1)
        rows = np.flatnonzero(np.isfinite(table).any(1))
        if not len(rows):
            return
        table = table[rows]
        before = table[:1] if self.last is None else self.last[None]
        # A channel that is lost for a moment has not changed.
        change = ~((np.diff(table, axis=0, prepend=before) == 0) | ~np.isfinite(table)).all(1)
        starts = np.flatnonzero(change)
        bounds = np.concatenate([starts, [len(table)]])
        if self.last is None:
            self.begin = first + int(rows[0])
        self.run += int(bounds[0])
        self.last = table[-1]
        if len(starts):
            self._close(np.concatenate([[self.run], np.diff(bounds)[:-1]]), [self.begin, *(first + rows[starts[:-1]])])
            self.run, self.begin = int(bounds[-1] - bounds[-2]), first + int(rows[starts[-1]])

    def _close(self, lengths: NDArray[np.int64], begins: Sequence[int]) -> None:
        """Count runs that have ended."""
        for length, count in zip(*np.unique(lengths, return_counts=True)):
            self.lengths[int(length)] += int(count)
        best = int(np.argmax(lengths))
        self.longest = max(self.longest, (int(lengths[best]), int(begins[best])))

    def findings(self) -> Iterator[Finding]:
        if self.last is None:
            return
        self._close(np.array([self.run]), [self.begin])
        lengths = np.array(sorted(self.lengths))
        inside = lengths * np.array([self.lengths[k] for k in lengths])
        done = np.cumsum(inside) / inside.sum()
        nine, half = (lengths[int(np.searchsorted(done, q))] for q in (0.9, 0.5))
        limit = min(max(min(40 * nine, 400 * half) * self.step, 2.0), 60.0)
        share = float(inside[lengths * self.step >= limit].sum() / inside.sum())
        run, begin = self.longest
        place = (self.seconds(begin), run * self.step) if share else (None, None)
        yield Finding("flat", share, share > 0 and inside.sum() > 1, *place)


KEPT = 12
"""Number of extreme values that distinguish clipping from a single peak."""


class Clipped(Measure):
    """Values accumulated at the top or bottom of a channel's range: bad from 0.1 %.

    They count if the extreme value occurs at least 10 times, and 4 times as often as the next eleven on average; in
    sound also everything from 0.999 of full scale up.
    """

    kinds = ("series", "pose", "waveform")

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self.ends: dict[tuple[int, int], tuple[Floats, NDArray[np.int64]]] = {}
        self.longest: dict[tuple[int, int], tuple[float, int, int]] = {}  # extreme value, longest run at it, its start
        self.total, self.full, self.full_at = 0, 0, -1

    def add(self, values: Values, first: int) -> None:
        table = values.reshape(len(values), -1)
        self.total += table.size
        for channel in range(table.shape[1]):
            column = table[:, channel]
            if column.dtype.kind == "f" and not np.isfinite(column).any():
                continue
            for sign in (1, -1):
                self._end((channel, sign), sign * column.astype(np.float64), first)
        if self.stream.kind == "waveform" and values.dtype.kind == "f":
            loud = np.abs(table) >= 0.999
            if loud.any() and self.full_at < 0:
                self.full_at = first + int(loud.any(1).argmax())
            self.full += int(loud.sum())

    def _end(self, key: tuple[int, int], values: Floats, first: int) -> None:
        """Add the highest values of a block, [n] with NaN, and the longest run at the maximum."""
        known = self.ends.get(key)
        least = -np.inf if known is None or len(known[0]) < KEPT else known[0][0]
        # Only candidates for the highest values are counted, so that memory does not grow with the stream.
        found, counts = np.unique(_highest(values, least), return_counts=True)
        if known is not None:
            found, where = np.unique(np.concatenate([known[0], found]), return_inverse=True)
            counts = np.bincount(where, np.concatenate([known[1], counts]), len(found)).astype(np.int64)
        self.ends[key] = (found[-KEPT:], counts[-KEPT:])
        starts, stops = runs_of(values == found[-1])
        if len(starts):
            best = int((stops - starts).argmax())
            now = (float(found[-1]), int(stops[best] - starts[best]), first + int(starts[best]))
            self.longest[key] = max(self.longest.get(key, now), now, key=lambda run: run[:2])

    def findings(self) -> Iterator[Finding]:
        crowds: dict[tuple[int, int], int] = {}
        for key, (values, counts) in self.ends.items():
            usual = float(counts[:-1].mean()) if len(counts) > 1 else np.inf
            # Enough values in between, so that a switch or a class number is not taken for clipping.
            if len(values) == KEPT and counts[-1] >= 10 and counts[-1] >= 4 * usual:
                crowds[key] = int(counts[-1])
        count = max(sum(crowds.values()), self.full)
        share = count / max(self.total, 1)
        worst = max(crowds, key=crowds.__getitem__) if crowds else None
        run, begin = self.longest[worst][1:] if worst else (0, self.full_at)
        place = (self.seconds(begin) if begin >= 0 else None, run * self.step or None)
        named = self.channel(worst[0]) if worst and self.stream.kind == "series" else ""
        yield Finding("clipped", share, share >= 0.001, *place, channel=named)


def _highest(values: Floats, least: float) -> Floats:
    """Values that may be among the highest distinct ones, without NaN."""
    values = values[values >= least]
    if not np.isfinite(least):
        distinct = np.unique(values)
        return values[values >= distinct[-KEPT]] if len(distinct) > KEPT else values
    return values
