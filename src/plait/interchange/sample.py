"""One recording as other tools take it: arrays, times, labels; and the way back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.store.prepare import Prepared
from plait.streams.clock import Clock, Grid, Spans, Ticks
from plait.streams.recording import Annotation
from plait.streams.stream import ArraySource, Stream

__all__ = ["Piece", "Sample", "add_sample", "clock_facts", "clock_of", "samples"]


@dataclass(frozen=True)
class Piece:
    """One stream: numbers [n, dim] float32 or texts [n], and when."""

    values: NDArray[Any]
    clock: Clock

    @property
    def words(self) -> bool:
        return self.values.dtype.kind in "UO"

    def edges(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where each observation begins and ends, seconds; the same for instants."""
        if isinstance(self.clock, Spans):
            return self.clock.starts, self.clock.stops
        times = self.clock.times
        return times, times


@dataclass(frozen=True)
class Sample:
    """One recording, everything in memory."""

    id: str
    streams: dict[str, Piece]
    labels: dict[str, Any] = field(default_factory=dict)
    annotations: tuple[Annotation, ...] = ()
    meta: dict[str, Any] = field(default_factory=dict)
    group: str = ""
    split: str = ""

    def about(self) -> dict[str, object]:
        """All but the arrays, as JSON."""
        return {
            "id": self.id,
            "labels": self.labels,
            "annotations": [vars(a) for a in self.annotations],
            "meta": self.meta,
            "group": self.group,
            "split": self.split,
        }


def samples(corpus: Corpus, names: Sequence[str], worded: set[str], prepared: Prepared | None) -> Iterator[Sample]:
    """The corpus's recordings one after another; streams that one does not have are not in it."""
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
    """What makes a clock again together with the edges: a grid's exact start and rate, or which sort it is.

    >>> clock_facts(Grid(0.5, 29.97, 3))
    {'clock': 'grid', 'start': '1/2', 'rate': '30000/1001'}
    """
    if isinstance(clock, Grid):
        return {"clock": "grid", "start": str(clock.start_exact), "rate": str(clock.rate)}
    return {"clock": "spans" if isinstance(clock, Spans) else "ticks"}


def clock_of(facts: dict[str, Any], starts: NDArray[np.float64], stops: NDArray[np.float64]) -> Clock:
    """The clock that `clock_facts` told of.

    Raises:
        DataError: facts that make no clock.
    """
    try:
        if facts["clock"] == "grid":
            return Grid(Fraction(facts["start"]), Fraction(facts["rate"]), len(starts))
        return Spans(starts, stops) if facts["clock"] == "spans" else Ticks(starts)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise DataError(f"{facts!r} tells of no clock ({error}). Write the file anew.") from error


def add_sample(out: CorpusWriter, sample: Sample) -> int:
    """Put a recording into a corpus; how many streams of numbers lost the ends of their intervals on the way."""
    streams: dict[str, Stream] = {}
    bare = 0
    for name, piece in sample.streams.items():
        clock = piece.clock
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
