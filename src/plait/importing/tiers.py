"""Streams whose observations are annotations: tiers of ELAN and Praat, labels by interval."""

from __future__ import annotations

import math

import numpy as np

from plait.core.errors import DataError
from plait.corpus.corpus import AnnotationEntry
from plait.importing.labels import merge_ticks
from plait.streams.clock import Spans
from plait.streams.stream import Stream

__all__ = ["tier_of"]


def tier_of(stream: Stream, tier: str) -> list[AnnotationEntry]:
    """The observations of a stream of words, or of numbers with one channel, as annotations.

    Each observation with an interval is one annotation; of other clocks, each run of equal labels. Empty texts and NaN
    are no annotations.

    Raises:
        DataError: the stream has another kind or several channels; or its values cannot be read.

    >>> said = Stream.of(["yes", "", "no"], spans=([0, 1, 2], [1, 2, 2.5]))
    >>> [(a.start, a.stop, a.label) for a in tier_of(said, "answer")]
    [(0.0, 1.0, 'yes'), (2.0, 2.5, 'no')]
    """
    if stream.kind != "words" and stream.shape[1:] != (1,):
        raise DataError(
            f"{stream.where}: a tier is made of words or of one channel of numbers, but the stream is {stream.kind} "
            f"with observations of shape {stream.shape[1:]}. Leave out its option tier."
        )
    labels = [label if isinstance(label, str) else float(label) for label in np.ravel(stream.read()).tolist()]
    kept = [None if label == "" or (isinstance(label, float) and math.isnan(label)) else label for label in labels]
    clock = stream.clock
    if isinstance(clock, Spans):
        rows = [(a, b, k) for a, b, k in zip(clock.starts.tolist(), clock.stops.tolist(), kept) if k is not None]
    else:
        rows = merge_ticks(clock.times.tolist(), kept)
    return [AnnotationEntry(start=a, stop=b, label=label, tier=tier) for a, b, label in rows]
