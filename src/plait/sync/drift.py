"""Offset and drift: a robust straight line through the lags of many windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Line", "fit_line"]

Array = NDArray[np.float64]

TYPICAL_DRIFT = 200e-6
"""How much clocks drift, seconds per second: the slope is drawn towards 0 with this deviation, which matters
only where a recording is too short to tell."""


@dataclass(frozen=True)
class Line:
    """``lag = offset + drift * (t - pivot)``.

    Attributes:
        offset: seconds at the pivot.
        drift: seconds per second.
        pivot: seconds.
        covariance: of (offset, drift), [2, 2].
        spread: robust deviation of the lags about the line, seconds.
        inliers: share of the weight within 12 ms of the line, 0..1.
        n: number of lags.
    """

    offset: float
    drift: float
    pivot: float
    covariance: Array
    spread: float
    inliers: float
    n: int

    def at(self, t: Array | float) -> Array:
        """The lag at seconds t."""
        return np.asarray(self.offset + self.drift * (np.asarray(t) - self.pivot))

    def error_at(self, t: Array | float) -> Array:
        """Standard error of the lag at seconds t."""
        away = np.asarray(t, np.float64) - self.pivot
        c = self.covariance
        return np.asarray(np.sqrt(c[0, 0] + 2 * away * c[0, 1] + away**2 * c[1, 1]))


def fit_line(
    times: Array,
    lags: Array,
    weights: Array,
    groups: NDArray[np.int64],
    *,
    pivot: float,
    typical: float = TYPICAL_DRIFT,
) -> Line:
    """A line by Theil and Sen's medians, then iteratively reweighted least squares (Tukey's biweight).

    Args:
        times: [n] seconds.
        lags: [n] seconds.
        weights: [n], inverse variances up to a factor for each group.
        groups: [n], which pair of signals a lag comes from; each group has a scale of its own.
        pivot: where the line's offset is stated, seconds.
        typical: deviation of the drifts to be expected, seconds per second.

    >>> t = np.linspace(0, 60, 15); lag = 1.5 + 1e-4 * (t - 30); lag[3] += 0.03
    >>> line = fit_line(t, lag, np.ones(15), np.zeros(15, int), pivot=30.0)
    >>> round(line.offset, 4), round(line.drift * 1e6, -1)
    (1.5, 100.0)
    """
    x = times - pivot
    slope = _theil_sen(x, lags, typical)
    line = np.array([_weighted_median(lags - slope * x, weights), slope])
    scale, root = np.ones(len(x)), np.ones(len(x))
    covariance = np.zeros((2, 2))
    for _ in range(30):
        residual = lags - line[0] - line[1] * x
        scale = _scales(residual, weights, groups)
        root = np.clip(1 - (residual / (4.685 * scale)) ** 2, 0, None)
        design = np.column_stack([np.ones(len(x)), x]) * (root / scale)[:, None]
        normal = design.T @ design + np.diag([1e-6, typical**-2])
        covariance = np.linalg.inv(normal)
        new = covariance @ (design.T @ (lags * root / scale))
        done = np.abs(new - line) @ [1, 1 + np.abs(x).max()] < 1e-7
        line = new
        if done:
            break
    residual = np.abs(lags - line[0] - line[1] * x)
    spread = 1.4826 * _weighted_median(residual, weights)
    share = np.minimum(weights, 3 * np.median(weights))
    inliers = float(share[residual < 0.012].sum() / max(share.sum(), 1e-12))
    return Line(float(line[0]), float(line[1]), pivot, covariance, float(spread), inliers, len(x))


def _scales(residual: Array, weights: Array, groups: NDArray[np.int64]) -> Array:
    """Deviation of each lag: its group's robust spread, by its weight within the group; at least 1 ms."""
    out = np.empty(len(residual))
    for g in np.unique(groups):
        own = groups == g
        relative = np.sqrt(weights[own] / np.median(weights[own])).clip(0.2, 3.0)
        unit = 1.4826 * np.median(np.abs(residual[own]) * relative) * (1 + 2 / own.sum())
        out[own] = max(float(unit), 0.001) / relative
    return out.clip(0.0005)


def _theil_sen(x: Array, lags: Array, typical: float) -> float:
    """Median of the slopes between pairs of lags, over those far enough apart to matter."""
    if len(x) > 400:
        pick = np.linspace(0, len(x) - 1, 400).astype(int)
        x, lags = x[pick], lags[pick]
    i, j = np.triu_indices(len(x), 1)
    run = x[j] - x[i]
    far = np.abs(run) > 0.3 * max(float(np.ptp(x)), 1e-9)
    if not far.any():
        return 0.0
    slope = float(np.median((lags[j] - lags[i])[far] / run[far]))
    return float(np.clip(slope, -5 * typical, 5 * typical))


def _weighted_median(values: Array, weights: Array) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
