"""Errors of values."""

from __future__ import annotations

import math
from typing import Any

from numpy.typing import NDArray

from plait.metrics import Metric, functional

__all__ = ["Mae", "Rmse"]


class Mae(Metric):
    """Mean absolute error, in the target's units."""

    of = "values"
    higher_is_better = False
    bounds = (0.0, math.inf)
    rank = 10

    def __call__(self, target: NDArray[Any], scores: NDArray[Any]) -> float:
        return functional.mean_absolute_error(target, scores)


class Rmse(Metric):
    """Root of the mean squared error, in the target's units."""

    of = "values"
    higher_is_better = False
    bounds = (0.0, math.inf)
    rank = 20

    def __call__(self, target: NDArray[Any], scores: NDArray[Any]) -> float:
        return functional.root_mean_squared_error(target, scores)
