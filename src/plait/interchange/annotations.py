"""What an annotation tool shows of a recording: tiers of intervals, whether annotations or words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from plait.atomic import write_text
from plait.interchange import Moved
from plait.interchange.sample import Sample
from plait.names import Names

__all__ = ["Interval", "tiers_of", "write_each"]

Interval = tuple[float, float, str]


def tiers_of(sample: Sample) -> dict[str, list[Interval]]:
    """Intervals in order of time, by tier; annotators of one tier stand apart (``TIER@ANNOTATOR``)."""
    tiers: dict[str, list[Interval]] = {}
    for a in sample.annotations:
        name = f"{a.tier}@{a.annotator}" if a.annotator else a.tier
        tiers.setdefault(name, []).append((a.start, a.stop, str(a.label)))
    for name, piece in sample.streams.items():
        own = name if name not in tiers else f"{name} (stream)"
        starts, stops = piece.edges()
        tiers[own] = [(float(a), float(b), str(t)) for a, b, t in zip(starts, stops, piece.values)]
    return {name: sorted(rows) for name, rows in tiers.items()}


def write_each(
    found: Iterator[Sample], out: Path, ending: str, moved: Moved, text_of: Callable[[Sample], str | None]
) -> None:
    """One file a recording; those that have no tier are counted."""
    out.mkdir()
    names = Names()
    for sample in found:
        text = text_of(sample)
        if text is None:
            moved.note("recordings without annotations or words")
        else:
            write_text(out / f"{names.of(sample.id)}{ending}", text)
        moved.note("labels of whole recordings", len(sample.labels))
