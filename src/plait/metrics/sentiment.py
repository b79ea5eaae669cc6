"""Metrics that papers on CMU-MOSI report; targets are from -3 to 3.

Zadeh et al. 2016; the two kinds of Acc-2 as in Tsai et al. 2019.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plait.metrics import Metric, functional

__all__ = ["SENTIMENT", "Acc2Nonneg", "Acc2Nonzero", "Acc7", "F1Nonneg", "F1Nonzero"]


class Sentiment(Metric):
    """Base of these metrics: in percent, and only reported where targets are sentiment."""

    of = "values"
    bounds = (0.0, 1.0)
    percent = True
    standard = False


class Acc2Nonzero(Sentiment):
    """Negative against positive; items whose truth is 0 are left out (an answer of exactly 0 counts as negative).

    nan where every truth is 0.
    """

    rank = 60

    def __call__(self, target: NDArray[np.generic], scores: NDArray[np.generic]) -> float:
        return functional.accuracy(*_signs(target, scores))


class F1Nonzero(Sentiment):
    """F1 of the same two classes, weighted by class frequency; nan where every truth is 0."""

    rank = 61

    def __call__(self, target: NDArray[np.generic], scores: NDArray[np.generic]) -> float:
        return functional.f1(*_signs(target, scores), weighted=True)


class Acc2Nonneg(Sentiment):
    """Negative against zero or positive, over all items."""

    rank = 62

    def __call__(self, target: NDArray[np.generic], scores: NDArray[np.generic]) -> float:
        return functional.accuracy(np.asarray(target) >= 0, np.asarray(scores) >= 0)


class F1Nonneg(Sentiment):
    """F1 of the same two classes, weighted by class frequency."""

    rank = 63

    def __call__(self, target: NDArray[np.generic], scores: NDArray[np.generic]) -> float:
        return functional.f1(np.asarray(target) >= 0, np.asarray(scores) >= 0, weighted=True)


class Acc7(Sentiment):
    """Accuracy in seven classes: truth and answer clipped to -3..3 and rounded (halves to even)."""

    rank = 64

    def __call__(self, target: NDArray[np.generic], scores: NDArray[np.generic]) -> float:
        return functional.accuracy(*(np.round(np.clip(v, -3, 3)) for v in (target, scores)))


def _signs(target: NDArray[np.generic], scores: NDArray[np.generic]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    some = np.asarray(target) != 0
    # Only truths of 0 are left out: an answer cannot choose whether it is scored.
    return target[some] > 0, scores[some] > 0


SENTIMENT: tuple[type[Metric], ...] = (Acc2Nonzero, F1Nonzero, Acc2Nonneg, F1Nonneg, Acc7)
"""All of them, in the order in which papers list them."""
