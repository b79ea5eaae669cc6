"""Correlation."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from plait.metrics import Metric, functional

__all__ = ["Corr"]


class Corr(Metric):
    """Pearson's correlation; 0 where either side is constant."""

    of = "values"
    bounds = (-1.0, 1.0)
    rank = 30

    def __call__(self, target: NDArray[Any], scores: NDArray[Any]) -> float:
        return functional.correlation(target, scores)
