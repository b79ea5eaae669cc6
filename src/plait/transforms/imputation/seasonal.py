"""Seasonal imputation: the same phase of the neighbouring periods."""

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

    Nearer periods have more weight (1 / distance in periods).

    This is the classical "seasonally decomposed" imputation (remove the season, interpolate the rest, add the season)
    with a separate season for each gap, because a pulse does not keep its period for an hour.

    Args:
        period: seconds; None: estimated for each gap from the autocorrelation of its surroundings.
        cycles: number of periods to each side.
        look: seconds to each side in which a period is searched, which is at most half as long; a given period is used
            up to ``cycles`` periods away.
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
        # The periods that lie in the gap itself are unknown, so as many more are used.
        cycles = self.cycles + math.ceil((last - first) / period)
        away = np.concatenate([np.arange(-cycles, 0), np.arange(1, cycles + 1)])
        found = _at(x, place[:, None] + away * period)
        weight = np.where(np.isfinite(found), 1.0 / np.abs(away), 0.0)
        total = weight.sum(1)
        mean = np.where(total > 0, np.nansum(found * weight, 1) / np.maximum(total, 1e-300), np.nan)
        return tilted(mean, x[first - 1] if first else np.nan, x[last] if last < len(x) else np.nan)


def _at(x: Array, place: Array) -> Array:
    """Values between observations, interpolated linearly; NaN outside and beside gaps."""
    low = np.floor(place).astype(np.int64)
    inside = (low >= 0) & (low + 1 < len(x))
    low = np.clip(low, 0, max(len(x) - 2, 0))
    share = place - low
    found: Array = np.where(inside, x[low] * (1 - share) + x[low + 1] * share, np.nan)
    return found
