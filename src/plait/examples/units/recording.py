"""Whole recordings."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from plait.examples.units import Unit
from plait.examples.units.cuts import Cut, is_target, streams_of
from plait.streams.clock import Grid
from plait.streams.recording import Recording as Recorded

__all__ = ["Recording"]


class Recording(Unit):
    """Whole recordings; the target is the label named ``target``, else the meta field of that name.

    Args:
        target: name of the label or meta field.
    """

    source: ClassVar[str] = "target"
    needs: ClassVar[dict[str, str]] = {"target": "the name of a label or of a meta field of the recordings"}

    def __init__(self, *, target: str | None) -> None:
        self.target = target

    def cut(self, recording: Recorded, dropped: Counter[str], *, asked: bool) -> list[Cut]:
        key = self.target or ""
        target = None if asked else recording.labels.get(key, recording.meta.get(key))
        if not asked:
            if target is None:
                dropped[f"recordings: no label {key!r}"] += 1
                return []
            if not is_target(target, dropped, "recordings"):
                return []
        clocks = [s.clock for s in streams_of(recording)]
        if not clocks:
            dropped["recordings: no stream has any observation"] += 1
            return []
        # A cut is half-open, but a tick or an empty interval at the very end belongs to the recording.
        stop = max(c.stop if isinstance(c, Grid) else c.stop + 1e-6 for c in clocks)
        return [Cut(min(c.start for c in clocks), stop, target, True)]
