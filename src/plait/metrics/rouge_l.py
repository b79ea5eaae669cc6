"""ROUGE-L: the longest common subsequence of an answer and its references."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from plait.metrics import Metric
from plait.metrics.ngrams import check_references

__all__ = ["RougeL", "common"]

BETA = 1.2
"""How much recall counts beside precision, as in pycocoevalcap."""


def common(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence.

    >>> common("a black dog runs".split(), "a dog runs fast".split())
    3
    """
    row = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for j, same in enumerate(other, 1):
            before, row[j] = row[j], before + 1 if word == same else max(row[j], row[j - 1])
    return row[-1]


class RougeL(Metric):
    """The F measure of the longest common subsequence with the references, the mean over the answers.

    Lin 2004, "ROUGE: a package for automatic evaluation of summaries", section 3; of several references the best
    precision and the best recall count, as in pycocoevalcap 1.2, to which it is equal. nan for empty input.
    """

    of = "references"
    bounds = (0.0, 1.0)
    percent = True
    rank = 30

    def __call__(self, target: Sequence[Sequence[str]], scores: Sequence[str]) -> float:
        check_references("rouge_l", target, scores)
        return float(np.mean([self._one(*pair) for pair in zip(target, scores)])) if len(scores) else math.nan

    @staticmethod
    def _one(texts: Sequence[str], answer: str) -> float:
        said = answer.split()
        pairs = [(common(own, said), len(own)) for own in (text.split() for text in texts)]
        precision = max(met for met, _ in pairs) / max(len(said), 1)
        recall = max(met / max(length, 1) for met, length in pairs)
        if not precision or not recall:
            return 0.0
        return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)
