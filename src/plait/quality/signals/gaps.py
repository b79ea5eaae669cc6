"""Missing values, and missing observations of the clock."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from plait.quality.signals import Finding, Measure, runs_of
from plait.streams.clock import Grid, Ticks
from plait.streams.stream import Stream, Values

__all__ = ["ClockSteps", "Missing"]


class Missing(Measure):
    """Values that are NaN: bad from 1 %."""

    kinds = ("series", "pose", "waveform")

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self.count = self.total = self.longest = self.open = 0
        self.begin = 0

    def add(self, values: Values, first: int) -> None:
        self.total += values.size
        if values.dtype.kind != "f":
            return
        lost = np.isnan(values).reshape(len(values), -1)
        self.count += int(lost.sum())
        gone = np.asarray(lost.any(1))
        for a, b in zip(*runs_of(gone)):
            # A run that began in the block before.
            length = int(b - a) + (self.open if a == 0 else 0)
            if length > self.longest:
                self.longest, self.begin = length, first + int(b) - length
        self.open = _open_end(gone, self.open)

    def findings(self) -> Iterator[Finding]:
        share = self.count / max(self.total, 1)
        place = (self.seconds(self.begin), self.longest * self.step) if self.longest else (None, None)
        yield Finding("missing", share, share >= 0.01, *place)


def _open_end(true: NDArray[np.bool_], before: int) -> int:
    """Length of the run at the end of a block, given the length of the run before the block."""
    if not len(true) or not true[-1]:
        return 0
    stop = np.flatnonzero(~true)
    return len(true) - int(stop[-1]) - 1 if len(stop) else before + len(true)


class ClockSteps(Measure):
    """Irregular clocks: gaps of more than three usual steps, and repeated times; both are bad from 1 %.

    A regular clock has neither.
    """

    kinds = ("series", "pose", "frames")

    def add(self, values: Values, first: int) -> None:
        """Values are not needed, only the clock."""

    def findings(self) -> Iterator[Finding]:
        clock = self.stream.clock
        if isinstance(clock, Grid) or len(clock) < 3:
            return
        times = clock.times
        steps = np.diff(times)
        # Without repeated times, which could otherwise be more than half of the steps.
        usual = float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.0
        lost = np.where(steps > 3 * usual, steps - usual, 0.0)
        worst = int(lost.argmax())
        share = float(lost.sum() / max(times[-1] - times[0], 1e-300))
        place = (float(times[worst]), float(steps[worst])) if lost[worst] else (None, None)
        yield Finding("clock gaps", share, share >= 0.01, *place)
        twice = float((steps == 0).mean())
        at = float(times[int((steps == 0).argmax())]) if twice else None
        yield Finding("same time twice", twice, twice >= 0.01, at)
        if isinstance(clock, Ticks):
            spread = 1.4826 * float(np.median(np.abs(steps - usual))) * 1000
            yield Finding("jitter", spread, bad=False, unit="ms")
