"""Low-rank completion of a matrix of lagged copies of all channels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.transforms.imputation import Array, Imputer, Mask, observations, steady_step
from plait.transforms.imputation.simple import Linear

__all__ = ["LowRank", "soft_impute"]

ROW = 64


class LowRank(Imputer):
    """Soft-impute of the matrix whose rows are lagged copies of all channels.

    Mazumder, Hastie & Tibshirani 2010, "Spectral regularization algorithms for learning large incomplete matrices",
    JMLR 11, algorithm 1. The rows are ``lags`` seconds long (the trajectory matrix of singular spectrum analysis; for
    gaps: Golyandina & Osipov 2007), so that one channel is enough. Observed values are restored after each step; copies
    of one instant are averaged.

    Departures: one given shrinkage instead of a path chosen by validation; Nesterov's momentum, because gaps longer
    than a few lags converge slowly; channels are centred and divided by their standard deviation; the start is linear
    interpolation instead of zeros.

    Args:
        lags: seconds per row; 0: a row is an instant, and only channels are compared (plain soft-impute); None: as many
            observations as make a row of 64 numbers.
        shrink: amount subtracted from the singular values, as a share of the largest.
        look: seconds to each side of the gap in the matrix.
        steps: most iterations.
    """

    def __init__(self, *, lags: float | None = None, shrink: float = 0.01, look: float = 10.0, steps: int = 50) -> None:
        if (lags is not None and not lags >= 0) or not 0 < shrink < 1 or not look > 0 or steps < 1:
            raise ConfigError(
                f"low_rank: lags {lags}, shrink {shrink}, look {look}, steps {steps}; expected 0 or more, within 0..1, "
                "above 0, and 1 or more."
            )
        self.lags, self.shrink, self.look, self.steps = lags, shrink, look, steps

    def gap(self, values: Array, times: Array, first: int, last: int, channels: NDArray[np.int64]) -> Array:
        observed = np.isfinite(values)
        if not observed[:, channels].any(0).all():
            return np.full((last - first, len(channels)), np.nan)
        step = steady_step(times)
        lags = ROW // values.shape[1] if self.lags is None else observations(self.lags, step)
        length = min(max(lags, 1), max(len(values) // 3, 1))
        count = np.maximum(observed.sum(0), 1)
        centre = np.where(observed, values, 0.0).sum(0) / count
        spread = np.sqrt(np.where(observed, (values - centre) ** 2, 0.0).sum(0) / count)
        spread = np.where(spread > 0, spread, 1.0)
        table = (Linear().fill(values, times, ~observed) - centre) / spread
        done = soft_impute(np.nan_to_num(table), observed, length, self.shrink, self.steps)
        whole: Array = done * spread + centre
        return whole[first:last, channels]


def soft_impute(table: Array, observed: Mask, lags: int = 1, shrink: float = 0.01, steps: int = 50) -> Array:
    """Complete the matrix of ``lags`` lagged copies of [n, channels], and average the copies, [n, channels].

    The values of ``table`` that are not ``observed`` are the start.
    """
    before = current = table
    for step in range(steps):
        ahead = current + step / (step + 3) * (current - before)
        before, current = current, np.where(observed, table, _lower(ahead, lags, shrink))
        if float(((current - before) ** 2).sum()) <= 1e-10 * float((~observed).sum()):
            break
    return current


def _lower(table: Array, lags: int, shrink: float) -> Array:
    """One step: shrink the singular values of the trajectory matrix, and average the copies of each instant."""
    windows = np.lib.stride_tricks.sliding_window_view(table, lags, axis=0)
    rows = np.ascontiguousarray(windows).reshape(len(windows), -1)
    # A row has about 64 numbers, so the eigenvectors of the small square matrix are far cheaper than an SVD.
    power, basis = np.linalg.eigh(rows.T @ rows)
    size = np.sqrt(np.maximum(power, 0.0))
    kept = np.maximum(size - shrink * size[-1], 0.0) / np.maximum(size, 1e-300)
    used = kept > 0
    low = ((rows @ basis[:, used]) * kept[used]) @ basis[:, used].T
    return _averaged(low.reshape(len(windows), table.shape[1], lags), len(table))


def _averaged(copies: Array, n: int) -> Array:
    """Mean over the copies of each instant of [n - lags + 1, channels, lags], [n, channels]."""
    rows, channels, lags = copies.shape
    total, count = np.zeros((n, channels)), np.zeros((n, 1))
    for lag in range(lags):
        total[lag : lag + rows] += copies[:, :, lag]
        count[lag : lag + rows] += 1
    return total / count
