"""The times of annotations in an ELAN document: their own, or derived from their parents."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree.ElementTree import Element

from plait.readers._budget import Purse

__all__ = ["UNITS", "Note", "Span", "notes_of", "slots_of", "spans_of"]

UNITS = {"milliseconds": 1 / 1000, "NTSC-frames": 1001 / 30000, "PAL-frames": 1 / 25, "PAL-50-frames": 1 / 50}

Span = tuple[float, float]


@dataclass(frozen=True)
class Note:
    """One annotation: its text, and either its two time slots or its parent."""

    id: str
    text: str
    slots: tuple[str, str] | None
    parent: str
    previous: str


def notes_of(tier: Element) -> list[Note]:
    """The annotations of a tier, in the order of the file."""
    return [
        Note(
            own.get("ANNOTATION_ID", ""),
            (own.findtext("ANNOTATION_VALUE") or "").strip(),
            (own.get("TIME_SLOT_REF1", ""), own.get("TIME_SLOT_REF2", ""))
            if own.tag == "ALIGNABLE_ANNOTATION"
            else None,
            own.get("ANNOTATION_REF", ""),
            own.get("PREVIOUS_ANNOTATION", ""),
        )
        for holder in tier.iter("ANNOTATION")
        for own in holder
    ]


def slots_of(root: Element, unit: float, problems: list[str]) -> dict[str, float | None]:
    """Seconds of each time slot, None where it has no time."""
    times: dict[str, float | None] = {}
    for slot in root.iter("TIME_SLOT"):
        value, name = slot.get("TIME_VALUE"), slot.get("TIME_SLOT_ID", "")
        try:
            times[name] = None if value is None else float(value) * unit
        except ValueError:
            times[name] = math.nan
        if math.isnan(times[name] or 0.0):
            problems.append(f"time slot {name!r} is at {str(value)[:30]!r}; expected a number")
    return times


def spans_of(
    tiers: Sequence[Sequence[Note]], times: Mapping[str, float | None], problems: list[str], purse: Purse
) -> dict[str, Span]:
    """Start and end of each annotation by its id; what is wrong is added to ``problems``.

    Raises:
        DataError: deriving them takes more steps than the purse has.
    """
    notes = [note for tier in tiers for note in tier]
    known = _shared_out(tiers, {s: t for s, t in times.items() if t is not None}, purse)
    spans: dict[str, Span] = {}
    for note in notes:
        if note.slots is None:
            continue
        start, stop = (known.get(s) for s in note.slots)
        if start is None or stop is None or stop < start:
            problems.append(f"annotation {note.id!r} at {note.slots} runs from {start} to {stop} s")
        else:
            spans[note.id] = (start, stop)
    _add_references(tiers, spans)
    missing = [note for note in notes if note.slots is None and note.id not in spans]
    problems += [f"annotation {n.id!r} refers to {n.parent!r}, which leads nowhere" for n in missing]
    return spans


def _shared_out(tiers: Sequence[Sequence[Note]], known: dict[str, float], purse: Purse) -> dict[str, float]:
    """Slots without a time are spread evenly between those that have one, along a chain of annotations of one tier."""
    for _ in tiers:  # a tier may depend on one that comes after it
        before = len(known)
        for tier in tiers:
            purse.count(len(tier) + 1, "annotations that depend on others")
            after = {n.slots[0]: n.slots[1] for n in tier if n.slots}
            for first in [s for s in after if s in known and after[s] not in known]:
                _fill(first, after, known)
        if len(known) == before:
            break
    return known


def _fill(first: str, after: Mapping[str, str], known: dict[str, float]) -> None:
    chain, at = [], after[first]
    while at not in known:
        chain.append(at)
        if at not in after or len(chain) > len(after):
            return  # the chain ends without a time, or is a circle
        at = after[at]
    for i, slot in enumerate(chain, 1):
        known[slot] = known[first] + (known[at] - known[first]) * i / (len(chain) + 1)


def _add_references(tiers: Sequence[Sequence[Note]], spans: dict[str, Span]) -> None:
    """Children of one tier share their parent's interval evenly."""
    groups: dict[str, list[list[Note]]] = defaultdict(list)
    for tier in tiers:
        own: dict[str, list[Note]] = defaultdict(list)
        for note in tier:
            if note.slots is None and note.id not in spans:
                own[note.parent].append(note)
        for parent, children in own.items():
            groups[parent].append(_in_order(children))
    waiting = [parent for parent in groups if parent in spans]
    # Not by recursion: children may have children, as deep as a broken file likes.
    while waiting:
        parent = waiting.pop()
        start, stop = spans[parent]
        for children in groups.pop(parent, []):
            edges = [start + (stop - start) * i / len(children) for i in range(len(children))] + [stop]
            for child, span in zip(children, pairwise(edges)):
                spans[child.id] = span
                waiting.append(child.id)


def _in_order(children: list[Note]) -> list[Note]:
    """Ordered by the predecessor that each one names; else as in the file."""
    # Backwards, so that the first of two with one predecessor follows it.
    after = {n.previous: n for n in reversed(children) if n.previous}
    ids = {n.id for n in children}
    ordered: dict[str, Note] = {}
    for note in children:
        if note.previous in ids:
            continue
        at: Note | None = note
        while at is not None and at.id not in ordered:
            ordered[at.id] = at
            at = after.get(at.id)
    return [*ordered.values(), *(n for n in children if n.id not in ordered)]
