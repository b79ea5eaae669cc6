"""Pinball loss of forecasts."""

from __future__ import annotations

import math

from plait.metrics import Metric
from plait.metrics.functional import Array
from plait.metrics.quantiles import Quantiles, pinball

__all__ = ["Pinball"]


class Pinball(Metric):
    """Mean pinball loss over all quantiles, in the target's units (Koenker and Bassett 1978)."""

    of = "quantiles"
    higher_is_better = False
    bounds = (0.0, math.inf)
    rank = 11

    def __call__(self, target: Array, scores: Quantiles) -> float:
        return float(pinball(target, scores.levels, scores.values).mean()) if len(target) else math.nan
