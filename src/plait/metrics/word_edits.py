"""The three kinds of word errors, each as a share of the true words; together they are the word error rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from plait.metrics import Metric
from plait.metrics.edits import Edit, edits
from plait.metrics.error_rates import check_pairs

__all__ = ["DeletionRate", "InsertionRate", "SubstitutionRate"]


class SubstitutionRate(Metric):
    """Words answered by another word, divided by the words of the true texts; nan if these have no words."""

    of = "texts"
    higher_is_better = False
    bounds = (0.0, 1.0)
    percent = True
    rank = 30

    def __call__(self, target: Sequence[str], scores: Sequence[str]) -> float:
        return _rate("substitution_rate", target, scores, lambda e: None not in e and e[0] != e[1])


class DeletionRate(Metric):
    """Words that the answer lacks, divided by the words of the true texts; nan if these have no words."""

    of = "texts"
    higher_is_better = False
    bounds = (0.0, 1.0)
    percent = True
    rank = 31

    def __call__(self, target: Sequence[str], scores: Sequence[str]) -> float:
        return _rate("deletion_rate", target, scores, lambda e: e[1] is None)


class InsertionRate(Metric):
    """Words that only the answer has, divided by the words of the true texts; nan if these have no words."""

    of = "texts"
    higher_is_better = False
    bounds = (0.0, math.inf)
    percent = True
    rank = 32

    def __call__(self, target: Sequence[str], scores: Sequence[str]) -> float:
        return _rate("insertion_rate", target, scores, lambda e: e[0] is None)


def _rate(name: str, target: Sequence[str], scores: Sequence[str], counts: Callable[[Edit], bool]) -> float:
    check_pairs(name, target, scores)
    words = sum(len(text.split()) for text in target)
    found = [e for true, said in zip(target, scores) for e in edits(true.split(), said.split())]
    return sum(map(counts, found)) / words if words else math.nan
