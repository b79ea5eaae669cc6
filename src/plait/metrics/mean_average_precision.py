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
    """mAP of temporal detection: the mean over the true classes of the average precision of spans.

    Caba Heilbron et al. 2015, "ActivityNet: a large-scale video benchmark for human activity understanding". Spans are
    taken by falling score. A span is correct if the true span that it overlaps most is not claimed yet. Precision is
    made non-increasing in recall, then averaged over recall. nan if there is no true span. Neither scikit-learn nor
    torchmetrics has it over time.

    Departure: where that true span is claimed, ActivityNet's code tries the others. This only matters where true spans
    of one class overlap, or ``overlap`` is 0.5 or less: otherwise no second one overlaps enough.

    Args:
        overlap: least intersection over union.
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
        # Equal scores are ordered by the span itself, so that the order of the list does not matter.
        said = sorted((s for s in scores if s.kind == kind), key=lambda s: (-s.score, s))
        hits = [true is not None for true in matched(own, said, self.overlap)]
        right = np.cumsum(hits)
        precision = right / np.arange(1, len(hits) + 1)
        # Interpolated precision: at each recall the best precision at this recall or above.
        falling = np.maximum.accumulate(precision[::-1])[::-1]
        return float((falling * np.diff(right, prepend=0)).sum() / len(own))
