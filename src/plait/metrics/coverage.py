"""Coverage of forecasts."""

from __future__ import annotations

import math

import numpy as np

from plait.metrics import Metric
from plait.metrics.functional import Array
from plait.metrics.quantiles import Quantiles

__all__ = ["Coverage"]


class Coverage(Metric):
    """Share of the truths from the lowest to the highest quantile, both included.

    It should be what the levels say, 80 % from 0.1 to 0.9; a wider band covers more, so do not select by it.
    """

    of = "quantiles"
    bounds = (0.0, 1.0)
    percent = True
    rank = 12

    def __call__(self, target: Array, scores: Quantiles) -> float:
        if not len(target):
            return math.nan
        truth = np.asarray(target, np.float64)
        return float(((scores.values[:, 0] <= truth) & (truth <= scores.values[:, -1])).mean())
