"""Average precision of spans that overlap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from plait.metrics import Metric
from plait.metrics.spans import Span, matched

__all__ = ["MeanAveragePrecision"]


class MeanAveragePrecision(Metric):
    """mAP of detection in time: mean over the true classes of the average precision of spans, the surest first.

    Caba Heilbron et al. 2015, "ActivityNet: a large-scale video benchmark for human activity understanding": a span is
    right where it overlaps a true one that no surer one has taken; precision is made to fall with recall, and averaged
    over recall. nan where nothing is true. Neither scikit-learn nor torchmetrics has it over time.

    Args:
        overlap: intersection over union.
    """

    of = "spans"
    bounds = (0.0, 1.0)
    percent = True
    rank = 20

    def __init__(self, *, overlap: Annotated[float, Field(gt=0, le=1)] = 0.5) -> None:
        self.overlap = overlap

    def __call__(self, target: Sequence[Span], scores: Sequence[Span]) -> float:
        found = [self._of_class(kind, target, scores) for kind in sorted({s.kind for s in target})]
        return float(np.mean(found)) if found else math.nan

    def _of_class(self, kind: int, target: Sequence[Span], scores: Sequence[Span]) -> float:
        own = [s for s in target if s.kind == kind]
        hits = matched(own, sorted((s for s in scores if s.kind == kind), key=lambda s: (-s.score, s)), self.overlap)
        right = np.cumsum(hits)
        precision = right / np.arange(1, len(hits) + 1)
        falling = np.maximum.accumulate(precision[::-1])[::-1]
        return float((falling * np.diff(right, prepend=0)).sum() / len(own))
