"""How far the starts of events are off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from plait.metrics import Metric
from plait.metrics.spans import Span, matched

__all__ = ["OnsetError"]


class OnsetError(Metric):
    """Mean absolute difference of the onsets of events, in milliseconds.

    Of the answers alone that are correct as `plait.metrics.segmental_f1` counts them: read it beside how many there
    are. nan if there are none.

    Args:
        overlap: least intersection over union.
    """

    of = "spans"
    higher_is_better = False
    bounds = (0.0, math.inf)
    rank = 25

    def __init__(self, *, overlap: Annotated[float, Field(gt=0, le=1)] = 0.5) -> None:
        self.overlap = overlap

    def __call__(self, target: Sequence[Span], scores: Sequence[Span]) -> float:
        said = sorted(scores)
        pairs = zip(said, matched(target, said, self.overlap))
        away = [abs(span.start - true.start) for span, true in pairs if true is not None]
        return 1000 * float(np.mean(away)) if away else math.nan
