"""Area under the ROC curve."""

from __future__ import annotations

from plait.metrics import Metric, functional
from plait.metrics.functional import Array

__all__ = ["RocAuc"]


class RocAuc(Metric):
    """How often an item of the second of two classes outscores one of the first; nan if only one class occurs."""

    of = "classes"
    bounds = (0.0, 1.0)
    rank = 42

    @classmethod
    def fits(cls, classes: int) -> bool:
        return classes == 2

    def __call__(self, target: Array, scores: Array) -> float:
        return functional.roc_auc(target, scores[:, 1])
