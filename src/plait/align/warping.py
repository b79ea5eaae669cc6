"""Dynamic time warping: a common time for two performances of one thing at varying speed.

Examples are a word said by two speakers, an exercise done twice, a score and its performance. Where two devices saw the
same event, their clocks differ by an offset and a drift, and `plait.clocks.synchronise` finds these far more exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plait.align.join import join
from plait.align.join_clock import typical_step
from plait.core.errors import ConfigError, DataError, need, raise_all
from plait.streams.clock import Clock, Grid, Spans, Ticks
from plait.streams.stream import Stream
from plait.streams.warp import Warp

__all__ = ["TimeMap", "align_by_warping", "warp_path"]

Values = NDArray[np.float64]
Path = NDArray[np.float64]

CELLS = 10_000_000
"""Most cells of the table of one exact warping, 8 bytes each; longer streams are warped from coarse to fine."""

FACTOR = 4
"""Ratio of resolution between one level and the next."""

RADIUS = 32
"""Most rows by which a finer level may correct the previous one."""

STRETCH = 8192
"""Rows of a finer level that are warped per block."""


@dataclass(frozen=True)
class TimeMap:
    """Two matched time lines: ``a[i]`` seconds of one correspond to ``b[i]`` seconds of the other.

    In between the map is linear; beyond, both time lines run at the same speed.

    Attributes:
        a, b: [k], neither decreasing.
        distance: root of the mean squared difference of the matched values, per channel; 0 for equal streams.

    >>> warp = TimeMap(np.array([0.0, 1.0, 2.0]), np.array([0.0, 3.0, 4.0]), 0.0)
    >>> warp.to_a([1.5, 3.5, 5.0]).tolist(), warp.to_b([0.5]).tolist()
    ([0.5, 1.5, 3.0], [1.5])
    >>> warp.clock(Ticks([1.5, 3.5])).times.tolist()
    [0.5, 1.5]
    """

    a: Values
    b: Values
    distance: float

    def to_a(self, times: ArrayLike) -> Values:
        """Times of the second stream on the first one's time line."""
        return _map(self.b, self.a, np.asarray(times, np.float64))

    def to_b(self, times: ArrayLike) -> Values:
        """Times of the first stream on the second one's time line."""
        return _map(self.a, self.b, np.asarray(times, np.float64))

    def clock(self, clock: Clock) -> Clock:
        """A clock of the second time line on the first: ``b.on(warp.clock(b.clock))`` is b at a's pace."""
        if isinstance(clock, Spans):
            return Spans(self.to_a(clock.starts), self.to_a(clock.stops))
        return Ticks(self.to_a(clock.times))

    def bend(self, every: float = 0.5) -> Warp:
        """The same map as a correction of the second stream's clock (``warp`` of a stream in a manifest).

        It has one linear piece per ``every`` seconds. Where time stands still, it runs at a thousandth of its speed.
        """
        first, last = float(self.b[0]), float(self.b[-1])
        times = np.linspace(first, last, max(round((last - first) / every), 1) + 1)
        there = self.to_a(times)
        even = there[0] + (there[-1] - there[0]) * (times - first) / max(last - first, 1e-9)
        there = 0.999 * there + 0.001 * even
        return Warp(zip(times.tolist(), (there - times).tolist()))


def _map(source: Values, target: Values, times: Values) -> Values:
    """Linear interpolation through the points, with the mean of points at the same time."""
    at, which, count = np.unique(source, return_inverse=True, return_counts=True)
    there = np.maximum.accumulate(np.bincount(which, target) / count)  # rounding must not turn it back
    out: Values = np.interp(times, at, there)
    beyond: Values = np.minimum(times - at[0], 0.0) + np.maximum(times - at[-1], 0.0)
    return out + beyond


def warp_path(x: ArrayLike, y: ArrayLike, *, band: int | None = None) -> tuple[NDArray[np.int64], float]:
    """The exact warping of two sequences: pairs (row of x, row of y) [k, 2] and the distance along them.

    The path goes from the first to the last rows by steps (1, 0), (0, 1) and (1, 1) and minimises the sum of squared
    Euclidean distances; the distance is the root of that sum (Sakoe and Chiba 1978, symmetric, unweighted). Computed
    by the package dtaidistance (extra ``dtw``). Time and memory grow with the product of the lengths, or of one length
    and the band.

    Args:
        x: [n] or [n, d] numbers.
        y: [m] or [m, d] numbers.
        band: most rows that a pair may lie off both diagonals (Sakoe and Chiba's window); None: no limit.

    Raises:
        DataError: shapes do not agree, a value is not finite, or the table would have more than 10 million cells.
        ConfigError: the band is below 1.

    >>> warp_path([0.0, 1.0, 5.0], [0.0, 1.0, 1.0, 5.0])
    (array([[0, 0],
           [1, 1],
           [1, 2],
           [2, 3]]), 0.0)
    """
    one, other = (np.ascontiguousarray(v, np.float64) for v in (x, y))
    problems = [
        f"{name}: has shape {v.shape}; expected [n] or [n, d] with at least one row."
        for name, v in (("x", one), ("y", other))
        if v.ndim not in (1, 2) or not v.size
    ]
    if not problems and one.shape[1:] != other.shape[1:]:
        problems.append(f"x has rows of shape {one.shape[1:]}, y of {other.shape[1:]}; expected the same.")
    problems += [f"{n}: has values that are not finite." for n, v in (("x", one), ("y", other)) if not _finite(v)]
    raise_all(DataError, problems)
    if band is not None and band < 1:
        raise ConfigError(f"band={band} rows; expected 1 or more.")
    if _cells(len(one), len(other), band) > CELLS:
        raise DataError(f"{len(one)} by {len(other)} rows are too many for one table. Use align_by_warping, or a band.")
    return _exact(one, other, band)


def _finite(values: Values) -> bool:
    return bool(np.isfinite(values).all())


def _cells(n: int, m: int, band: int | None) -> int:
    return n * (m if band is None else min(m, 2 * band + abs(n - m)))


def _exact(x: Values, y: Values, band: int | None) -> tuple[NDArray[np.int64], float]:
    dtw: Any = need("dtaidistance.dtw", "dtw", "dynamic time warping")
    if x.ndim == 2 and x.shape[1] == 1:
        x, y = x[:, 0], y[:, 0]  # the package takes a single channel flat only
    options = {} if band is None else {"window": int(band)}
    # Its variant for little memory (use_lowmem) is not used: release 2.5.1 crashes on short input.
    path, distance = dtw.warping_path_fast(x, y, include_distance=True, **options)
    return np.array(path, np.int64), float(distance)


def align_by_warping(
    a: Stream, b: Stream, *, rate: float | None = None, band: float | None = None, scale: bool = True
) -> TimeMap:
    """Warp two streams of numbers with the same channels onto each other, from their first to their last instant.

    Short streams are warped exactly (`warp_path`), long ones from coarse to fine (after Salvador and Chan, FastDTW,
    2007): means over longer steps are warped exactly, then each finer level corrects the path by at most 32 of its
    rows, some thousand rows at a time. Memory holds the numbers on the grid and 10 million cells.

    Args:
        a: stream whose time line is kept: numbers, such as features, sensors or a pose.
        b: the other stream.
        rate: rows per second at which both are compared; default: the lower of their rates.
        band: seconds by which the two may be apart once both are stretched to one length; None: no limit.
        scale: scale each channel of each stream to mean 0 and standard deviation 1 first.

    Raises:
        DataError: a stream is not of numbers, too short, or nothing is known of a channel; channels differ.
        ConfigError: a rate or band that is not above 0.

    >>> t = np.linspace(0, 1, 101)
    >>> slow, fast = Stream.of(np.sin(9 * t), rate=50), Stream.of(np.sin(9 * t[::2]), rate=50)
    >>> warp = align_by_warping(slow, fast)
    >>> round(float(warp.to_b([1.0])[0]), 1)
    0.5
    """
    bad = [f"{name}={v}; expected above 0." for name, v in (("rate", rate), ("band", band)) if v is not None and v <= 0]
    raise_all(ConfigError, bad)
    rate = None if rate is None else float(rate)
    own = 1 / max(typical_step(a.clock), typical_step(b.clock)) if len(a) > 1 and len(b) > 1 else 1.0
    grids, rows, problems = [], [], []
    for name, stream in (("the first stream", a), ("the second stream", b)):
        try:
            grid, values = _on_grid(stream, rate or own, scale)
            grids.append(grid)
            rows.append(values)
        except DataError as error:
            problems += [f"{stream.where or name}: {problem}" for problem in error.problems]
    if not problems and rows[0].shape[1] != rows[1].shape[1]:
        problems.append(f"the streams have {rows[0].shape[1]} and {rows[1].shape[1]} channels; expected the same ones.")
    raise_all(DataError, problems)
    path = _coarse_to_fine(rows[0], rows[1], None if band is None else max(round(band * (rate or own)), 1))
    apart = _at(rows[0], path[:, 0]) - _at(rows[1], path[:, 1])
    times = [grid.start + path[:, i] / float(grid.rate) for i, grid in enumerate(grids)]
    return TimeMap(times[0], times[1], float(np.sqrt(np.mean(apart**2))))


def _on_grid(stream: Stream, rate: float, scale: bool) -> tuple[Grid, Values]:
    """A stream's numbers at a rate, [n, d], with gaps interpolated."""
    if stream.kind == "words" or len(stream) < 2:
        raise DataError(f"{len(stream)} {stream.kind} cannot be warped; expected numbers, two rows at least.")
    length = float(stream.clock.times[-1] - stream.clock.times[0])
    grid = Grid(float(stream.clock.times[0]), rate, int(length * rate + 1e-6) + 1)
    # Means where the stream is denser than the grid, against aliasing.
    finer = 1 / typical_step(stream.clock) > 1.5 * rate
    joined = join(grid, stream, "mean" if finer else "linear", max_gap=np.inf)
    values = joined.values.reshape(len(grid), -1).astype(np.float64)
    known = joined.mask.reshape(values.shape)
    if not known.any(0).all():
        dead = np.flatnonzero(~known.any(0))
        raise DataError(f"nothing is known of channel {dead[0]} ({len(dead)} such). Leave it out.")
    for i in np.flatnonzero(~known.all(0)):
        seen = np.flatnonzero(known[:, i])
        values[:, i] = np.interp(np.arange(len(values)), seen, values[seen, i])
    if scale:
        values -= values.mean(0)
        spread = values.std(0)
        values /= np.where(spread > 0, spread, 1.0)
    return grid, values


def _at(rows: Values, place: Values) -> Values:
    """Rows at fractional places, linearly interpolated, [k, d]."""
    low = np.clip(place.astype(np.int64), 0, max(len(rows) - 2, 0))
    share = (place - low)[:, None]
    out: Values = rows[low] * (1 - share) + rows[np.minimum(low + 1, len(rows) - 1)] * share
    return out


def _coarse_to_fine(x: Values, y: Values, band: int | None) -> Path:
    """Pairs of places in x and y, [k, 2], from their first to their last rows, neither decreasing."""
    if _cells(len(x), len(y), band) <= CELLS:
        return _exact(x, y, band)[0].astype(np.float64)
    small = [_pooled(v) for v in (x, y)]
    coarse = _coarse_to_fine(small[0], small[1], None if band is None else max(band // FACTOR, 1))
    path = np.clip((coarse + 0.5) * FACTOR - 0.5, 0, [len(x) - 1, len(y) - 1])
    path = np.concatenate([[[0.0, 0.0]], path, [[len(x) - 1.0, len(y) - 1.0]]])
    number = np.arange((len(path) - 1) * FACTOR + 1) / FACTOR
    fine = np.stack([np.interp(number, np.arange(len(path)), side) for side in path.T], 1)
    return _corrected(x, y, fine)


def _pooled(values: Values) -> Values:
    """Means over `FACTOR` rows; the last one may cover fewer."""
    starts = np.arange(0, len(values), FACTOR)
    count = np.minimum(len(values) - starts, FACTOR)
    pooled: Values = np.add.reduceat(values, starts, axis=0) / count[:, None]
    return pooled


def _corrected(x: Values, y: Values, path: Path) -> Path:
    """A path corrected by up to `RADIUS` rows: both sequences, resampled along it, are warped near the diagonal."""
    # A margin on both sides: the ends of each block are pinned, so the path is wrong near them.
    margin, out = 4 * RADIUS, path[:, 1].copy()
    for lo in range(0, len(path), STRETCH):
        first, last = max(lo - margin, 0), min(lo + STRETCH + margin, len(path))
        part = path[first:last]
        pairs, _ = _exact(_at(x, part[:, 0]), _at(y, part[:, 1]), RADIUS)
        count = np.bincount(pairs[:, 0], minlength=len(part))
        there = np.bincount(pairs[:, 0], part[pairs[:, 1], 1], len(part)) / count
        own = slice(lo - first, min(lo + STRETCH, len(path)) - first)
        out[lo : lo + STRETCH] = there[own]
    ends = np.maximum.accumulate(np.clip(out, 0, len(y) - 1))
    ends[-1] = path[-1, 1]
    return np.stack([path[:, 0], ends], 1)
