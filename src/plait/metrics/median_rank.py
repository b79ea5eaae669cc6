"""Median rank of the right answer in retrieval."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from plait.metrics import Metric
from plait.metrics.pairs import Pairs, ranks_of

__all__ = ["MedianRank", "ReverseMedianRank"]


class MedianRank(Metric):
    """Median over the queries of the rank of the best row of their own group in the index; 1 is perfect."""

    of = "pairs"
    higher_is_better = False
    bounds = (1.0, math.inf)
    rank = 31

    def __call__(self, target: NDArray[np.generic], scores: Pairs) -> float:
        ranks = ranks_of(target, scores)
        return float(np.median(ranks)) if len(ranks) else float("nan")


class ReverseMedianRank(Metric):
    """`MedianRank` the other way round: rows of the index ask for queries."""

    of = "pairs"
    higher_is_better = False
    bounds = (1.0, math.inf)
    rank = 32

    def __call__(self, target: NDArray[np.generic], scores: Pairs) -> float:
        ranks = ranks_of(target, scores, reverse=True)
        return float(np.median(ranks)) if len(ranks) else float("nan")
