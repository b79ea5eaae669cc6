"""Praat: one TextGrid per recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from plait.core.names import Names
from plait.corpus.corpus import Corpus
from plait.interchange import Format, Moved
from plait.interchange.annotations import LACKS, Interval, laned, tiers_of, write_each
from plait.interchange.sample import Sample

__all__ = ["Textgrid"]


class Textgrid(Format):
    """A folder with ``ID.TextGrid`` for each recording: every tier of annotations and every stream of words.

    Instants become points, on a tier of their own (``TIER+points``) if a tier has intervals too. Intervals on a tier of
    Praat's cannot overlap: an interval that begins before the last one has ended goes to a further tier (``TIER+1``).
    Times before 0 are not possible; they are cut and counted, as is everything else that is lost.

    Source: Boersma & Weenink, Praat manual, "TextGrid file formats" (the long text form, UTF-8).
    """

    features = False
    lacks = LACKS

    def write(self, corpus: Corpus, found: Iterator[Sample], out: Path, moved: Moved) -> None:
        def text_of(sample: Sample) -> str | None:
            tiers = tiers_of(sample, moved)
            if not tiers:
                return None
            others = [n for n in corpus.entry(sample.id).streams if n not in sample.streams]
            moved.note("streams that are no words", len(others))
            empty = sum(a < b and not t.strip() for rows in tiers.values() for a, b, t in rows)
            moved.note("intervals without a text (Praat takes them for gaps)", empty)
            return _grid(tiers, corpus[sample.id].span[1], moved)

        write_each(found, out, ".TextGrid", moved, text_of)


def _grid(tiers: dict[str, list[Interval]], stop: float, moved: Moved) -> str:
    end = max([stop, *(row[1] for rows in tiers.values() for row in rows)])
    points = {name: [row for row in rows if row[0] == row[1]] for name, rows in tiers.items()}
    others = {name: [row for row in rows if row[0] < row[1]] for name, rows in tiers.items()}
    whole = laned({name: rows for name, rows in others.items() if rows}, moved)
    names = Names(lambda name: name, joint="+", exact=True)
    parts = [_intervals(names.of(name), rows, end) for name, rows in whole.items()]
    for name, rows in points.items():
        if rows:
            parts.append(_points(names.of(name, "points") if name in whole else names.of(name), rows, end))
    head = f'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = {end!r}\ntiers? <exists>\n'
    body = "".join(f"    item [{i}]:\n{part}" for i, part in enumerate(parts, 1))
    return f"{head}size = {len(parts)}\nitem []:\n{body}"


def _intervals(name: str, rows: list[Interval], end: float) -> str:
    """A tier of intervals, with empty intervals between them."""
    # Praat wants a tier covered from xmin to xmax without a gap.
    full: list[Interval] = []
    at = 0.0
    for start, stop, label in rows:
        if start > at:
            full.append((at, start, ""))
        full.append((start, stop, label))
        at = stop
    if at < end:
        full.append((at, end, ""))
    text = "".join(
        f"        intervals [{i}]:\n            xmin = {a!r}\n            xmax = {b!r}\n"
        f"            text = {_quoted(t)}\n"
        for i, (a, b, t) in enumerate(full, 1)
    )
    return f"{_head('IntervalTier', name, end)}        intervals: size = {len(full)}\n{text}"


def _points(name: str, rows: list[Interval], end: float) -> str:
    text = "".join(
        f"        points [{i}]:\n            number = {a!r}\n            mark = {_quoted(t)}\n"
        for i, (a, _, t) in enumerate(rows, 1)
    )
    return f"{_head('TextTier', name, end)}        points: size = {len(rows)}\n{text}"


def _head(kind: str, name: str, end: float) -> str:
    return f'        class = "{kind}"\n        name = {_quoted(name)}\n        xmin = 0\n        xmax = {end!r}\n'


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
