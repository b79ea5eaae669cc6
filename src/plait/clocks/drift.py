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
"""Lags are not taken to be surer than this, seconds, unless said so."""

FREE = 1e4
"""The usual deviation of what may be anything, seconds."""

CUT = 4.685
"""Deviations from which Tukey's biweight counts a lag for nothing."""

TYPICAL_DRIFT = 200e-6
"""How much clocks drift, seconds per second: the slope is drawn towards 0 with this deviation, which matters
only where a recording is too short to tell."""


@dataclass(frozen=True)
class Curve:
    """The lag over time: ``offset + drift * (t - pivot)``, or piecewise linear between knots.

    Attributes:
        offset: seconds at the pivot, of the line through all of it.
        drift: seconds per second, of the line through all of it.
        pivot: seconds.
        covariance: of (offset, drift), [2, 2].
        spread: robust deviation of the lags about the curve, seconds.
        inliers: share of the weight within 12 ms of the curve, 0..1.
        n: number of lags.
        knots: (t, lag), ordered by t, between which the lag is straight (and beyond which it goes on straight);
            empty for a plain line. Two knots with the same t are a jump up. A jump down by s seconds is a
            piece that falls by s within s seconds, so that ``t + lag`` never runs backwards.
        change_points: (t, size in seconds) where the lag jumps, for samples were dropped: by the stream whose seconds
            t are if the size is above 0, by the other one if it is below. The knots hold them already.
        errors: standard error of the lag at each knot, seconds.
        wander: (t, standard error in seconds) of a lag whose drift is never quite steady (see `plait.clocks.wander`);
            what it is more than the curve's own is what the clock may leave the curve by.
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
        """The lag at seconds t; after the jump where t is the instant of one."""
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
        """Standard error, seconds, of what the clock may leave the curve by at seconds t."""
        if not self.wander:
            return np.zeros(np.shape(t))
        at, error = np.array(self.wander).T
        return np.asarray(np.sqrt(np.maximum(np.interp(t, at, error) ** 2 - self.error_at(t) ** 2, 0.0)))

    @property
    def steepest(self) -> float:
        """The largest drift of any piece, seconds per second, change points left out."""
        slopes = [abs(self.drift)] if not self.knots else [0.0]
        for (t, lag), (later, other) in pairwise(self.knots):
            slope = abs(other - lag) / max(later - t, 1e-9)
            slopes.append(slope if slope < 0.5 else 0.0)
        return max(slopes)

    def turned(self) -> Curve:
        """The same seen from the other stream: minus the lag, along the other's seconds ``t + lag``."""
        scale = 1 / (1 + self.drift)
        return replace(
            self,
            offset=-self.offset,
            drift=-self.drift * scale,
            pivot=self.pivot + self.offset,
            knots=tuple((t + lag, -lag) for t, lag in self.knots),
            change_points=tuple(
                (t + float(self.at(np.nextafter(t, -np.inf))), -size) for t, size in self.change_points
            ),
            wander=tuple((t + float(self.at(t)), error) for t, error in self.wander),
        )

    def _place(self, t: Array) -> tuple[NDArray[np.int64], Array]:
        """The knot in front of each t, and how far it is towards the next one (beyond 0..1 outside)."""
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
    """A line by Theil and Sen's medians, then iteratively reweighted least squares (Tukey's biweight).

    Args:
        times: [n] seconds.
        lags: [n] seconds.
        weights: [n], inverse variances up to a factor for each group.
        groups: [n], which pair of signals a lag comes from; each group has a scale of its own.
        pivot: where the line's offset is stated, seconds.
        typical: deviation of the drifts to be expected, seconds per second.
        floors: least deviation of a lag, seconds, for each group (default: 1 ms).

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
    """How lags weigh: inverse variances up to a factor for each group, and each group's least deviation."""

    weights: Array
    groups: NDArray[np.int64]
    floors: tuple[float, ...] = ()

    def scales(self, residual: Array) -> Array:
        """Deviation of each lag: its group's robust spread, by its weight within the group."""
        out = np.empty(len(residual))
        for g in np.unique(self.groups):
            own = self.groups == g
            relative = np.sqrt(self.weights[own] / np.median(self.weights[own])).clip(0.2, 3.0)
            unit = 1.4826 * np.median(np.abs(residual[own]) * relative) * (1 + 2 / own.sum())
            floor = self.floors[g] if self.floors else FLOOR
            out[own] = (max(float(unit), floor) / relative).clip(floor / 2)
        return out

    def roots(self, residual: Array) -> Array:
        """One over each lag's deviation, times Tukey's biweight of its residual."""
        scale = self.scales(residual)
        return np.asarray(np.clip(1 - (residual / (CUT * scale)) ** 2, 0, None) / scale)


def reweighted(design: Array, lags: Array, weighed: Weighed, start: Array, usual: Array) -> tuple[Array, Array]:
    """Coefficients and their covariance: Tukey's biweight from a robust start.

    Each coefficient is drawn towards 0 with the deviation ``usual``, but only at the very end, when the lags' own
    deviation is known: drawn before, it would seem the larger for it.
    """
    size = np.maximum(np.abs(design).max(axis=0), 1e-12)
    found, root = start, np.ones(len(lags))
    for _ in range(30):
        root = weighed.roots(lags - design @ found)
        new, _ = _solved(design / size, lags, root, 5 * usual * size)
        done = np.abs(design @ (new / size - found)).max() < 1e-8
        found = new / size
        if done:
            break
    found, covariance = _solved(design / size, lags, root, usual * size)
    return found / size, covariance / np.outer(size, size)


def _solved(design: Array, lags: Array, root: Array, usual: Array) -> tuple[Array, Array]:
    """Least squares with rows weighed by ``root`` squared, and the covariance."""
    rows = design * root[:, None]
    covariance = np.linalg.pinv(rows.T @ rows + np.diag(usual**-2.0), hermitian=True)
    return np.asarray(covariance @ (rows.T @ (lags * root))), np.asarray(covariance)


def closeness(residual: Array, weights: Array) -> tuple[float, float]:
    """Robust deviation of the residuals (not below 0), and the share of the weight within 12 ms."""
    spread = 1.4826 * weighted_median(residual, weights)
    share = np.minimum(weights, 3 * np.median(weights))
    return float(spread), float(share[residual < 0.012].sum() / max(share.sum(), 1e-12))


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


def weighted_median(values: Array, weights: Array) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
