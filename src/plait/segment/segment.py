"""Segments as annotations: shots, scenes and speech of a stream, and the manifest with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TypedDict

from plait.core.errors import ConfigError, DataError
from plait.core.jobs.work import in_order
from plait.core.parts import suggest
from plait.corpus.annotated import write_annotated
from plait.corpus.corpus import Corpus
from plait.segment.scenes import find_scenes
from plait.segment.shots import find_boundaries
from plait.segment.speech import find_speech
from plait.streams.recording import Annotation, Recording
from plait.streams.stream import Stream

__all__ = ["ANNOTATOR", "SegmentReport", "Segmenter", "annotate", "shots", "speech", "write_segments"]

ANNOTATOR = "plait"
"""Annotator of these annotations; only its own are replaced when a manifest is annotated again."""

Segmenter = Callable[[Recording], tuple[list[Annotation], dict[str, int]]]
"""From a recording to its annotations, and counts of what was left out or is doubtful."""


def shots(stream: Stream, *, least: float = 0.35, scenes: bool = False) -> list[Annotation]:
    """The shots of a stream of pictures on the tier ``shot``, numbered from 1; gradual changes on ``transition``.

    Shots cover the whole stream; a gradual change is split in its middle.

    Args:
        least: least dissimilarity of shots, see `plait.segment.shots.find_boundaries`.
        scenes: also group shots into scenes on the tier ``scene``, numbered from 1.

    Raises:
        DataError: the stream has no pictures.

    >>> import numpy as np
    >>> film = np.zeros((50, 48, 64, 3), np.uint8); film[20:, :, 32:] = 200
    >>> [(a.start, a.stop, a.label) for a in shots(Stream.of(film, rate=25))]
    [(0.0, 0.8, 1), (0.8, 2.0, 2)]
    """
    found = find_boundaries(stream, least=least)
    if not len(stream):
        return []
    edges = [stream.clock.start, *(b.middle for b in found), stream.clock.stop]
    spans = list(pairwise(edges))
    out = [_made(start, stop, i, "shot") for i, (start, stop) in enumerate(spans, 1)]
    out += [_made(b.start, b.stop, b.kind, "transition") for b in found if b.stop > b.start]
    if scenes:
        numbers = find_scenes(stream, spans)
        for scene in range(max(numbers) + 1):
            own = [span for span, number in zip(spans, numbers) if number == scene]
            out.append(_made(own[0][0], own[-1][1], scene + 1, "scene"))
    return out


def speech(stream: Stream, *, method: str = "energy") -> list[Annotation]:
    """Intervals of speech, on the tier ``speech``; see `plait.segment.speech.find_speech`.

    Raises:
        As `plait.segment.speech.find_speech`.
    """
    return [_made(start, stop, "speech", "speech") for start, stop in find_speech(stream, method=method)]


def _made(start: float, stop: float, label: str | int, tier: str) -> Annotation:
    return Annotation(round(float(start), 6), round(float(stop), 6), label, tier, ANNOTATOR)


class Tier(TypedDict):
    """Totals of one tier."""

    intervals: int
    seconds: float
    recordings: int


@dataclass
class SegmentReport:
    """The segments of a corpus.

    Attributes:
        found: annotations by recording.
        recordings: number of recordings.
        absent: number of recordings that lack a stream, by stream.
        notes: counts of what was left out or is doubtful.
        problems: what could not be segmented; everything else was.
    """

    recordings: int
    found: dict[str, list[Annotation]] = field(default_factory=dict)
    absent: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def tiers(self) -> dict[str, Tier]:
        """For each tier: number of intervals, their total seconds, and number of recordings."""
        out: dict[str, Tier] = {}
        for every in self.found.values():
            for tier in dict.fromkeys(a.tier for a in every):
                own = [a for a in every if a.tier == tier]
                one = out.setdefault(tier, {"intervals": 0, "seconds": 0.0, "recordings": 0})
                one["intervals"] += len(own)
                one["seconds"] = round(one["seconds"] + sum(a.stop - a.start for a in own), 3)
                one["recordings"] += 1
        return out

    def to_json(self) -> dict[str, object]:
        return {
            "recordings": self.recordings,
            "tiers": self.tiers(),
            "absent": dict(self.absent),
            "notes": dict(self.notes),
            "problems": self.problems,
        }

    def lines(self) -> list[str]:
        """Lines to print."""
        tiers = self.tiers()
        out = [
            f"{tier}: {one['intervals']} intervals, {one['seconds']:.1f} s, in {one['recordings']} of "
            f"{self.recordings} recordings"
            for tier, one in tiers.items()
        ] or ["nothing found"]
        out += [f"  {n} recordings have no {name!r}" for name, n in self.absent.items()]
        return out + [f"  {n} {what}" for what, n in self.notes.items()]


def annotate(
    corpus: Corpus,
    makers: Mapping[str, tuple[Sequence[str], Segmenter]],
    *,
    workers: int = 1,
    progress: Callable[[int, int, str], None] | None = None,
) -> SegmentReport:
    """Segment every recording of a corpus; a failure in one recording is reported and does not stop the others.

    Args:
        corpus: the recordings.
        makers: by any name, the required streams and the function that makes annotations of a recording.
        workers: processes (see `plait.core.jobs.work`); makers must then be importable.
        progress: called with (done, total, recording) after each recording.

    Raises:
        ConfigError: a stream that no recording has. MissingExtra: a maker needs a package that is not installed.
    """
    known = sorted({name for entry in corpus.entries for name in entry.streams})
    wrong = [name for names, _ in makers.values() for name in names if name not in known]
    if wrong:
        raise ConfigError([f"no recording has a stream {name!r}. {suggest(name, known)}" for name in wrong])
    report = SegmentReport(len(corpus))
    for i, (id, found, absent, notes, problems) in enumerate(
        in_order(partial(_one, corpus, dict(makers)), range(len(corpus)), workers)
    ):
        if found:
            report.found[id] = found
        report.absent.update(absent)
        report.notes.update(notes)
        report.problems += problems
        if progress:
            progress(i + 1, len(corpus), id)
    return report


Outcome = tuple[str, list[Annotation], list[str], dict[str, int], list[str]]


def _one(corpus: Corpus, makers: Mapping[str, tuple[Sequence[str], Segmenter]], index: int) -> Outcome:
    recording = corpus[index]
    found: list[Annotation] = []
    absent: list[str] = []
    notes: Counter[str] = Counter()
    problems: list[str] = []
    for names, maker in makers.values():
        lacking = [name for name in names if name not in recording.streams]
        if lacking:
            absent += lacking
            continue
        try:
            own, said = maker(recording)
        except DataError as error:
            head = f"{corpus.path.name} {recording.id!r} {' '.join(names)!r}"
            problems += [f"{head}: {p}" for p in error.problems]
            continue
        found += own
        notes.update(said)
    return recording.id, found, absent, dict(notes), problems


def write_segments(corpus: Corpus, report: SegmentReport, out: str | Path) -> Path:
    """Write the corpus's manifest with the annotations added; earlier ones by plait on the same tiers are replaced.

    Args:
        out: the new manifest, in the corpus's folder (its paths are relative to it).

    Raises:
        DataError: ``out`` is in another folder, or the report is of another corpus.
    """
    return write_annotated(corpus, report.found, out)
