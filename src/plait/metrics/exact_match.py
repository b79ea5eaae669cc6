"""Texts without any error."""

from __future__ import annotations

import math
from collections.abc import Sequence

from plait.core.errors import DataError
from plait.metrics import Metric

__all__ = ["ExactMatch"]


class ExactMatch(Metric):
    """Share of the texts whose words are all correct; spaces do not matter. nan for empty input."""

    of = "texts"
    bounds = (0.0, 1.0)
    percent = True
    rank = 30

    def __call__(self, target: Sequence[str], scores: Sequence[str]) -> float:
        if len(target) != len(scores):
            raise DataError(
                f"exact_match: {len(target)} true texts and {len(scores)} answers; expected one of each per item."
            )
        right = [a.split() == b.split() for a, b in zip(target, scores)]
        return sum(right) / len(right) if right else math.nan
