"""Praat: one TextGrid a recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from plait.interchange import Format, Moved
from plait.interchange.annotations import Interval, tiers_of, write_each
from plait.interchange.sample import Sample
from plait.streams.corpus import Corpus

__all__ = ["Textgrid"]


class Textgrid(Format):
    """A folder with ``ID.TextGrid`` for each recording: every tier of annotations and every stream of words.

    Instants become points. Intervals that overlap cannot share a tier of Praat's: those that begin before the last one
    has ended go to a further tier (``TIER+1``). Times before 0 cannot stand there; they are cut and counted.

    Source: Boersma & Weenink, Praat manual, "TextGrid file formats" (the long text form, UTF-8).
    """

    features = False

    def write(self, corpus: Corpus, found: Iterator[Sample], out: Path, moved: Moved) -> None:
        def text_of(sample: Sample) -> str | None:
            tiers = tiers_of(sample)
            if not tiers:
                return None
            early = sum(row[0] < 0 for rows in tiers.values() for row in rows)
            moved.note("times before 0, which were cut", early)
            kept = {n: [(max(a, 0.0), b, t) for a, b, t in rows if b >= 0] for n, rows in tiers.items()}
            return _grid(kept, corpus[sample.id].span[1])

        write_each(found, out, ".TextGrid", moved, text_of)


def _grid(tiers: dict[str, list[Interval]], stop: float) -> str:
    end = max([stop, *(row[1] for rows in tiers.values() for row in rows)])
    parts: list[str] = []
    for name, rows in tiers.items():
        points = [row for row in rows if row[0] == row[1]]
        parts += [_points(name if len(points) == len(rows) else f"{name}+points", points, end)] if points else []
        lanes = _lanes([row for row in rows if row[0] < row[1]])
        parts += [_intervals(name if i == 0 else f"{name}+{i}", lane, end) for i, lane in enumerate(lanes)]
    head = f'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = {end!r}\ntiers? <exists>\n'
    body = "".join(f"    item [{i}]:\n{part}" for i, part in enumerate(parts, 1))
    return f"{head}size = {len(parts)}\nitem []:\n{body}"


def _lanes(rows: list[Interval]) -> list[list[Interval]]:
    """Intervals dealt out so that none overlaps another of its lane."""
    lanes: list[list[Interval]] = []
    for row in rows:
        lane = next((lane for lane in lanes if lane[-1][1] <= row[0]), None)
        if lane is None:
            lanes.append([row])
        else:
            lane.append(row)
    return lanes


def _intervals(name: str, rows: list[Interval], end: float) -> str:
    """A tier of intervals, what lies between them empty, as Praat wants it."""
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
