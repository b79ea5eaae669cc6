"""Accuracy."""

from __future__ import annotations

from plait.metrics import Metric, functional
from plait.metrics.functional import Array

__all__ = ["Accuracy"]


class Accuracy(Metric):
    """Share of the items whose most probable class is the true one."""

    of = "classes"
    bounds = (0.0, 1.0)
    percent = True
    rank = 10

    def __call__(self, target: Array, scores: Array) -> float:
        return functional.accuracy(target, scores.argmax(1))
