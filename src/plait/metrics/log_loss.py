"""Log loss."""

from __future__ import annotations

import math

from plait.metrics import Metric, functional
from plait.metrics.functional import Array

__all__ = ["LogLoss"]


class LogLoss(Metric):
    """Mean negative logarithm of the true class's probability, nats."""

    of = "classes"
    higher_is_better = False
    bounds = (0.0, math.inf)
    rank = 40

    def __call__(self, target: Array, scores: Array) -> float:
        return functional.log_loss(target, scores)
