"""Skill of forecasts."""

from __future__ import annotations

import math

from plait.metrics import Metric
from plait.metrics.functional import Array
from plait.metrics.quantiles import Quantiles, pinball

__all__ = ["PinballSkill"]


class PinballSkill(Metric):
    """1 less the share of the rival's pinball loss that is left; 0 is as good as the rival, below 0 worse.

    The rival of `plait.tasks.forecast` is scaled-quantile persistence. nan where the rival has no loss.
    """

    of = "quantiles"
    bounds = (-math.inf, 1.0)
    percent = True
    rank = 10

    def __call__(self, target: Array, scores: Quantiles) -> float:
        if not len(target):
            return math.nan
        own, rival = (pinball(target, scores.levels, v).mean() for v in (scores.values, scores.rival))
        return float(1 - own / rival) if rival > 0 else math.nan
