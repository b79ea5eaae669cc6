"""Area under the ROC curve."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from plait.metrics import Metric, functional

__all__ = ["RocAuc"]


class RocAuc(Metric):
    """How often an item of the second class outscores one of the first, of two; nan where only one of them occurs."""

    of = "classes"
    bounds = (0.0, 1.0)
    rank = 42

    @classmethod
    def fits(cls, classes: int) -> bool:
        return classes == 2

    def __call__(self, target: NDArray[Any], scores: NDArray[Any]) -> float:
        return functional.roc_auc(target, scores[:, 1])
