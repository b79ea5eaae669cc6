"""What is asked of an example: a label, or what is annotated within it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plait.examples.units.cuts import Cut, Label, is_target
from plait.streams.recording import Recording

__all__ = ["Annotated", "Target", "annotated", "notes_of", "target_from_json", "target_to_json"]


@dataclass(frozen=True)
class Annotated:
    """All that is annotated on a tier within what is asked about.

    Attributes:
        seconds: how long that is.
        spans: start, stop and label of each, in order of time; seconds from where it begins, clipped to it.
    """

    seconds: float
    spans: tuple[tuple[float, float, Label], ...] = ()


Target = Label | Annotated


Notes = Sequence[tuple[float, float, Label]]
"""Start, stop and label of each annotation, seconds of the recording."""


def notes_of(recording: Recording, name: str) -> Notes:
    """What a recording holds of a tier, or of a stream of words; a label of that name is one, of all times."""
    found = [(a.start, a.stop, a.label) for a in recording.tier(name)]
    if not found and name in recording.labels:
        found = [(-math.inf, math.inf, recording.labels[name])]
    return found


def annotated(notes: Notes, cut: Cut, dropped: Counter[str]) -> Annotated:
    """What of a recording's annotations lies within a cut less its context."""
    start, stop = cut.start + cut.context[0], cut.stop - cut.context[1]
    spans = [
        (max(a, start) - start, min(b, stop) - start, label)
        for a, b, label in notes
        if a < stop and b > start and is_target(label, dropped, "annotations")
    ]
    return Annotated(stop - start, tuple(spans))


def target_to_json(target: Target) -> Any:
    """For a saved run."""
    return {"seconds": target.seconds, "spans": target.spans} if isinstance(target, Annotated) else target


def target_from_json(found: Any) -> Target:
    """The other way.

    >>> target_from_json(target_to_json(Annotated(2.0, ((0.5, 1.0, "yes"),))))
    Annotated(seconds=2.0, spans=((0.5, 1.0, 'yes'),))
    """
    if not isinstance(found, dict):
        label: Label = found
        return label
    return Annotated(found["seconds"], tuple((a, b, label) for a, b, label in found["spans"]))
