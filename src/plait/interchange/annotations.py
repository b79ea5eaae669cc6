"""A recording as annotation tools show it: tiers of intervals, made from annotations and from words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from plait.core.atomic import write_text
from plait.core.names import Names
from plait.interchange import Moved
from plait.interchange.sample import Sample

__all__ = ["LACKS", "Interval", "laned", "lanes", "tiers_of", "write_each"]

Interval = tuple[float, float, str]

Span = TypeVar("Span", tuple[float, float, str], tuple[int, int, str])

LACKS = ("labels", "group", "split", "meta")
"""The keys of `plait.interchange.LOST` that these tools cannot hold."""


def tiers_of(sample: Sample, moved: Moved) -> dict[str, list[Interval]]:
    """Intervals from 0 s on, in order of time, per tier; each annotator of a tier has a tier (``TIER@ANNOTATOR``)."""
    tiers: dict[str, list[Interval]] = {}
    names = Names(lambda name: name, joint="@", exact=True)
    for a in sample.annotations:
        tier = names.of(a.tier, a.annotator) if a.annotator else names.of(a.tier)
        tiers.setdefault(tier, []).append((a.start, a.stop, str(a.label)))
    for name, piece in sample.streams.items():
        own = names.of(name, "stream") if name in tiers else names.of(name)
        starts, stops = piece.edges()
        tiers[own] = [(float(a), float(b), str(t)) for a, b, t in zip(starts, stops, piece.values)]
    moved.note("annotators but for the names of their tiers", sum(bool(a.annotator) for a in sample.annotations))
    moved.note("labels that are numbers (now texts)", sum(not isinstance(a.label, str) for a in sample.annotations))
    return {name: sorted(_from_zero(rows, moved)) for name, rows in tiers.items()}


def _from_zero(rows: Sequence[Interval], moved: Moved) -> list[Interval]:
    """Rows without the time before 0, which these tools do not have."""
    kept = [row for row in rows if row[0] >= 0 or row[1] > 0]
    moved.note("intervals before 0 s", len(rows) - len(kept))
    moved.note("beginnings before 0 s (now 0 s)", sum(start < 0 for start, _, _ in kept))
    return [(max(start, 0.0), stop, label) for start, stop, label in kept]


def lanes(rows: Sequence[Span]) -> list[list[Span]]:
    """Intervals in order of time, dealt out to lanes without overlaps.

    >>> lanes([(0, 2, "a"), (1, 3, "b"), (2, 4, "c")])
    [[(0, 2, 'a'), (2, 4, 'c')], [(1, 3, 'b')]]
    """
    found: list[list[Span]] = []
    for row in rows:
        # The first lane that is free: as rows come in order of time, no other choice needs fewer lanes.
        lane = next((lane for lane in found if lane[-1][1] <= row[0]), None)
        if lane is None:
            found.append([row])
        else:
            lane.append(row)
    return found


def laned(tiers: dict[str, list[Span]], moved: Moved) -> dict[str, list[Span]]:
    """Tiers without overlaps: intervals that overlap go to further tiers (``TIER+1``), and are counted."""
    names = Names(lambda name: name, joint="+", exact=True)
    dealt = {name: lanes(rows) or [[]] for name, rows in tiers.items()}
    # Real tiers take their names first, so that a tier that is called TIER+1 keeps it.
    found = {names.of(name): own[0] for name, own in dealt.items()}
    for name, own in dealt.items():
        for i, lane in enumerate(own[1:], 1):
            found[names.of(name, str(i))] = lane
            moved.note("intervals that overlap, but for tiers of their own (TIER+1)", len(lane))
    return found


def write_each(
    found: Iterator[Sample], out: Path, ending: str, moved: Moved, text_of: Callable[[Sample], str | None]
) -> None:
    """Write one file per recording; recordings without a tier are counted."""
    out.mkdir()
    names = Names()
    for sample in found:
        text = text_of(sample)
        if text is None:
            moved.note("recordings without annotations or words")
            continue
        name = names.of(sample.id)
        write_text(out / f"{name}{ending}", text)
        moved.note("names that no file can have (the files are named alike)", name != sample.id)
