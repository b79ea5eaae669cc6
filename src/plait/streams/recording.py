"""A recording: what several devices captured of one event, on one time line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from plait.core.errors import DataError
from plait.streams.clock import Spans
from plait.streams.stream import Stream

__all__ = ["Annotation", "Recording"]

Label = str | int | float | bool


@dataclass(frozen=True)
class Annotation:
    """A label of an interval: start and stop in seconds, label, tier and annotator."""

    start: float
    stop: float
    label: Label
    tier: str = "label"
    annotator: str = ""


class _Cut(Mapping[str, Stream]):
    """Streams seen through a window; each is opened and cut when asked for."""

    def __init__(self, streams: Mapping[str, Stream], start: float, stop: float) -> None:
        self._streams, self._start, self._stop = streams, start, stop

    def __getitem__(self, name: str) -> Stream:
        return self._streams[name].cut(self._start, self._stop)

    def __contains__(self, name: object) -> bool:
        return name in self._streams  # without it, Mapping would open the stream to find out

    def __iter__(self) -> Iterator[str]:
        return iter(self._streams)

    def __len__(self) -> int:
        return len(self._streams)


@dataclass(frozen=True)
class Recording:
    """An id, named streams, labels, annotations and metadata.

    Attributes:
        id: unique within the corpus.
        streams: by the user's own names; opened when asked for. A missing one is simply not there.
        labels: of the whole recording.
        annotations: of intervals, on tiers.
        meta: anything else known of it (speaker, subject, device ...).
        group: who or what must not be split between training and test (speaker, subject).
        split: a fixed part of the corpus ('train', 'valid', 'test'), or ''.
    """

    id: str
    streams: Mapping[str, Stream]
    labels: Mapping[str, Label] = field(default_factory=dict)
    annotations: tuple[Annotation, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)
    group: str = ""
    split: str = ""

    @property
    def span(self) -> tuple[float, float]:
        """First start and last stop over all streams, seconds."""
        clocks = [s.clock for s in self.streams.values() if len(s)]
        if not clocks:
            return (0.0, 0.0)
        return min(c.start for c in clocks), max(c.stop for c in clocks)

    def tier(self, name: str) -> tuple[Annotation, ...]:
        """Annotations of one tier in order of time; a stream of words with spans counts as a tier.

        Raises:
            DataError: there is neither such a tier nor such a stream.
        """
        found = [a for a in self.annotations if a.tier == name]
        if not found and name in self.streams:
            stream = self.streams[name]
            clock = stream.clock
            if stream.kind == "words" and isinstance(clock, Spans):
                found = [
                    Annotation(float(a), float(b), str(label), name)
                    for a, b, label in zip(clock.starts, clock.stops, stream.read())
                ]
        return tuple(sorted(found, key=lambda a: (a.start, a.stop)))

    @property
    def tiers(self) -> tuple[str, ...]:
        """Names of the annotation tiers, in order of first use."""
        return tuple(dict.fromkeys(a.tier for a in self.annotations))

    def cut(self, start: float, stop: float) -> Recording:
        """The view of ``start <= t < stop`` seconds: streams are cut lazily, annotations that touch it stay, clipped.

        Raises:
            DataError: stop is not after start.
        """
        if not stop > start:
            raise DataError(f"{self.id}: cut from {start} to {stop} s; expected stop > start.")
        kept = tuple(
            replace(a, start=max(a.start, start), stop=min(a.stop, stop))
            for a in self.annotations
            if a.start < stop and a.stop > start
        )
        return replace(self, streams=_Cut(self.streams, start, stop), annotations=kept)
