"""Values of one clock on the observations of another; unknown values stay unknown."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plait.align.join import join
from plait.core.errors import DataError
from plait.streams.clock import Clock, Grid
from plait.streams.stream import ArraySource, Stream

__all__ = ["How", "resample"]

How = Literal["nearest", "linear", "hold", "mean"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def resample(
    values: ArrayLike,
    clock: Clock,
    grid: Grid,
    how: How = "linear",
    *,
    longest_gap: float | None = None,
    causal: bool = False,
) -> tuple[Array, Mask]:
    """Values on the observations of ``grid``, and where they are known.

    - ``nearest``, ``linear``, ``hold``: as `plait.align.join.join`.
    - ``mean``: mean of the line between observations over one step about each instant (if causal, over the step before
      it, of held observations). It needs no other filter against aliasing, because the box has its zeros at the
      grid's rate and all its multiples. Use it to go to a lower rate.

    Args:
        values: [n] or [n, ...] numbers; NaN means not observed. Each number of a vector has its own mask.
        clock: when each of the n was observed.
        grid: the target clock.
        how: see above.
        longest_gap: longest pause in seconds between two observations over which values are known. ``hold`` reaches
            this far, ``nearest`` half as far. Default: 4 median steps of the clock; no limit for a causal join of an
            irregular clock. Spans hold until they stop.
        causal: no value may depend on a later observation; only ``hold`` and ``mean`` can be causal.

    Returns:
        (values [grid.n, ...] float64 with 0 where unknown, mask of the same shape).

    Raises:
        DataError: lengths differ, the method is unknown, or it cannot be causal.

    >>> resample([0.0, 1.0, np.nan, 3.0], Grid(0, 1, 4), Grid(0, 2, 7))[0].tolist()
    [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    >>> resample([5.0, 7.0], Grid(0, 1, 2), Grid(0, 4, 5), "hold", longest_gap=0.5)[1].tolist()
    [True, True, True, False, True]
    """
    table = np.asarray(values, np.float64)
    gap = _gap(clock, longest_gap, causal)
    if table.ndim == 0 or len(table) != len(clock):
        raise DataError(f"{table.shape} values on a clock of {len(clock)}; expected one row per observation.")
    if how not in get_args(How):
        raise DataError(f"how={how!r}; expected one of {', '.join(get_args(How))}.")
    if causal and how in ("nearest", "linear"):
        raise DataError(f"how={how!r} looks at later observations. Use 'hold' or 'mean' where causal=True.")
    if how != "mean":
        joined = join(grid, Stream(clock, ArraySource(table), "series"), how, max_gap=gap, causal=causal)
        return joined.values, joined.mask
    flat = table.reshape(len(table), -1)
    out, mask = np.zeros((len(grid), flat.shape[1])), np.zeros((len(grid), flat.shape[1]), np.bool_)
    for i, column in enumerate(flat.T):
        out[:, i], mask[:, i] = _column(column, clock, grid, gap, causal)
    shape = (len(grid), *table.shape[1:])
    return out.reshape(shape), mask.reshape(shape)


def _column(values: Array, clock: Clock, grid: Grid, gap: float, causal: bool) -> tuple[Array, Mask]:
    seen = np.isfinite(values)
    times, values, at = clock.times[seen], values[seen], grid.times
    if len(times) == 0 or len(at) == 0:
        return np.zeros(len(at)), np.zeros(len(at), np.bool_)
    return (_mean_so_far if causal else _mean)(times, values, at, 1 / float(grid.rate), gap)


def _gap(clock: Clock, longest_gap: float | None, causal: bool) -> float:
    if longest_gap is not None:
        if not longest_gap > 0:
            raise DataError(f"longest_gap={longest_gap} s; expected above 0.")
        return longest_gap
    if isinstance(clock, Grid):
        return 4 / float(clock.rate)
    # The median of all steps would let a causal result depend on the future.
    return 4 * float(np.median(np.diff(clock.times))) if len(clock) > 1 and not causal else np.inf


def _mean(times: Array, values: Array, at: Array, step: float, gap: float) -> tuple[Array, Mask]:
    """Integral of the line between observations over the step about each instant, divided by its known seconds."""
    if len(times) == 1:
        near = np.abs(times[0] - at) <= step / 2
        return np.where(near, values[0], 0.0), near
    run = np.diff(times)
    counted = np.where(run <= gap * (1 + 1e-9), run, 0.0)
    area = np.concatenate([[0.0], np.cumsum(counted * (values[:-1] + values[1:]) / 2)])
    length = np.concatenate([[0.0], np.cumsum(counted)])

    def upto(t: Array) -> tuple[Array, Array]:
        t = np.clip(t, times[0], times[-1])
        i = np.clip(np.searchsorted(times, t, side="right") - 1, 0, len(run) - 1)
        part = (t - times[i]) * (counted[i] > 0)
        slope = (values[i + 1] - values[i]) / np.maximum(run[i], 1e-300)
        return area[i] + part * (values[i] + slope * part / 2), length[i] + part

    return _share(upto(at + step / 2), upto(at - step / 2), step)


def _mean_so_far(times: Array, values: Array, at: Array, step: float, gap: float) -> tuple[Array, Mask]:
    """Mean over the step before each instant; every observation holds until the next one (or for a gap)."""
    counted = np.minimum(np.diff(times, append=np.inf), gap)
    # The last observation holds for an infinite time: bounded, so that its area stays finite.
    bounded = np.minimum(counted, max(float(at[-1] - times[0]), 0.0) + step)
    area = np.concatenate([[0.0], np.cumsum(bounded * values)])
    length = np.concatenate([[0.0], np.cumsum(bounded)])

    def upto(t: Array) -> tuple[Array, Array]:
        i = np.clip(np.searchsorted(times, t, side="right") - 1, 0, None)
        part = np.clip(t - times[i], 0, bounded[i])
        return area[i] + part * values[i], length[i] + part

    return _share(upto(at), upto(at - step), step)


def _share(upper: tuple[Array, Array], lower: tuple[Array, Array], step: float) -> tuple[Array, Mask]:
    """The mean over intervals that are at least half known."""
    seconds = upper[1] - lower[1]
    known = np.asarray(seconds >= 0.5 * step * (1 - 1e-6))
    return np.where(known, (upper[0] - lower[0]) / np.where(known, seconds, 1.0), 0.0), known
