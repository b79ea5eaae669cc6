"""Counts of what a join matched and what it did not, so that nothing is lost silently."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

__all__ = ["Coverage"]


@dataclass(frozen=True)
class Coverage:
    """Counts of one join; the counts of several recordings can be added.

    ``matched + before + after + gap + empty + unknown == intervals``.

    Attributes:
        intervals: rows of the target clock.
        matched: rows with a value in at least one channel.
        before, after: rows before the first observation of the stream, after its last.
        gap: rows where the stream pauses for more than ``max_gap``.
        empty: rows without an observation although some are near: shorter than the stream's step.
        unknown: rows whose observations are all NaN.
        partial: matched rows that are partly outside the stream's range or in one of its gaps.
        cells, cells_unknown: numbers in the matched rows, and how many of them are unknown.
        observations: observations of the stream.
        unused: observations in no interval; None for methods that pick single observations.
        repeated: number of repeated uses of an observation in a further interval.
        ahead: matched rows that depend on data recorded after their instant.
        future_s: their largest look-ahead in seconds; infinite where a feature uses the whole recording.

    >>> str(Coverage(intervals=10, matched=8, gap=2, partial=1, future_s=0.25, ahead=8))
    '10 intervals: 8 matched (1 in part), 2 in gaps; looks up to 0.25 s ahead'
    """

    intervals: int = 0
    matched: int = 0
    before: int = 0
    after: int = 0
    gap: int = 0
    empty: int = 0
    unknown: int = 0
    partial: int = 0
    cells: int = 0
    cells_unknown: int = 0
    observations: int = 0
    unused: int | None = None
    repeated: int = 0
    ahead: int = 0
    future_s: float = 0.0

    def __add__(self, other: Coverage) -> Coverage:
        total = dict(vars(self))
        for name, value in vars(other).items():
            if name == "future_s":
                total[name] = max(total[name], value)
            elif value is not None:
                total[name] = (total[name] or 0) + value
        return Coverage(**total)

    @property
    def share_unknown(self) -> float:
        """Share of the numbers in matched rows that are unknown."""
        return self.cells_unknown / self.cells if self.cells else 0.0

    def describe(self) -> dict[str, Any]:
        """The counts, for JSON; an infinite ``future_s`` as text."""
        future = self.future_s if self.future_s < float("inf") else "whole recording"
        return {**vars(self), "future_s": future, "share_unknown": round(self.share_unknown, 6)}

    @classmethod
    def of(cls, described: dict[str, Any]) -> Coverage:
        """The counts that `describe` wrote."""
        own = {f.name: described[f.name] for f in fields(cls) if f.name in described}
        if isinstance(own.get("future_s"), str):
            own["future_s"] = float("inf")
        return cls(**own)

    def __str__(self) -> str:
        part = f" ({self.partial:,} in part)" if self.partial else ""
        words = {
            "before": "before the stream",
            "after": "after it",
            "gap": "in gaps",
            "empty": "shorter than its step",
            "unknown": "of NaN only",
        }
        counts = [f"{getattr(self, name):,} {text}" for name, text in words.items() if getattr(self, name)]
        text = f"{self.intervals:,} intervals: " + ", ".join([f"{self.matched:,} matched{part}", *counts])
        if self.cells_unknown:
            text += f"; {self.share_unknown:.1%} of the matched numbers unknown"
        if self.unused:
            text += f"; {self.unused:,} of {self.observations:,} observations in no interval"
        if self.future_s == float("inf"):
            return text + "; looks ahead through the whole recording"
        return text + (f"; looks up to {self.future_s:.3g} s ahead" if self.future_s > 0 else "")
