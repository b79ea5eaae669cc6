"""Log loss."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from plait.metrics import Metric, functional

__all__ = ["LogLoss"]


class LogLoss(Metric):
    """Mean negative logarithm of the true class's probability, nats."""

    of = "classes"
    higher_is_better = False
    bounds = (0.0, math.inf)
    rank = 40

    def __call__(self, target: NDArray[Any], scores: NDArray[Any]) -> float:
        return functional.log_loss(target, scores)
