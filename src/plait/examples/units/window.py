"""Windows: items of equal length at regular intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from plait.core.errors import ConfigError, DataError
from plait.examples.units import Context, Length, Unit
from plait.examples.units.cuts import Cut, Label, cuts_at, measured_span, padded, tier_of
from plait.streams.clock import windows
from plait.streams.recording import Annotation, Recording

__all__ = ["Window"]

MOST = 1_000_000
"""Most windows per recording; more are surely a typing error."""

Coverage = Annotated[float, Field(ge=0, le=1, description="a share from 0 to 1")]


class Window(Unit):
    """Windows of equal length; the target is the label that covers most of a window (the earlier one on a tie).

    Args:
        tier: an annotation tier, or a stream of words.
        length: seconds per window.
        hop: seconds from one window's start to the next; by default ``length``.
        average: the target is the mean of numeric labels instead, weighted by time.
        coverage: windows with a smaller annotated share are dropped.
        pad: seconds of context on both sides, within the recording.

    Raises:
        ConfigError: on cutting, if ``hop`` is so small that a recording has more than a million windows.
    """

    source: ClassVar[str] = "tier"
    needs: ClassVar[dict[str, str]] = {
        "tier": "the name of an annotation tier or of a stream of words",
        "length": "seconds, above 0",
    }

    def __init__(
        self,
        *,
        tier: str | None,
        length: Length,
        hop: Length | None = None,
        average: bool = False,
        coverage: Coverage = 0.5,
        pad: Context = 0.0,
    ) -> None:
        self.tier, self.length, self.hop = tier or "", length, length if hop is None else hop
        self.average, self.coverage, self.pad = average, coverage, pad

    def resolved(self) -> dict[str, object]:
        return {"hop": self.hop}

    def context(self) -> tuple[float, float] | None:
        return (float(self.length), float(self.pad)) if self.pad else None

    def cut(self, recording: Recording, dropped: Counter[str], *, asked: bool) -> list[Cut]:
        # In prediction an unusable annotation costs nothing, so it is not counted as dropped.
        tier = self._tier(recording, Counter() if asked else dropped)
        span = measured_span(recording, self.tier) or (tier.span if tier else None)
        if span is None or (tier is None and not asked):
            return []
        if tier and not asked and self.average:
            tier.check_numbers(recording.id, self.tier)
        # Checked before the loop: a hop of nanoseconds would otherwise fill the memory first.
        if span[1] - span[0] - self.length > MOST * self.hop:
            raise ConfigError(
                f"task.hop: got {self.hop:g} s, so a recording has more than {MOST:,} windows. Give a larger one."
            )
        cuts, pad = [], self.pad
        for start, stop in windows(*span, self.length, self.hop):
            target, covered = tier.target(start, stop, self.average) if tier and not asked else (None, 0.0)
            # 1e-9: sums of float seconds may fall short of an exact share such as 0.5
            if not asked and (target is None or covered < self.coverage * (stop - start) - 1e-9):
                dropped[f"windows: less than {self.coverage:.0%} of it is annotated"] += 1
            else:
                cuts.append(padded(start, stop, target, pad, span))
        if not cuts and span[1] - span[0] < self.length:
            dropped["recordings: shorter than a window"] += 1
        return cuts

    def at(self, recording: Recording, segments: Sequence[tuple[float, float]]) -> list[Cut]:
        return cuts_at(recording, segments, pad=self.pad, tier=self.tier)

    def _tier(self, recording: Recording, dropped: Counter[str]) -> _Tier | None:
        """The annotations; if no stream was measured, windows span them, in prediction as in training."""
        found = tier_of(recording, self.tier, dropped) if self.tier else []
        return _Tier(found) if found else None


class _Tier:
    """Annotations ordered by start; tells which of them cover a window."""

    def __init__(self, found: list[Annotation]) -> None:
        self._found = found
        self._starts = np.array([a.start for a in found])
        # Annotations may overlap or nest: the running maximum is sorted, so that binary search works.
        self._ends = np.maximum.accumulate([a.stop for a in found])
        self.span = found[0].start, float(self._ends[-1])

    def check_numbers(self, recording: str, tier: str) -> None:
        """Raise `DataError` if a label is a text: texts have no mean."""
        if texts := [a.label for a in self._found if isinstance(a.label, str)]:
            raise DataError(
                f"{recording}: tier {tier!r} holds texts such as {texts[0]!r}, which have no mean. "
                "Leave out task.average."
            )

    def target(self, start: float, stop: float, average: bool) -> tuple[Label | None, float]:
        """The window's label (or mean), and how many of its seconds are annotated."""
        lo, hi = np.searchsorted(self._ends, start, "right"), np.searchsorted(self._starts, stop)
        weights: dict[Label, float] = {}
        covered, reached = 0.0, start
        for a in self._found[int(lo) : int(hi)]:
            seconds = min(a.stop, stop) - max(a.start, start)
            if seconds > 0:
                weights[a.label] = weights.get(a.label, 0.0) + seconds
                # Overlapping annotations count once: only what lies beyond the last end reached is new.
                covered += max(0.0, min(a.stop, stop) - max(a.start, reached))
                reached = max(reached, min(a.stop, stop))
        if not weights:
            return None, 0.0
        if average:
            return sum(float(x) * w for x, w in weights.items()) / sum(weights.values()), covered
        # Ties within rounding go to the first label: dicts keep the order of annotations.
        best = max(weights.values())
        return next(label for label, w in weights.items() if w >= best - 1e-9), covered
