"""Ridge regression of a stream's future on its own past: the first stage of a forecast, and a strong cheap rival."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Lagged", "autoregress", "fit_autoregression", "unrolled"]

Floats = NDArray[np.float64]

ALPHAS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Shrinkages to choose from, relative to the mean square of the lags."""

FOLDS = 5
FARTHEST = 30.0
"""Lags and changes are clipped here, in units of the scale: one broken item must not decide the weights."""


class Lagged(NamedTuple):
    """Items as a regression sees them.

    Attributes:
        past: the last value and the values before it, [items, lags].
        scale: of each item, [items].
        future: NaN where unknown, [items, horizons].
        group: what an item was cut from, [items]; groups are left out together.
        block: the values that follow, at the step of the lags; NaN where unknown, [items, steps].
    """

    past: Floats
    scale: Floats
    future: Floats
    group: NDArray[np.int64]
    block: Floats | None = None


def autoregress(past: Floats, scale: Floats, weight: Floats) -> Floats:
    """Forecasts of a ridge regression, [items, horizons].

    Args:
        past: as in `Lagged`.
        scale: of each item, [items].
        weight: [lags - 1, horizons].
    """
    return past[:, :1] + scale[:, None] * (_changes(past, scale) @ weight)


def unrolled(weight: Floats, ahead: Floats) -> Floats:
    """The weights of a recursive forecast: a regression of the next block of values, applied to its own forecasts.

    Each pass appends its block to the past and the next one forecasts from there (the recursive or iterated strategy,
    Marcellino, Stock and Watson 2006). All of it is linear, so that the passes become one matrix. Between two steps the
    forecast is interpolated.

    Args:
        weight: of the next values, one step apart, [lags - 1, block].
        ahead: horizons in steps, [horizons].

    Returns:
        [lags - 1, horizons]

    >>> unrolled(np.array([[-0.5]]), np.array([1.0, 2.0, 2.5]))[0].tolist()  # each change is half the last one
    [-0.5, -0.75, -0.8125]
    """
    lags = len(weight)
    # Rows are values, each as weights of the known changes; the last known value comes first, and is their zero.
    window, told = np.concatenate([np.zeros((1, lags)), np.eye(lags)]), [np.zeros((1, lags))]
    for _ in range(max(-(-int(np.ceil(ahead.max())) // weight.shape[1]), 1)):
        told.append(window[:1] + weight.T @ (window[1:] - window[:1]))
        window = np.concatenate([told[-1][::-1], window])[: lags + 1]
    path = np.concatenate(told)
    below = np.floor(ahead).astype(np.int64)
    above, share = np.ceil(ahead).astype(np.int64), (ahead - below)[:, None]
    found: Floats = ((1 - share) * path[below] + share * path[above]).T
    return found


def fit_autoregression(rows: Sequence[Lagged], ahead: Floats | None = None) -> Floats | None:
    """The weights [lags - 1, horizons] of a ridge regression that streams share; None if the last value is better.

    What is regressed is the change since the last value on the differences of the lags to it, both divided by the
    item's scale, so that one regression serves streams of any unit, as in DLinear (Zeng et al. 2023, "Are transformers
    effective for time series forecasting?"). Groups are left out in five folds (of one group: stretches of time), and
    the shrinkage has the least absolute error there.

    Args:
        rows: the items of each stream.
        ahead: horizons in steps: regress the next block alone and apply it to its own forecasts (`unrolled`). None:
            regress each horizon directly.
    """
    x = np.concatenate([_changes(r.past, r.scale) for r in rows]).astype(np.float32)
    y = np.concatenate([_since(r, r.future) for r in rows])
    goal = y if ahead is None else np.concatenate([_since(r, r.block) for r in rows])
    fold = np.concatenate([_folds(r.group) for r in rows])
    # Errors count in the units of each stream, as metrics do; its deviations make streams alike.
    size = np.concatenate([r.scale / max(float(np.nanstd(r.past[:, 0])), 1e-12) for r in rows])[:, None]
    known = np.isfinite(y).all(1) & np.isfinite(x).all(1) & np.isfinite(goal).all(1)
    x, y, goal, fold, size = (a[known].astype(np.float32) for a in (x, y, goal, fold, size))
    if not x.shape[1] or len(np.unique(fold)) < 2:
        return None
    parts = [(x[fold == f], y[fold == f], goal[fold == f], size[fold == f]) for f in np.unique(fold)]
    grams = [(a.T @ a, a.T @ g) for a, _, g, _ in parts]
    square, cross = (np.asarray(np.sum(part, 0), np.float64) for part in zip(*grams))
    mean = max(float(np.trace(square)) / len(square), 1e-12)

    def solved(less: tuple[Floats, Floats], alpha: float) -> Floats:
        weight = _solved(square - less[0], cross - less[1], alpha * mean)
        return weight if ahead is None else unrolled(weight, ahead)

    best, error = None, float((size * np.abs(y)).sum())
    for alpha in ALPHAS:
        # A recursion that explodes overflows to infinity or NaN, and is not chosen.
        with np.errstate(over="ignore", invalid="ignore"):
            told = [a @ solved(less, alpha).astype(np.float32) for (a, *_), less in zip(parts, grams)]
            own = float(sum((s * np.abs(t - b)).sum() for (_, b, _, s), t in zip(parts, told)))
        if own < error:
            best, error = alpha, own
    return None if best is None else solved((np.zeros(()), np.zeros(())), best)


def _since(row: Lagged, values: Floats | None) -> Floats:
    """Changes since the last value, in units of the scale, clipped."""
    if values is None:
        raise ValueError("a recursive regression needs the next block of each item.")
    found: Floats = ((values - row.past[:, :1]) / row.scale[:, None]).clip(-FARTHEST, FARTHEST)
    return found


def _solved(square: Floats, cross: Floats, alpha: float) -> Floats:
    return np.asarray(np.linalg.solve(square + alpha * np.eye(len(square)), cross), np.float64)


def _changes(past: Floats, scale: Floats) -> Floats:
    return ((past[:, 1:] - past[:, :1]) / scale[:, None]).clip(-FARTHEST, FARTHEST)


def _folds(group: NDArray[np.int64]) -> NDArray[np.int64]:
    """The fold of each item: whole groups, or with fewer groups than folds stretches of items."""
    _, number = np.unique(group, return_inverse=True)
    if number.max(initial=0) + 1 >= FOLDS:
        return number % FOLDS
    return np.arange(len(group)) * FOLDS // max(len(group), 1)
