"""Correlation."""

from __future__ import annotations

from plait.metrics import Metric, functional
from plait.metrics.functional import Array

__all__ = ["Corr"]


class Corr(Metric):
    """Pearson's correlation; 0 where either side is constant."""

    of = "values"
    bounds = (-1.0, 1.0)
    rank = 30

    def __call__(self, target: Array, scores: Array) -> float:
        return functional.correlation(target, scores)
