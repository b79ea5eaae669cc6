"""Texts that are equal to one of their references."""

from __future__ import annotations

import math
from collections.abc import Sequence

from plait.metrics import Metric
from plait.metrics.ngrams import check_references

__all__ = ["AnyMatch"]


class AnyMatch(Metric):
    """Share of the answers that are one of their references, word by word. nan for empty input."""

    of = "references"
    bounds = (0.0, 1.0)
    percent = True
    rank = 50

    def __call__(self, target: Sequence[Sequence[str]], scores: Sequence[str]) -> float:
        check_references("any_match", target, scores)
        right = [answer.split() in [text.split() for text in texts] for texts, answer in zip(target, scores)]
        return sum(right) / len(right) if right else math.nan
