"""Words: empty texts and overlapping intervals."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from plait.quality.signals import Finding, Measure
from plait.streams.clock import Spans
from plait.streams.stream import Stream, Values

__all__ = ["Texts"]


class Texts(Measure):
    """Empty texts, and words that begin before the previous one ends: bad from 1 %."""

    kinds = ("words",)

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self.empty: list[int] = []
        self.total = 0

    def add(self, values: Values, first: int) -> None:
        self.total += len(values)
        self.empty += [first + i for i, text in enumerate(values) if not str(text).strip()]

    def findings(self) -> Iterator[Finding]:
        share = len(self.empty) / max(self.total, 1)
        yield Finding("empty", share, share >= 0.01, self.seconds(self.empty[0]) if self.empty else None)
        clock = self.stream.clock
        if isinstance(clock, Spans) and len(clock) > 1:
            over = clock.starts[1:] < clock.stops[:-1] - 1e-9
            at = float(clock.starts[1:][over][0]) if over.any() else None
            yield Finding("overlapping", float(np.mean(over)), bool(np.mean(over) >= 0.01), at)
