"""The target of an example: a label, or the annotations within it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from plait.examples.units.cuts import Cut, Label, is_target
from plait.streams.recording import Recording

__all__ = ["Annotated", "Target", "annotated", "notes_of", "target_from_json", "target_to_json"]


@dataclass(frozen=True)
class Annotated:
    """All annotations of a tier within an item, less its context.

    Attributes:
        seconds: length of the item.
        spans: start, stop and label of each, in order of time; seconds from the item's start, clipped to the item.
    """

    seconds: float
    spans: tuple[tuple[float, float, Label], ...] = ()


Target = Label | Annotated


Notes = Sequence[tuple[float, float, Label]]
"""Start, stop and label of each annotation, in seconds of the recording."""


def notes_of(recording: Recording, name: str) -> Notes:
    """The annotations on a tier or in a stream of words; else the recording's label of that name, for all times."""
    found = [(a.start, a.stop, a.label) for a in recording.tier(name)]
    if not found and name in recording.labels:
        found = [(-math.inf, math.inf, recording.labels[name])]
    return found


def annotated(notes: Notes, cut: Cut, dropped: Counter[str]) -> Annotated:
    """The annotations of a recording that lie within a cut, less its context."""
    start, stop = cut.start + cut.context[0], cut.stop - cut.context[1]
    # Times count from the first instant asked about, so that context never shifts a target.
    spans = [
        (max(a, start) - start, min(b, stop) - start, label)
        for a, b, label in notes
        if a < stop and b > start and is_target(label, dropped, "annotations")
    ]
    return Annotated(stop - start, tuple(spans))


class AnnotatedJson(TypedDict):
    """`Annotated`, as JSON gives it back: spans may be lists."""

    seconds: float
    spans: Sequence[tuple[float, float, Label]]


def target_to_json(target: Target) -> Label | AnnotatedJson:
    """A target as JSON, for a saved run."""
    return {"seconds": target.seconds, "spans": target.spans} if isinstance(target, Annotated) else target


def target_from_json(found: Label | AnnotatedJson) -> Target:
    """The target that `target_to_json` wrote.

    >>> target_from_json(target_to_json(Annotated(2.0, ((0.5, 1.0, "yes"),))))
    Annotated(seconds=2.0, spans=((0.5, 1.0, 'yes'),))
    """
    if not isinstance(found, dict):
        return found
    return Annotated(found["seconds"], tuple((a, b, label) for a, b, label in found["spans"]))
