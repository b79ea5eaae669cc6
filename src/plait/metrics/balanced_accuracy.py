"""Balanced accuracy."""

from __future__ import annotations

from plait.metrics import Metric, functional
from plait.metrics.functional import Array

__all__ = ["BalancedAccuracy"]


class BalancedAccuracy(Metric):
    """Mean recall over the classes that occur (unweighted average recall)."""

    of = "classes"
    bounds = (0.0, 1.0)
    percent = True
    rank = 20

    def __call__(self, target: Array, scores: Array) -> float:
        return functional.balanced_accuracy(target, scores.argmax(1))
