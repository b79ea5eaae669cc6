"""One value per instant from the observations around it, which are found per channel where some are NaN."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plait.align.join_clock import Observations
from plait.align.join_reduce import reduce_intervals
from plait.align.join_seen import next_seen
from plait.align.join_spline import KNOTS, spline_weights
from plait.streams.stream import Values

__all__ = ["POINT", "Picked", "Window"]

Times = NDArray[np.float64]
Index = NDArray[np.int64]
Mask = NDArray[np.bool_]

AT_ONCE = 4096
"""Most instants of a spline per block, because each has many weights."""


class Picked(NamedTuple):
    """Values [k, d], their mask, and when the latest observation of each row is known, [k] seconds."""

    values: Values
    known: Mask
    latest: Times


@dataclass(frozen=True)
class Window:
    """The rows of a stream from ``first`` on, [m, d], that some instants need, and their clock.

    ``clean``: NaN is not checked.
    """

    rows: Values
    first: int
    clock: Observations
    gap: float
    clean: bool = False

    def neighbours(self, at: Times) -> tuple[Index, Index]:
        """The last observation at or before each instant, the first at or after it, [k, d or 1].

        Indices count from the window's first row; -1 means none before, m none after.
        """
        size = len(self.rows)
        left = np.clip(self.clock.first(at, after=True) - 1 - self.first, -1, size - 1)[:, None]
        right = np.clip(self.clock.first(at) - self.first, 0, size)[:, None]
        if self.clean:
            return left, right
        return next_seen(self.rows, left, -1), next_seen(self.rows, right, 1)

    def times(self, index: Index) -> Times:
        """Instants of the observations; -inf for none before, inf for none after."""
        times = self.clock.times(self.first + np.clip(index, 0, len(self.rows) - 1))
        return np.where(index < 0, -np.inf, np.where(index >= len(self.rows), np.inf, times))

    def values(self, index: Index) -> Values:
        index = np.clip(index, 0, len(self.rows) - 1)
        return self.rows[index[:, 0]] if index.shape[1] == 1 else np.take_along_axis(self.rows, index, 0)

    def latest(self, index: Index, known: Mask) -> Times:
        """When the last observation used is known, over all channels, [k]."""
        over = self.clock.known(self.first + np.clip(index, 0, len(self.rows) - 1))
        return np.asarray(np.where(known, over, -np.inf).max(1, initial=-np.inf))

    def latest_among(self, start: Times, stop: Times) -> Times:
        """When the last of all observations from ``start`` to ``stop`` is known, [k]; -inf where there is none."""
        # Spans that begin in order do not end in order: a nearer one may turn out to be NaN after the one used ends.
        out = np.full(len(start), -np.inf)
        if self.clock.over is None or self.clean:
            return out
        lo, hi = self.clock.first(start), self.clock.first(stop, after=True)
        some = np.flatnonzero(hi > lo)
        out[some] = reduce_intervals(self.clock.over[:, None], lo[some], hi[some], np.maximum, np.float64)[:, 0]
        return out


def _full(window: Window, index: Index, known: Mask, latest: Times) -> Picked:
    values = window.values(index)
    return Picked(values, np.broadcast_to(known, values.shape), latest)


def _nearest(window: Window, at: Times) -> Picked:
    left, right = window.neighbours(at)
    slack = window.clock.slack(at)[:, None]
    back, ahead = at[:, None] - window.times(left), window.times(right) - at[:, None]
    pick = np.where(back <= ahead + slack, left, right)
    far = np.abs(np.minimum(back, ahead))
    known = np.isfinite(far) & (far <= window.gap / 2 + slack)
    latest = np.where(known & (far > slack), at[:, None] + far, -np.inf).max(1, initial=-np.inf)
    reach = np.where(known, far, -np.inf).max(1, initial=-np.inf)
    latest = np.maximum(latest, window.latest_among(at - reach, at + reach))
    return _full(window, pick, known, np.maximum(latest, window.latest(pick, known)))


def _hold(window: Window, at: Times) -> Picked:
    if window.clock.lasts is not None:
        pick = (window.clock.holding(at) - window.first)[:, None]
        known = pick >= 0
        if window.rows.dtype.kind == "f":
            known = known & np.isfinite(window.values(pick))
    else:
        pick, _ = window.neighbours(at)
        known = (pick >= 0) & (at[:, None] - window.times(pick) <= window.gap + window.clock.slack(at)[:, None])
    return _full(window, pick, known, window.latest(pick, known))


def _linear(window: Window, at: Times) -> Picked:
    left, right = window.neighbours(at)
    slack = window.clock.slack(at)[:, None]
    start, stop = window.times(left), window.times(right)
    # On an observation its value is exact, whatever comes after it.
    on = at[:, None] - start <= slack
    right = np.where(on, left, right)
    between = np.isfinite(start) & np.isfinite(stop)
    run = np.where(between, stop, 0.0) - np.where(between, start, 0.0)
    known = on | (between & (run <= window.gap + slack)) | (stop - at[:, None] <= slack)
    share = np.where(on, 0.0, (at[:, None] - np.where(between, start, 0.0)) / np.where(run > 0, run, 1.0))
    share = np.where(between, share, np.where(on, 0.0, 1.0))
    left = np.where(left < 0, right, left)
    low, high = window.values(left).astype(np.float64), window.values(right).astype(np.float64)
    values = low * (1 - share) + high * share
    latest = np.maximum(window.latest(right, known), window.latest(left, known))
    first = np.where(known, np.minimum(window.times(left), at[:, None]), np.inf).min(1, initial=np.inf)
    last = np.where(known, np.maximum(window.times(right), at[:, None]), -np.inf).max(1, initial=-np.inf)
    latest = np.maximum(latest, window.latest_among(first, last))
    return Picked(values, np.broadcast_to(known, values.shape), latest)


def _cubic(window: Window, at: Times) -> Picked:
    shape = (len(at), window.rows.shape[1])
    out = Picked(np.zeros(shape), np.zeros(shape, np.bool_), np.full(len(at), -np.inf))
    times = window.times(np.arange(len(window.rows)))
    for rows, columns in _alike(window):
        # Of observations at one instant the last counts: a spline needs increasing knots.
        rows = rows[np.append(np.diff(times[rows]) > 0, True)] if len(rows) else rows
        cuts = np.flatnonzero(np.diff(times[rows]) > window.gap + window.clock.slack(times[rows][1:])) + 1
        for run in np.split(rows, cuts):
            if len(run):
                _spline(window, times, at, run, columns, out)
    return out


def _alike(window: Window) -> Iterator[tuple[Index, Index]]:
    """Sets of observed rows, each with the columns that have exactly these."""
    # Channels usually share their pattern of NaN (a lost joint, a dropped packet), so few splines are solved.
    size, width = window.rows.shape
    if window.clean or window.rows.dtype.kind != "f":
        yield np.arange(size), np.arange(width)
        return
    seen = np.isfinite(window.rows)
    columns: dict[bytes, list[int]] = {}
    for i, packed in enumerate(np.packbits(seen, axis=0).T):
        columns.setdefault(packed.tobytes(), []).append(i)
    for own in columns.values():
        yield np.flatnonzero(seen[:, own[0]]), np.array(own)


def _spline(window: Window, times: Times, at: Times, run: Index, columns: Index, out: Picked) -> None:
    """Fill the instants within one run of observations without a gap."""
    from scipy.sparse import csr_array

    slack = window.clock.slack(at)
    inside = np.flatnonzero((at >= times[run[0]] - slack) & (at <= times[run[-1]] + slack))
    values = window.rows if len(columns) == window.rows.shape[1] else window.rows[:, columns]
    values = values.astype(np.float64, copy=False)
    size = min(KNOTS, len(run))
    for part in np.split(inside, range(AT_ONCE, len(inside), AT_ONCE)):
        when = np.clip(at[part], times[run[0]], times[run[-1]])
        left = np.searchsorted(times[run], when, "right") - 1
        knots = run[np.clip(left - size // 2 + 1, 0, len(run) - size) + np.arange(size)[:, None]]
        weights = spline_weights(times[knots], when)
        places = np.arange(0, knots.size + 1, size)
        matrix = csr_array((weights.T.ravel(), knots.T.ravel(), places), shape=(len(part), len(values)))
        cells = np.ix_(part, columns)
        out.values[cells], out.known[cells] = matrix @ values, True
        used = knots[-1:] if window.clock.over is None else knots
        latest = np.where(knots[-1] == run[-1], _end_of_run(window, times[run[-1]]), -np.inf)
        latest = np.maximum(latest, window.clock.known(window.first + used).max(0))
        latest = np.maximum(latest, window.latest_among(times[knots[0]], times[knots[-1]]))
        out.latest[part] = np.maximum(out.latest[part], latest)


def _end_of_run(window: Window, last: float) -> float:
    """When the end of a run is known: at the latest after a gap, which may contain NaN."""
    row = window.clock.first(np.array([last + window.gap]), after=True) - 1
    return float(window.clock.known(row)[0])


POINT: dict[str, Callable[[Window, Times], Picked]] = {
    "nearest": _nearest,
    "linear": _linear,
    "cubic": _cubic,
    "hold": _hold,
}
