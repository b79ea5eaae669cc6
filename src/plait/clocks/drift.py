"""Offset and drift: a robust straight line through the lags of many windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["FREE", "Curve", "Weighed", "closeness", "fit_line", "reweighted", "weighted_median"]

Array = NDArray[np.float64]

FLOOR = 0.001
"""Default least standard deviation of a lag, seconds."""

FREE = 1e4
"""Prior standard deviation of a free coefficient, seconds."""

CUT = 4.685
"""Standard deviations from which Tukey's biweight gives a lag no weight (95 % efficient for normal errors)."""

TYPICAL_DRIFT = 200e-6
"""Prior standard deviation of the drift, seconds per second. It matters only where a recording is too short to
determine the slope."""


@dataclass(frozen=True)
class Curve:
    """The lag over time: ``offset + drift * (t - pivot)``, or piecewise linear between knots.

    Attributes:
        offset: seconds at the pivot, of the best straight line.
        drift: seconds per second, of the best straight line.
        pivot: seconds.
        covariance: of (offset, drift), [2, 2].
        spread: robust deviation of the lags about the curve, seconds.
        inliers: share of the weight within 12 ms of the curve, 0..1.
        n: number of lags.
        knots: (t, lag), ordered by t; the lag is linear between them and continues straight beyond them. Empty for
            a plain line. Two knots with the same t are a jump up. A jump down by s seconds is a piece that falls by
            s within s seconds, so that ``t + lag`` never runs backwards.
        change_points: (t, size in seconds) where the lag jumps because samples were dropped: above 0 by the stream
            that t belongs to, below 0 by the other one. The knots include them.
        errors: standard error of the lag at each knot, seconds.
        wander: (t, standard error in seconds) of a lag whose drift is never quite steady (see `plait.clocks.wander`).
            Its excess over the curve's own error is how far the clock may leave the curve.
    """

    offset: float
    drift: float
    pivot: float
    covariance: Array
    spread: float
    inliers: float
    n: int
    knots: tuple[tuple[float, float], ...] = ()
    change_points: tuple[tuple[float, float], ...] = ()
    errors: tuple[float, ...] = ()
    wander: tuple[tuple[float, float], ...] = ()

    def at(self, t: Array | float) -> Array:
        """The lag at seconds t; at the instant of a jump, the lag after it."""
        when = np.asarray(t, np.float64)
        if not self.knots:
            return np.asarray(self.offset + self.drift * (when - self.pivot))
        left, share = self._place(when)
        lag = np.array([y for _, y in self.knots])
        return np.asarray(lag[left] + share * (lag[left + 1] - lag[left]))

    def error_at(self, t: Array | float) -> Array:
        """Standard error of the lag at seconds t."""
        when = np.asarray(t, np.float64)
        if self.knots:
            left, share = self._place(when)
            error = np.array(self.errors)
            return np.asarray(np.hypot((1 - share) * error[left], share * error[left + 1]))
        away = when - self.pivot
        c = self.covariance
        return np.asarray(np.sqrt(c[0, 0] + 2 * away * c[0, 1] + away**2 * c[1, 1]))

    def wander_at(self, t: Array | float) -> Array:
        """Standard error of the clock's distance from the curve at seconds t, in seconds."""
        if not self.wander:
            return np.zeros(np.shape(t))
        at, error = np.array(self.wander).T
        return np.asarray(np.sqrt(np.maximum(np.interp(t, at, error) ** 2 - self.error_at(t) ** 2, 0.0)))

    @property
    def steepest(self) -> float:
        """The largest drift of any piece, seconds per second, without change points."""
        slopes = [abs(self.drift)] if not self.knots else [0.0]
        for (t, lag), (later, other) in pairwise(self.knots):
            slope = abs(other - lag) / max(later - t, 1e-9)
            # No clock drifts by half: a slope that steep is a jump down, spread over its own length.
            slopes.append(slope if slope < 0.5 else 0.0)
        return max(slopes)

    def turned(self) -> Curve:
        """The same curve seen from the other stream: minus the lag, along the other's seconds ``t + lag``."""
        scale = 1 / (1 + self.drift)
        return replace(
            self,
            offset=-self.offset,
            drift=-self.drift * scale,
            pivot=self.pivot + self.offset,
            knots=tuple((t + lag, -lag) for t, lag in self.knots),
            change_points=tuple(
                # The other stream's second just before the jump; at t itself the lag is the one after it.
                (t + float(self.at(np.nextafter(t, -np.inf))), -size)
                for t, size in self.change_points
            ),
            wander=tuple((t + float(self.at(t)), error) for t, error in self.wander),
        )

    def _place(self, t: Array) -> tuple[NDArray[np.int64], Array]:
        """The knot before each t, and the relative position of t towards the next one (beyond 0..1 outside)."""
        times = np.array([x for x, _ in self.knots])
        left = np.clip(np.searchsorted(times, t, "right") - 1, 0, len(times) - 2)
        run = times[left + 1] - times[left]
        return left, np.where(run > 0, (t - times[left]) / np.where(run > 0, run, 1.0), 1.0)


def fit_line(
    times: Array,
    lags: Array,
    weights: Array,
    groups: NDArray[np.int64],
    *,
    pivot: float,
    typical: float = TYPICAL_DRIFT,
    floors: Sequence[float] = (),
) -> Curve:
    """A line by the Theil-Sen estimator, then iteratively reweighted least squares (Tukey's biweight).

    Args:
        times: [n] seconds.
        lags: [n] seconds.
        weights: [n], inverse variances up to a factor for each group.
        groups: [n], which pair of signals a lag comes from; each group has its own scale.
        pivot: where the line's offset is stated, seconds.
        typical: prior standard deviation of the drift, seconds per second.
        floors: least standard deviation of a lag, seconds, per group (default: 1 ms).

    >>> t = np.linspace(0, 60, 15); lag = 1.5 + 1e-4 * (t - 30); lag[3] += 0.03
    >>> line = fit_line(t, lag, np.ones(15), np.zeros(15, int), pivot=30.0)
    >>> round(line.offset, 4), round(line.drift * 1e6, -1)
    (1.5, 100.0)
    """
    x = times - pivot
    slope = _theil_sen(x, lags, typical)
    start = np.array([weighted_median(lags - slope * x, weights), slope])
    design = np.column_stack([np.ones(len(x)), x])
    line, covariance = reweighted(
        design, lags, Weighed(weights, groups, tuple(floors)), start, np.array([FREE, typical])
    )
    residual = np.abs(lags - design @ line)
    spread, inliers = closeness(residual, weights)
    return Curve(float(line[0]), float(line[1]), pivot, covariance, spread, inliers, len(x))


@dataclass(frozen=True)
class Weighed:
    """Weights of lags: inverse variances up to a factor per group, and each group's least standard deviation."""

    weights: Array
    groups: NDArray[np.int64]
    floors: tuple[float, ...] = ()

    def scales(self, residual: Array) -> Array:
        """Standard deviation of each lag: its group's robust spread, scaled by its weight within the group."""
        out = np.empty(len(residual))
        for g in np.unique(self.groups):
            own = self.groups == g
            # Bounded, so that a few very heavy windows cannot decide alone.
            relative = np.sqrt(self.weights[own] / np.median(self.weights[own])).clip(0.2, 3.0)
            # 1.4826 makes the median deviation a normal's standard deviation; 2 / n corrects for small groups.
            unit = 1.4826 * np.median(np.abs(residual[own]) * relative) * (1 + 2 / own.sum())
            floor = self.floors[g] if self.floors else FLOOR
            out[own] = (max(float(unit), floor) / relative).clip(floor / 2)
        return out

    def roots(self, residual: Array) -> Array:
        """One over each lag's standard deviation, times Tukey's biweight of its residual."""
        scale = self.scales(residual)
        return np.asarray(np.clip(1 - (residual / (CUT * scale)) ** 2, 0, None) / scale)


def reweighted(design: Array, lags: Array, weighed: Weighed, start: Array, usual: Array) -> tuple[Array, Array]:
    """Coefficients and their covariance: Tukey's biweight from a robust start.

    Each coefficient has a normal prior about 0 with standard deviation ``usual``.
    """
    # Columns scaled to 1: seconds beside hinges of a long recording would make the inverse inexact.
    size = np.maximum(np.abs(design).max(axis=0), 1e-12)
    found, root = start, np.ones(len(lags))
    for _ in range(30):
        root = weighed.roots(lags - design @ found)
        # A weak prior while scales are estimated: shrunk coefficients would inflate the residuals and so the scales.
        new, _ = _solved(design / size, lags, root, 5 * usual * size)
        done = np.abs(design @ (new / size - found)).max() < 1e-8
        found = new / size
        if done:
            break
    found, covariance = _solved(design / size, lags, root, usual * size)
    return found / size, covariance / np.outer(size, size)


def _solved(design: Array, lags: Array, root: Array, usual: Array) -> tuple[Array, Array]:
    """Least squares with rows weighted by ``root`` squared, and the covariance."""
    rows = design * root[:, None]
    covariance = np.linalg.pinv(rows.T @ rows + np.diag(usual**-2.0), hermitian=True)
    return np.asarray(covariance @ (rows.T @ (lags * root))), np.asarray(covariance)


def closeness(residual: Array, weights: Array) -> tuple[float, float]:
    """Robust standard deviation of absolute residuals, and the share of the weight within 12 ms."""
    spread = 1.4826 * weighted_median(residual, weights)
    share = np.minimum(weights, 3 * np.median(weights))
    return float(spread), float(share[residual < 0.012].sum() / max(share.sum(), 1e-12))


def _theil_sen(x: Array, lags: Array, typical: float) -> float:
    """Median slope over the pairs of lags that are far enough apart."""
    # All pairs of 400 are 80,000 slopes; more add time, not certainty.
    if len(x) > 400:
        pick = np.linspace(0, len(x) - 1, 400).astype(int)
        x, lags = x[pick], lags[pick]
    i, j = np.triu_indices(len(x), 1)
    run = x[j] - x[i]
    far = np.abs(run) > 0.3 * max(float(np.ptp(x)), 1e-9)
    if not far.any():
        return 0.0
    slope = float(np.median((lags[j] - lags[i])[far] / run[far]))
    # Only a start for the reweighting: a wild slope would make every lag an outlier.
    return float(np.clip(slope, -5 * typical, 5 * typical))


def weighted_median(values: Array, weights: Array) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
