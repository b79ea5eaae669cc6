"""F1 of events whose ends are in the right place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from plait.metrics import Metric
from plait.metrics.spans import Span

__all__ = ["EventF1"]

SLACK = 1e-6
"""Seconds: times on a grid differ from a collar by rounding."""


class EventF1(Metric):
    """Event-based F1 with collars, averaged over the true classes.

    Source: Mesaros, Heittola, Virtanen 2016, "Metrics for polyphonic sound event detection". An answer is correct if
    its onset is within ``collar`` of a true event of its class, and its offset within ``collar`` or ``length`` of the
    true event's duration, whichever is more. Each answer counts for one event; as many as possible are matched, as in
    mir_eval. nan if nothing is true. sed_eval, which has it too, is no longer maintained.

    Args:
        collar: seconds.
        length: share of a true event's duration.
    """

    of = "spans"
    bounds = (0.0, 1.0)
    percent = True
    standard = False
    rank = 12

    def __init__(
        self, *, collar: Annotated[float, Field(gt=0)] = 0.2, length: Annotated[float, Field(ge=0, le=1)] = 0.2
    ) -> None:
        self.collar, self.length = collar, length

    def __call__(self, target: Sequence[Span], scores: Sequence[Span]) -> float:
        found = []
        for kind in sorted({s.kind for s in target}):
            true, said = ([s for s in side if s.kind == kind] for side in (target, scores))
            items = sorted({s.item for s in true})
            hits = sum(self._hits(*([s for s in side if s.item == i] for side in (true, said))) for i in items)
            found.append(2 * hits / (len(true) + len(said)))
        return float(np.mean(found)) if found else math.nan

    def _hits(self, true: Sequence[Span], said: Sequence[Span]) -> int:
        """The largest number of answers that can each have a true event of their own."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import maximum_bipartite_matching

        if not true or not said:
            return 0
        ends = [np.array([[s.start, s.stop] for s in side]) for side in (true, said)]
        away = np.abs(ends[0][:, None] - ends[1])
        room = np.maximum(self.collar, self.length * (ends[0][:, 1] - ends[0][:, 0]))[:, None]
        fits = (away[..., 0] <= self.collar + SLACK) & (away[..., 1] <= room + SLACK)
        return int((maximum_bipartite_matching(csr_array(fits)) >= 0).sum())
