"""F1, averaged over classes."""

from __future__ import annotations

from plait.metrics import Metric, functional
from plait.metrics.functional import Array

__all__ = ["MacroF1", "WeightedF1"]


class MacroF1(Metric):
    """Mean F1 of the classes that occur among truths or answers; every class has the same weight."""

    of = "classes"
    bounds = (0.0, 1.0)
    percent = True
    rank = 30

    def __call__(self, target: Array, scores: Array) -> float:
        return functional.f1(target, scores.argmax(1))


class WeightedF1(Metric):
    """Mean F1 of the classes, weighted by how often each class is true."""

    of = "classes"
    bounds = (0.0, 1.0)
    percent = True
    rank = 31

    def __call__(self, target: Array, scores: Array) -> float:
        return functional.f1(target, scores.argmax(1), weighted=True)
