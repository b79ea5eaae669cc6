"""Metrics of several labels per row: each label by itself, and their mean."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from plait.metrics import Metric, functional
from plait.metrics.functional import Array

__all__ = ["MultilabelAveragePrecision", "MultilabelF1", "MultilabelRocAuc"]


def _mean(values: Iterable[float]) -> float:
    """Mean of the values that are defined."""
    known = [v for v in values if math.isfinite(v)]
    return float(np.mean(known)) if known else math.nan


class MultilabelF1(Metric):
    """Mean F1 of the labels that occur among truths or answers (probability above 0.5); nan if none occurs."""

    of = "labels"
    bounds = (0.0, 1.0)
    percent = True
    rank = 10

    def __call__(self, target: Array, scores: Array) -> float:
        true, said = target > 0, scores > 0.5
        both = true.sum(0) + said.sum(0)
        # 0 / 0 is a label that does not occur: `_mean` leaves it out.
        with np.errstate(invalid="ignore", divide="ignore"):
            return _mean((2 * (true & said).sum(0) / both).tolist())


class MultilabelRocAuc(Metric):
    """Mean area under the ROC curve of the labels that have both positives and negatives; nan if no label has both."""

    of = "labels"
    bounds = (0.0, 1.0)
    rank = 20

    def __call__(self, target: Array, scores: Array) -> float:
        return _mean(functional.roc_auc(t > 0, s) for t, s in zip(target.T, scores.T))


class MultilabelAveragePrecision(Metric):
    """Mean average precision of the labels that have positives; nan if no label has any.

    Without interpolation, as in scikit-learn.
    """

    of = "labels"
    bounds = (0.0, 1.0)
    rank = 30

    def __call__(self, target: Array, scores: Array) -> float:
        return _mean(functional.average_precision(t > 0, s) for t, s in zip(target.T, scores.T))
