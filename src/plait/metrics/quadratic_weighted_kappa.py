"""Agreement on ordered classes."""

from __future__ import annotations

import math

import numpy as np

from plait.metrics import Metric, functional
from plait.metrics.functional import Array

__all__ = ["QuadraticWeightedKappa"]


class QuadraticWeightedKappa(Metric):
    """Cohen's kappa with squared distances as weights, for ordered classes (grades, levels, ratings).

    0 is chance, 1 is agreement. Source: Cohen 1968, "Weighted kappa: nominal scale agreement with provision for scaled
    disagreement or partial credit". nan where all truths and all answers are the same class.
    """

    of = "classes"
    bounds = (-1.0, 1.0)
    standard = False
    rank = 25

    def __call__(self, target: Array, scores: Array) -> float:
        classes = scores.shape[1]
        counts = functional.confusion(target, scores.argmax(1), classes)
        distance = np.subtract.outer(np.arange(classes), np.arange(classes)) ** 2
        # counts expected if truths and answers were independent
        chance = np.outer(counts.sum(1), counts.sum(0)) / max(counts.sum(), 1)
        expected = float((distance * chance).sum())
        return 1.0 - float((distance * counts).sum()) / expected if expected else math.nan
