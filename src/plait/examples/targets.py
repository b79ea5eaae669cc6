"""The target of an example: a label, or the annotations within it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict, cast

from plait.examples.future import Future
from plait.examples.scenes import Scene
from plait.examples.units.cuts import Cut, Label, is_target
from plait.streams.recording import Recording

__all__ = ["Annotated", "Named", "Target", "annotated", "named", "notes_of", "target_from_json", "target_to_json"]


@dataclass(frozen=True)
class Annotated:
    """All annotations of a tier within an item, less its context.

    Attributes:
        seconds: length of the item.
        spans: start, stop and label of each, in order of time; seconds from the item's start, clipped to the item.
    """

    seconds: float
    spans: tuple[tuple[float, float, Label], ...] = ()


@dataclass(frozen=True)
class Named:
    """Several labels of one item, by name."""

    labels: Mapping[str, Label]

    def __hash__(self) -> int:
        return hash(tuple(self.labels.items()))


Target = Label | Annotated | Named | Future | Scene


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


def named(recording: Recording, names: Sequence[str], cut: Cut, dropped: Counter[str]) -> Named | None:
    """The labels of a cut, less its context: on the tier of each name, else of the recording; None if one is unknown.

    On a tier it is the label of the same interval, else the one that covers most of the cut.
    """
    start, stop = cut.start + cut.context[0], cut.stop - cut.context[1]
    found: dict[str, Label] = {}
    for name in names:
        notes = recording.tier(name)
        # Not ==: taking the context off a cut rounds.
        same = [a for a in notes if abs(a.start - start) + abs(a.stop - stop) < 1e-6]
        within = same or [a for a in notes if a.start < stop and a.stop > start]
        best = max(within, key=lambda a: min(a.stop, stop) - max(a.start, start), default=None)
        label = best.label if best else recording.labels.get(name, recording.meta.get(name))
        if not is_target(label, dropped, f"target {name!r}"):
            return None
        found[name] = label  # type: ignore[assignment]  # `is_target` has refused other types
    return Named(found)


class AnnotatedJson(TypedDict):
    """`Annotated`, as JSON gives it back: spans may be lists."""

    seconds: float
    spans: Sequence[tuple[float, float, Label]]


class NamedJson(TypedDict):
    """`Named`, as JSON gives it back."""

    labels: Mapping[str, Label]


def target_to_json(target: Target) -> Label | AnnotatedJson | NamedJson | None:
    """A target as JSON, for a saved run; None for one that its streams tell again."""
    if isinstance(target, Future | Scene):
        return None
    if isinstance(target, Named):
        return {"labels": dict(target.labels)}
    return {"seconds": target.seconds, "spans": target.spans} if isinstance(target, Annotated) else target


def target_from_json(found: Label | AnnotatedJson | NamedJson) -> Target:
    """The target that `target_to_json` wrote.

    >>> target_from_json(target_to_json(Annotated(2.0, ((0.5, 1.0, "yes"),))))
    Annotated(seconds=2.0, spans=((0.5, 1.0, 'yes'),))
    """
    if not isinstance(found, dict):
        return found
    if "labels" in found:
        return Named(cast(NamedJson, found)["labels"])
    return Annotated(found["seconds"], tuple((a, b, label) for a, b, label in found["spans"]))
