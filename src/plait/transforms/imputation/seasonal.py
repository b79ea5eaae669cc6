"""Seasonal filling: the same phase of the periods around."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.transforms.imputation import Array, Imputer, observations, steady_step
from plait.transforms.imputation.patterns import period_of, tilted

__all__ = ["Seasonal"]


class Seasonal(Imputer):
    """The mean of the same phase in the periods before and after, tilted to meet the observations at both ends.

    The nearer periods count more (1 / how many periods away).

    That is the classical "seasonally decomposed" filling (season put aside, the rest interpolated, season put back)
    with a season of its own for each gap, since a pulse does not keep its period for an hour.

    Args:
        period: seconds; None: found for each gap by the autocorrelation of what lies around it.
        cycles: how many periods to each side.
        look: seconds to each side in which a period is looked for, at most half as long; a given period is looked up
            as far away as ``cycles`` of it.
    """

    def __init__(self, *, period: float | None = None, cycles: int = 3, look: float = 10.0) -> None:
        if (period is not None and not period > 0) or cycles < 1 or not look > 0:
            raise ConfigError(f"seasonal: period {period}, cycles {cycles}, look {look}; expected all above 0.")
        self.period, self.cycles = period, cycles
        self.look = look if period is None else max(look, (cycles + 1) * period)

    def gap(self, values: Array, times: Array, first: int, last: int, channels: NDArray[np.int64]) -> Array:
        step = steady_step(times)
        return np.stack([self._one(values[:, c], step, first, last) for c in channels], 1)

    def _one(self, x: Array, step: float, first: int, last: int) -> Array:
        period = self.period / step if self.period else period_of(x, observations(self.look / 2, step))
        if period is None or period < 2:
            return np.full(last - first, np.nan)
        place = np.arange(first - 1, last + 1, dtype=np.float64)
        cycles = self.cycles + math.ceil((last - first) / period)
        away = np.concatenate([np.arange(-cycles, 0), np.arange(1, cycles + 1)])
        found = _at(x, place[:, None] + away * period)
        weight = np.where(np.isfinite(found), 1.0 / np.abs(away), 0.0)
        total = weight.sum(1)
        mean = np.where(total > 0, np.nansum(found * weight, 1) / np.maximum(total, 1e-300), np.nan)
        return tilted(mean, x[first - 1] if first else np.nan, x[last] if last < len(x) else np.nan)


def _at(x: Array, place: Array) -> Array:
    """Values between observations, on straight lines; NaN outside and beside gaps."""
    low = np.floor(place).astype(np.int64)
    inside = (low >= 0) & (low + 1 < len(x))
    low = np.clip(low, 0, max(len(x) - 2, 0))
    share = place - low
    found: Array = np.where(inside, x[low] * (1 - share) + x[low + 1] * share, np.nan)
    return found
