"""One recording in memory, for other tools' formats: arrays, times, labels; and back into a corpus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.store.prepare import Prepared
from plait.streams.clock import Clock, Grid, Spans, Ticks
from plait.streams.recording import Annotation, Label
from plait.streams.stream import ArraySource, Stream

__all__ = ["Piece", "Sample", "add_sample", "clock_facts", "clock_of", "samples"]


@dataclass(frozen=True)
class Piece:
    """One stream: numbers [n, dim] float32 or texts [n], and its clock."""

    values: NDArray[np.generic]
    clock: Clock

    @property
    def words(self) -> bool:
        return self.values.dtype.kind in "UO"  # texts of one width, or Python's own

    def edges(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Start and end of each observation in seconds; the same array twice for instants."""
        if isinstance(self.clock, Spans):
            return self.clock.starts, self.clock.stops
        times = self.clock.times
        return times, times


@dataclass(frozen=True)
class Sample:
    """One recording, everything in memory."""

    id: str
    streams: dict[str, Piece]
    labels: dict[str, Label] = field(default_factory=dict)
    annotations: tuple[Annotation, ...] = ()
    meta: dict[str, object] = field(default_factory=dict)
    group: str = ""
    split: str = ""

    def about(self) -> dict[str, object]:
        """Everything but the arrays, for JSON."""
        return {
            "id": self.id,
            "labels": self.labels,
            "annotations": [vars(a) for a in self.annotations],
            "meta": self.meta,
            "group": self.group,
            "split": self.split,
        }


def samples(corpus: Corpus, names: Sequence[str], worded: set[str], prepared: Prepared | None) -> Iterator[Sample]:
    """The corpus's recordings, one after another, each with the streams that it has."""
    for recording in corpus:
        streams: dict[str, Piece] = {}
        for name in names:
            if name in worded and name in recording.streams:
                stream = recording.streams[name]
                streams[name] = Piece(np.array([str(t) for t in stream.read()], object), stream.clock)
            elif prepared is not None and (found := prepared.get(recording.id, name)) is not None:
                streams[name] = Piece(*found)
        yield Sample(
            recording.id,
            streams,
            dict(recording.labels),
            tuple(recording.annotations),
            dict(recording.meta),
            recording.group,
            recording.split,
        )


def clock_facts(clock: Clock) -> dict[str, object]:
    """What restores a clock, together with the edges: its sort, and a grid's exact start and rate.

    >>> clock_facts(Grid(0.5, 29.97, 3))
    {'clock': 'grid', 'start': '1/2', 'rate': '30000/1001'}
    """
    if isinstance(clock, Grid):
        # As fractions in text: 30000/1001 has no exact float.
        return {"clock": "grid", "start": str(clock.start_exact), "rate": str(clock.rate)}
    return {"clock": "spans" if isinstance(clock, Spans) else "ticks"}


def clock_of(facts: Mapping[str, object], starts: NDArray[np.float64], stops: NDArray[np.float64]) -> Clock:
    """The clock of some `clock_facts`.

    Raises:
        DataError: the facts make no clock.
    """
    try:
        if facts["clock"] == "grid":
            return Grid(Fraction(str(facts["start"])), Fraction(str(facts["rate"])), len(starts))
        return Spans(starts, stops) if facts["clock"] == "spans" else Ticks(starts)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise DataError(f"{facts!r} describes no clock ({error}). Write the file anew.") from error


def add_sample(out: CorpusWriter, sample: Sample) -> int:
    """Add a recording to a corpus; returns how many streams of numbers lost the ends of their intervals."""
    streams: dict[str, Stream] = {}
    bare = 0
    for name, piece in sample.streams.items():
        clock = piece.clock
        # A corpus keeps intervals for words only; numbers keep the middle of theirs.
        if isinstance(clock, Spans) and not piece.words:
            clock, bare = Ticks(clock.times), bare + 1
        kind = "words" if piece.words else "series"
        streams[name] = Stream(clock, ArraySource(piece.values), kind)
    out.add(
        sample.id,
        streams,
        labels=sample.labels,
        annotations=sample.annotations,
        meta=sample.meta,
        group=sample.group,
        split=sample.split,
    )
    return bare
