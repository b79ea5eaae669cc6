"""Texts without an error."""

from __future__ import annotations

import math
from collections.abc import Sequence

from plait.core.errors import DataError
from plait.metrics import Metric

__all__ = ["ExactMatch"]


class ExactMatch(Metric):
    """Share of the texts whose words are all right, spaces aside; nan of nothing."""

    of = "texts"
    bounds = (0.0, 1.0)
    percent = True
    rank = 30

    def __call__(self, target: Sequence[str], scores: Sequence[str]) -> float:
        if len(target) != len(scores):
            raise DataError(f"exact_match: {len(target)} truths and {len(scores)} answers; expected one an item each.")
        right = [a.split() == b.split() for a, b in zip(target, scores)]
        return sum(right) / len(right) if right else math.nan
