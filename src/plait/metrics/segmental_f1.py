"""F1 of segments: whether segments of a class are found, complete and in one piece."""

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

    A predicted span is correct if its overlap with a true span of its class is at least ``overlap`` of their union, and
    no other span has claimed that true span. It claims the true span that it overlaps most. Counts are over all items;
    nan if there is no span at all. Neither scikit-learn nor torchmetrics has it.

    Args:
        overlap: least intersection over union; 0.5 gives F1@50.
    """

    of = "spans"
    bounds = (0.0, 1.0)
    percent = True
    rank = 10

    def __init__(self, *, overlap: Annotated[float, Field(gt=0, le=1)] = 0.5) -> None:
        self.overlap = overlap

    def __call__(self, target: Sequence[Span], scores: Sequence[Span]) -> float:
        hits = sum(true is not None for true in matched(target, sorted(scores), self.overlap))
        every = len(target) + len(scores)
        return 2 * hits / every if every else math.nan
