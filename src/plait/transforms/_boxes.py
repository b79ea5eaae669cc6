"""A box over time from a detector's finds: one path through them, without outliers, stabilised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BoxPath", "best_path", "lowess", "settle"]

Array = NDArray[np.float64]

REACH = 3.0
"""Seconds over which a path continues without a find."""

JUMP = 1.0
"""A find at more than this distance, in box sizes (position and size combined), starts a new run."""

COARSE = 5
"""Length of the running median, in finds, that decides whether the box stands still."""


@dataclass(frozen=True)
class BoxPath:
    """A square box over time.

    Attributes:
        times: [k], seconds, in order; k is at least 1.
        centre: [k, 2], x and y, pixels.
        size: [k], pixels.
        run: [k], number of the run of each; between runs the box jumps midway.
        still: [k], whether the box stands still in its run.

    >>> path = BoxPath(np.arange(2.0), np.array([[4.0, 4], [8, 4]]), np.ones(2), np.zeros(2, int), np.zeros(2, bool))
    >>> path.at(np.array([0.5, 7.0]))[0].tolist()
    [[6.0, 4.0], [8.0, 4.0]]
    """

    times: Array
    centre: Array
    size: Array
    run: NDArray[np.int64]
    still: NDArray[np.bool_]

    def at(self, times: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Centre [n, 2], size [n] and whether it stands still [n]: linear within a run, constant beyond its ends."""
        change = np.flatnonzero(np.diff(self.run)) + 1
        edges = (self.times[change] + self.times[change - 1]) / 2
        starts, stops = [0, *change.tolist()], [*change.tolist(), len(self.times)]
        parts = np.searchsorted(edges, times, "right")
        centre, size, still = np.empty((len(times), 2)), np.empty(len(times)), np.empty(len(times), bool)
        for part in np.unique(parts):
            here, own = parts == part, slice(starts[part], stops[part])
            centre[here, 0] = np.interp(times[here], self.times[own], self.centre[own, 0])
            centre[here, 1] = np.interp(times[here], self.times[own], self.centre[own, 1])
            size[here] = np.interp(times[here], self.times[own], self.size[own])
            still[here] = self.still[starts[part]]
        return centre, size, still


def best_path(times: Array, finds: Sequence[Array]) -> tuple[NDArray[np.int64], Array]:
    """The best path: the instants that have a find on it, [k], and these finds, [k, 3] (x, y, size).

    A find gains its size relative to the largest ones; a step over d box sizes costs 2 d, at most 2. So a stray find,
    which costs a jump there and back, is never worth it, but another face after a cut is. Solved exactly by dynamic
    programming over the finds of the last `REACH` seconds.

    Args:
        times: [n], seconds.
        finds: per instant [m, 3]: x and y of the centre, and size; m may be 0.

    >>> finds = [np.array([[50.0, 50, 20]])] * 5
    >>> finds[2] = np.array([[200.0, 10, 22]])
    >>> best_path(np.arange(5) / 5, finds)[0].tolist()
    [0, 1, 3, 4]
    """
    owner = np.repeat(np.arange(len(finds)), [len(f) for f in finds])
    if not len(owner):
        return owner, np.zeros((0, 3))
    boxes = np.concatenate([np.asarray(f, np.float64).reshape(-1, 3) for f in finds])
    at = times[owner]
    # Relative to a high quantile, not the maximum, which may be a false detection of half the picture.
    score = np.minimum(boxes[:, 2] / np.quantile(boxes[:, 2], 0.95), 1.0)
    back, leader = np.full(len(owner), -1), np.arange(len(owner))  # leader: the best of all up to here
    first, stop = np.searchsorted(at, at - REACH), np.searchsorted(owner, owner)
    for j in range(len(owner)):
        lo, hi = int(first[j]), int(stop[j])
        # Of finds before `REACH` only the best total matters: a jump from there costs the same wherever it lies.
        before = np.arange(lo, hi) if lo == 0 else np.concatenate([[leader[lo - 1]], np.arange(lo, hi)])
        if len(before):
            reached = score[before] - 2 * np.minimum(_apart(boxes[before], boxes[j]), 1.0)
            k = int(np.argmax(reached))
            if reached[k] > 0:
                score[j], back[j] = score[j] + reached[k], before[k]
        if j and score[leader[j - 1]] >= score[j]:
            leader[j] = leader[j - 1]
    chosen = [int(leader[-1])]
    while back[chosen[-1]] >= 0:
        chosen.append(int(back[chosen[-1]]))
    return owner[chosen[::-1]], boxes[chosen[::-1]]


def _apart(boxes: Array, others: Array) -> Array:
    """Distance of boxes [..., 3] from others, in box sizes: centre and size together."""
    size = np.sqrt(boxes[..., 2] * others[..., 2])
    far: Array = np.hypot(boxes[..., 0] - others[..., 0], boxes[..., 1] - others[..., 1]) / size
    return far + np.abs(np.log(boxes[..., 2] / others[..., 2]))


def settle(times: Array, boxes: Array, smooth: float, still: float) -> BoxPath:
    """A stabilised path of finds: constant where it moves less than the detector's error, else smoothed.

    Runs between jumps of more than `JUMP` are treated separately, and so are centre and size. If the range of their
    running median is within ``still`` box sizes, they become their median over the run. Otherwise they are smoothed by
    robust local parabolas (`lowess`) over ``smooth`` seconds.

    Args:
        times: [k], seconds. boxes: [k, 3], x and y of the centre, and size.

    >>> path = settle(np.arange(3.0), np.array([[50.0, 50, 20], [50.6, 50, 20], [49.8, 50, 20.4]]), 2.0, 0.1)
    >>> path.centre.tolist(), bool(path.still.all())
    ([[50.0, 50.0], [50.0, 50.0], [50.0, 50.0]], True)
    """
    jumps = _apart(boxes[1:], boxes[:-1]) > JUMP
    run = np.concatenate([[0], np.cumsum(jumps)]).astype(np.int64)
    out, calm = boxes.copy(), np.zeros(len(times), bool)
    for part in range(int(run[-1]) + 1):
        own = run == part
        size = float(np.median(boxes[own, 2]))
        stands = _range(boxes[own, :2] / size) <= still
        # Sizes compare by ratio.
        same = _range(np.log(boxes[own, 2:])) <= 2 * still
        columns = [stands, stands, same]
        for c, constant in enumerate(columns):
            x = boxes[own, c]
            out[own, c] = np.median(x) if constant else lowess(times[own], x, smooth)
        calm[own] = stands and same
    return BoxPath(times, out[:, :2], out[:, 2], run, calm)


def _range(values: Array) -> float:
    """Largest range of the running median of the columns of [k, columns]."""
    k = min(COARSE, len(values))
    windows = np.lib.stride_tricks.sliding_window_view(values, k, axis=0)
    return float(np.ptp(np.median(windows, -1), axis=0).max())


def lowess(times: Array, values: Array, span: float, rounds: int = 3) -> Array:
    """Robust local parabolas: values [k] smoothed over about ``span`` seconds, at their own times.

    Cleveland, "Robust locally weighted regression and smoothing scatterplots", JASA 1979: tricube weights, then
    bisquare weights of the residuals; degree 2, which does not flatten peaks. Departure: the neighbourhood is the
    number of points within ``span`` at the median spacing (at least 5), the same for all.

    >>> x = np.arange(20.0)
    >>> y = x**2 / 4 + np.random.default_rng(0).normal(0, 0.3, 20) + 90 * (x == 7)
    >>> bool(np.abs(lowess(x, y, 9.0) - x**2 / 4).max() < 0.4)
    True
    """
    k = len(values)
    if k < 4:
        return np.full(k, np.median(values))
    step = max(float(np.median(np.diff(times))), 1e-9)
    count = min(max(round(span / step) | 1, 5), k)
    near = np.clip(np.arange(k) - count // 2, 0, k - count)[:, None] + np.arange(count)
    t = times[near] - times[:, None]
    # Slightly wider than the farthest point, which would otherwise have no weight.
    bandwidth = np.abs(t).max(1, keepdims=True) * (1 + 1e-6) + 1e-12
    powers = (t / bandwidth)[..., None] ** np.arange(3)
    tricube = (1 - (np.abs(t) / bandwidth) ** 3) ** 3
    robust = np.ones(k)
    for _ in range(rounds):
        # Not quite 0, so that a neighbourhood of outliers can still be solved.
        weight = tricube * (robust[near] + 1e-6)
        weighted = powers * weight[..., None]
        square = np.einsum("kni,knj->kij", weighted, powers) + 1e-9 * np.eye(3)
        # Without the mean the ridge would pull the fit towards 0.
        level = values[near].mean(1)
        right = np.einsum("kni,kn->ki", weighted, values[near] - level[:, None])
        fitted: Array = level + np.linalg.solve(square, right[..., None])[:, 0, 0]
        residual = np.abs(values - fitted)
        bound = 6 * max(float(np.median(residual)), 1e-9)
        robust = np.maximum(1 - (residual / bound) ** 2, 0.0) ** 2
    return fitted
