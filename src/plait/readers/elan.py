"""Annotations made with ELAN."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path
from typing import ClassVar
from xml.etree.ElementTree import Element

from plait.core.errors import DataError, raise_all
from plait.core.parts import suggest
from plait.readers import Reader
from plait.readers._budget import Purse
from plait.readers._elan_times import UNITS, Note, Span, notes_of, slots_of, spans_of
from plait.readers._told import tell
from plait.readers._words import words
from plait.readers._xml import tree
from plait.streams.stream import Stream

__all__ = ["Elan"]

_MOST_PROBLEMS = 20


class Elan(Reader):
    """One stream of words per tier, by the tier's name; each observation is an annotation with its interval.

    Annotations that have no times of their own get them as ELAN shows them: a symbolic association has its parent's
    interval, symbolic subdivisions divide it evenly, and time subdivisions divide what lies between the two nearest
    known times. Empty tiers are left out and logged; empty annotations are kept. Times are those of the
    document; where a media file in it begins at another time, that is logged.

    Source: Max Planck Institute for Psycholinguistics, "ELAN Annotation Format" (schema EAF 3.0).

    Args:
        tiers: which to take; default: all.

    Raises:
        DataError: on opening: no XML, no EAF, tiers that are not there, references that lead nowhere, times that go
            backwards; all of them at once.

    >>> Elan().suffixes
    ('.eaf',)
    """

    suffixes: ClassVar[tuple[str, ...]] = (".eaf",)

    def __init__(self, *, tiers: list[str] | None = None) -> None:
        self.tiers = tiers

    def open(self, path: Path) -> dict[str, Stream]:
        root = tree(path)
        if root.tag != "ANNOTATION_DOCUMENT":
            raise DataError(f"{path}: its root is {root.tag[:40]!r}; expected 'ANNOTATION_DOCUMENT'. Export it as EAF.")
        _tell_origins(path, root)
        tiers = {tier.get("TIER_ID", ""): notes_of(tier) for tier in root.iter("TIER")}
        absent = [t for t in self.tiers or () if t not in tiers]
        raise_all(DataError, [f"{path}: has no tier {t!r}. {suggest(t, tiers)}" for t in absent])
        spans = _spans(path, root, tiers, self.budget.purse(path))
        chosen = self.tiers or list(tiers)
        empty = [t for t in chosen if not tiers[t]]
        if empty:
            logging.getLogger("plait").info("%s: tiers without annotations are left out: %s", path, ", ".join(empty))
        return {
            # By time only: at equal times the order of the file stays.
            t: words(path, sorted(((*spans[n.id], n.text) for n in tiers[t]), key=lambda row: row[:2]))
            for t in chosen
            if tiers[t]
        }


def _spans(path: Path, root: Element, tiers: dict[str, list[Note]], purse: Purse) -> dict[str, Span]:
    header = root.find("HEADER")
    unit = "milliseconds" if header is None else header.get("TIME_UNITS", "milliseconds")
    if unit not in UNITS:
        raise DataError(f"{path}: times are in {unit[:40]!r}. {suggest(unit, UNITS)}")
    ids = Counter(note.id for notes in tiers.values() for note in notes)
    problems = [f"{n} annotations have the id {id!r}" for id, n in ids.items() if n > 1]
    spans = spans_of(list(tiers.values()), slots_of(root, UNITS[unit], problems), problems, purse)
    more = [f"{len(problems) - _MOST_PROBLEMS} more such problems"] if len(problems) > _MOST_PROBLEMS else []
    told = [*problems[:_MOST_PROBLEMS], *more]
    raise_all(DataError, [f"{path}: {p}. Open it in ELAN, correct it and save it anew." for p in told])
    return spans


def _tell_origins(path: Path, root: Element) -> None:
    for media in root.iter("MEDIA_DESCRIPTOR"):
        origin = media.get("TIME_ORIGIN", "0").strip()
        if origin not in ("0", ""):
            place = f"{origin} ms of {media.get('MEDIA_URL', 'its media')}"
            tell(path, f"second 0 of the annotations is at {place}. If that is a stream too, give one an offset")
