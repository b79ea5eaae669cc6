"""Ridge regression of a stream's future on its own past: the first stage of a forecast, and a strong cheap rival."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Lagged", "autoregress", "fit_autoregression"]

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
    """

    past: Floats
    scale: Floats
    future: Floats
    group: NDArray[np.int64]


def autoregress(past: Floats, scale: Floats, weight: Floats) -> Floats:
    """Forecasts of a ridge regression, [items, horizons].

    Args:
        past: as in `Lagged`.
        scale: of each item, [items].
        weight: [lags - 1, horizons].
    """
    return past[:, :1] + scale[:, None] * (_changes(past, scale) @ weight)


def fit_autoregression(rows: Sequence[Lagged]) -> Floats | None:
    """The weights [lags - 1, horizons] of a ridge regression that streams share; None if the last value is better.

    What is regressed is the change since the last value on the differences of the lags to it, both divided by the
    item's scale, so that one regression serves streams of any unit, as in DLinear (Zeng et al. 2023, "Are transformers
    effective for time series forecasting?"). Groups are left out in five folds (of one group: stretches of time), and
    the shrinkage has the least absolute error there.
    """
    x = np.concatenate([_changes(r.past, r.scale) for r in rows]).astype(np.float32)
    y = np.concatenate([((r.future - r.past[:, :1]) / r.scale[:, None]).clip(-FARTHEST, FARTHEST) for r in rows])
    fold = np.concatenate([_folds(r.group) for r in rows])
    # Errors count in the units of each stream, as metrics do; its deviations make streams alike.
    size = np.concatenate([r.scale / max(float(np.nanstd(r.past[:, 0])), 1e-12) for r in rows])[:, None]
    known = np.isfinite(y).all(1) & np.isfinite(x).all(1)
    x, y, fold, size = x[known], y[known].astype(np.float32), fold[known], size[known].astype(np.float32)
    if not x.shape[1] or len(np.unique(fold)) < 2:
        return None
    parts = [(x[fold == f], y[fold == f], size[fold == f]) for f in np.unique(fold)]
    grams = [(a.T @ a, a.T @ b) for a, b, _ in parts]
    square, cross = (np.asarray(np.sum(part, 0), np.float64) for part in zip(*grams))
    mean = max(float(np.trace(square)) / len(square), 1e-12)
    best, error = None, float((size * np.abs(y)).sum())
    for alpha in ALPHAS:
        own = 0.0
        for (a, b, s), (g, c) in zip(parts, grams):
            told = a @ _solved(square - g, cross - c, alpha * mean).astype(np.float32)
            own += float((s * np.abs(told - b)).sum())
        if own < error:
            best, error = alpha, own
    return None if best is None else _solved(square, cross, best * mean)


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
