"""Autoregressive imputation: the values with the least prediction error of a linear predictor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.transforms.imputation import Array, Imputer, steady_step
from plait.transforms.imputation.simple import Linear

__all__ = ["Autoregressive", "least_surprise"]

ORDERS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 50)

RIDGE = 1e-6
"""Ridge as a share of the signal's power: noise 60 dB below it."""


class Autoregressive(Imputer):
    """The values with the least prediction error of an autoregressive model of the surroundings.

    Janssen, Veldhuis & Vries 1986, "Adaptive interpolation of discrete-time signals that can be modeled as
    autoregressive processes", IEEE Trans. ASSP 34(2); each channel separately. The method of choice for clicks in sound
    and for short gaps of a pulse.

    Departures: the model is fitted by least squares with a ridge to observed values only, so that no second iteration
    is needed (if too few consecutive values were observed, gaps are interpolated linearly for the fit). The order is
    the one of `ORDERS` with the least Bayesian information criterion (Schwarz 1978), not 3 per missing observation,
    which overfits slowly sampled signals.

    Args:
        order: order of the model; None: by the criterion, at most a sixth of the observations around.
        look: seconds to each side of the gap to which the model is fitted.
    """

    def __init__(self, *, order: int | None = None, look: float = 10.0) -> None:
        if (order is not None and order < 1) or not look > 0:
            raise ConfigError(f"autoregressive: order {order}, look {look}; expected 1 or more, and above 0.")
        self.order, self.look = order, look

    def gap(self, values: Array, times: Array, first: int, last: int, channels: NDArray[np.int64]) -> Array:
        steady_step(times)
        own = values[:, channels]
        whole = Linear().fill(own, times, np.isnan(own))
        columns = [self._one(whole[:, i], np.isfinite(own[:, i]), first, last) for i in range(len(channels))]
        return np.stack(columns, 1)

    def _one(self, x: Array, seen: NDArray[np.bool_], first: int, last: int) -> Array:
        # The model needs as many values on either side of the gap as its order.
        most = min(self.order or ORDERS[-1], int(seen.sum()) // 6, first, len(x) - last)
        if most < 1:
            return np.full(last - first, np.nan)
        centre = float(x[seen].mean())
        model = _model(x - centre, seen, most, [most] if self.order else [p for p in ORDERS if p <= most])
        return least_surprise(x - centre, model, first, last) + centre


def _model(x: Array, seen: NDArray[np.bool_], most: int, orders: Sequence[int]) -> Array:
    """Coefficients [1, a1 .. ap] of the prediction error: the best of several orders, all fitted to the same rows."""
    windows = np.lib.stride_tricks.sliding_window_view(x, most + 1)
    whole = np.lib.stride_tricks.sliding_window_view(seen, most + 1).all(1)
    # One set of rows for all orders: information criteria of different data cannot be compared.
    rows = windows[whole] if whole.sum() >= 2 * most else windows
    past, now = rows[:, -2::-1], rows[:, -1]
    gram, cross, power = past.T @ past, past.T @ now, float(now @ now)
    best, model = np.inf, np.zeros(0)
    for p in orders:
        ridge = RIDGE * max(float(np.trace(gram[:p, :p])) / p, 1e-300)
        weights = np.linalg.solve(gram[:p, :p] + ridge * np.eye(p), cross[:p])
        error = power - 2 * weights @ cross[:p] + weights @ gram[:p, :p] @ weights
        score = len(rows) * np.log(max(float(error), 1e-12 * power, 1e-300)) + p * np.log(len(rows))
        if score < best:
            best, model = score, np.concatenate([[1.0], -weights])
    return model


def least_surprise(x: Array, model: Array, first: int, last: int) -> Array:
    """The gap's values of least squared prediction error, given ``order`` values to each side: a banded system."""
    from scipy.linalg import solveh_banded

    order, length = len(model) - 1, last - first
    around = np.concatenate([x[first - order : first], np.zeros(length), x[last : last + order]])
    errors = np.convolve(around, model, "valid")  # errors from the known values alone, [length + order]
    wanted = -np.correlate(errors, model, "valid")  # [length]
    products = np.correlate(model, model, "full")[order:]
    bands = np.zeros((min(order, length - 1) + 1, length))
    for lag in range(len(bands)):
        bands[lag, : length - lag] = products[lag]
    # Keeps the system positive definite for a nearly perfect predictor.
    bands[0] += 1e-9 * products[0]
    return np.asarray(solveh_banded(bands, wanted, lower=True))
