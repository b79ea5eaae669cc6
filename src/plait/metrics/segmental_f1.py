"""F1 of segments: whether stretches of a class are found, whole and in one piece."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from plait.metrics import Metric
from plait.metrics.spans import Span, matched

__all__ = ["SegmentalF1"]


class SegmentalF1(Metric):
    """F1@k of action segmentation (Lea et al. 2017, "Temporal convolutional networks for action segmentation").

    A span that is answered is right where it overlaps a true one of its class, that no other has taken, by ``overlap``
    of their union; of several it takes the one that it overlaps most. Counted over all items; nan where there is no
    span at all. Neither scikit-learn nor torchmetrics has it.

    Args:
        overlap: intersection over union; 0.5 gives F1@50.
    """

    of = "spans"
    bounds = (0.0, 1.0)
    percent = True
    rank = 10

    def __init__(self, *, overlap: Annotated[float, Field(gt=0, le=1)] = 0.5) -> None:
        self.overlap = overlap

    def __call__(self, target: Sequence[Span], scores: Sequence[Span]) -> float:
        hits = sum(matched(target, sorted(scores), self.overlap))
        every = len(target) + len(scores)
        return 2 * hits / every if every else math.nan
