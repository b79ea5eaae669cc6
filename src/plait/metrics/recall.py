"""Recall of retrieval: how often the right answer is among the first."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from plait.metrics import Metric
from plait.metrics.pairs import Pairs, ranks_of

__all__ = [
    "MeanRecall",
    "RecallAt1",
    "RecallAt5",
    "RecallAt10",
    "ReverseRecallAt1",
    "ReverseRecallAt5",
    "ReverseRecallAt10",
]

Groups = NDArray[np.generic]


class _RecallAt(Metric, ABC):
    of = "pairs"
    bounds = (0.0, 1.0)
    percent = True
    first: ClassVar[int]
    reverse: ClassVar[bool] = False

    def __call__(self, target: Groups, scores: Pairs) -> float:
        ranks = ranks_of(target, scores, reverse=self.reverse)
        return float((ranks <= self.first).mean()) if len(ranks) else float("nan")


class RecallAt1(_RecallAt):
    """Share of the queries whose most similar row of the index is of their own group."""

    first, rank = 1, 11


class RecallAt5(_RecallAt):
    """Share of the queries with a row of their own group among the 5 most similar of the index."""

    first, rank = 5, 12


class RecallAt10(_RecallAt):
    """Share of the queries with a row of their own group among the 10 most similar of the index."""

    first, rank = 10, 13


class ReverseRecallAt1(_RecallAt):
    """`RecallAt1` the other way round: rows of the index ask for queries."""

    first, rank, reverse = 1, 21, True


class ReverseRecallAt5(_RecallAt):
    """`RecallAt5` the other way round: rows of the index ask for queries."""

    first, rank, reverse = 5, 22, True


class ReverseRecallAt10(_RecallAt):
    """`RecallAt10` the other way round: rows of the index ask for queries."""

    first, rank, reverse = 10, 23, True


class MeanRecall(Metric):
    """Mean of recall at 1, 5 and 10, in both directions; steadier than each of them, so that it suits selection."""

    of = "pairs"
    bounds = (0.0, 1.0)
    percent = True
    rank = 10

    def __call__(self, target: Groups, scores: Pairs) -> float:
        if not len(target):
            return float("nan")
        both = [ranks_of(target, scores, reverse=reverse) for reverse in (False, True)]
        return float(np.mean([(ranks <= first).mean() for ranks in both for first in (1, 5, 10)]))
