"""Errors of values."""

from __future__ import annotations

import math

from plait.metrics import Metric, functional
from plait.metrics.functional import Array

__all__ = ["Mae", "Mse", "Rmse"]


class Mae(Metric):
    """Mean absolute error, in the target's units."""

    of = "values"
    higher_is_better = False
    bounds = (0.0, math.inf)
    rank = 10

    def __call__(self, target: Array, scores: Array) -> float:
        return functional.mean_absolute_error(target, scores)


class Rmse(Metric):
    """Root of the mean squared error, in the target's units."""

    of = "values"
    higher_is_better = False
    bounds = (0.0, math.inf)
    rank = 20

    def __call__(self, target: Array, scores: Array) -> float:
        return functional.root_mean_squared_error(target, scores)


class Mse(Metric):
    """Mean squared error, in the target's units squared."""

    of = "values"
    higher_is_better = False
    bounds = (0.0, math.inf)
    standard = False
    rank = 21

    def __call__(self, target: Array, scores: Array) -> float:
        return functional.root_mean_squared_error(target, scores) ** 2
