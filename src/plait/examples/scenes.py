"""Scenes: the objects within an item, and which relations hold between them; the target of scene graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from plait.core.errors import DataError, raise_all
from plait.core.parts import suggest
from plait.core.safe_yaml import brief
from plait.examples.units.cuts import Cut, Label
from plait.streams.clock import Clock
from plait.streams.objects import Objects, objects_of
from plait.streams.recording import Recording

__all__ = ["Relation", "Scene", "Scenery", "relation_of", "scene", "scenery_of"]


class Relation(NamedTuple):
    """``subject predicate object``, the objects by their ids."""

    subject: str
    predicate: str
    object: str


@dataclass(frozen=True, eq=False)
class Scene:
    """The objects within an item and the relations between them.

    Attributes:
        seconds: length of the item, less its context.
        objects: their times are in seconds from the item's start.
        relations: those annotated; None where they are not known, as in prediction.
    """

    seconds: float
    objects: Objects
    relations: tuple[Relation, ...] | None = None

    def answered(self, labels: Sequence[Label]) -> Scene:
        """The same objects with the relations that labels name."""
        return replace(self, relations=tuple(dict.fromkeys(relation_of(label) for label in labels)))


class Scenery(NamedTuple):
    """The objects of a whole recording, and their clock."""

    objects: Objects
    clock: Clock


def relation_of(label: Label) -> Relation:
    """The relation that a label names: the subject's id, the predicate's words, the object's id.

    Raises:
        DataError: fewer than three words.

    >>> relation_of("2 sit next to 0")
    Relation(subject='2', predicate='sit next to', object='0')
    """
    words = str(label).split()
    if len(words) < 3:
        raise DataError(f"relation {brief(str(label))}: expected 'ID predicate ID', such as '2 next to 0'.")
    return Relation(words[0], " ".join(words[1:-1]), words[-1])


def scenery_of(recording: Recording, stream: str, tier: str) -> Scenery | None:
    """The objects of a recording, its relations checked; None without such a stream.

    Raises:
        DataError: the stream does not hold objects (`plait.streams.objects.objects_of`), or a relation on the tier is
            no relation, or of an object that is not there; all in one message.
    """
    if stream not in recording.streams:
        return None
    found = recording.streams[stream]
    objects, problems = objects_of(replace(found, where=found.where or f"{recording.id} {stream!r}")), list[str]()
    known = dict.fromkeys(objects.ids)
    for note in recording.tier(tier):
        place = f"{recording.id}, tier {tier!r}, {note.start:.3f} s"
        try:
            relation = relation_of(note.label)
        except DataError as error:
            problems += [f"{place}: {problem}" for problem in error.problems]
            continue
        strange = [name for name in (relation.subject, relation.object) if name not in known]
        problems += [
            f"{place}: relation {brief(str(note.label))} is of the object {name!r}, which the stream {stream!r} does "
            f"not have. {suggest(name, known)}"
            for name in strange
        ]
    raise_all(DataError, problems)
    return Scenery(objects, found.clock)


def scene(
    scenery: Scenery | None, notes: Sequence[tuple[float, float, Label]] | None, cut: Cut, dropped: Counter[str]
) -> Scene:
    """The scene of a cut of a recording.

    Args:
        scenery: the recording's objects; None: it has none.
        notes: start, stop and label of each relation, seconds of the recording; None: unknown.
        cut: the item.
        dropped: counts relations of objects that are not seen within the cut.
    """
    seconds = cut.stop - cut.start - sum(cut.context)
    if scenery is None:
        none = np.zeros(0)
        return Scene(seconds, Objects(none, (), (), none.reshape(0, 4), none.reshape(0, 2), none))
    part = slice(0, len(scenery.clock)) if cut.whole else scenery.clock.window(cut.start, cut.stop)
    seen = scenery.objects[part]
    made = Scene(seconds, replace(seen, times=seen.times - cut.start))
    if notes is None:
        return made
    start, stop = cut.start + cut.context[0], cut.stop - cut.context[1]
    # A picture's annotation may have no duration.
    named = [relation_of(label) for a, b, label in notes if a < stop and (b > start or a == b >= start)]
    there = set(seen.ids)
    kept = tuple(r for r in dict.fromkeys(named) if {r.subject, r.object} <= there)
    lost = len(dict.fromkeys(named)) - len(kept)
    if lost:
        dropped["relations: an object is not seen within the item"] += lost
    return replace(made, relations=kept)
