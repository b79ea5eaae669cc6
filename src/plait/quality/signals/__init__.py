"""The quality of a stream's signal: what is missing, stuck, clipped, corrupted or silent, how much of it, and where.

A measure is a part: a concrete subclass of `Measure` in this package reads every stream of its kinds, in blocks, in one
pass, and reports its findings. Findings are not errors, but should be known before a recording is used.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from plait.core.parts import parts
from plait.streams.clock import Grid
from plait.streams.stream import Stream, Values

__all__ = ["Finding", "Measure", "Quality", "quality_of", "runs_of"]

BLOCK = 1 << 20
"""Numbers per block."""


@dataclass(frozen=True)
class Finding:
    """One result of a measure.

    Attributes:
        what: name of the finding, such as ``flat``.
        value: a share (0 to 1), or a number in ``unit``.
        bad: whether the stream should be inspected.
        at: start of the worst place, seconds.
        seconds: duration of the worst place.
        channel: channel of the worst place, for measures of single channels.
        unit: unit of ``value``; '' for a share.
    """

    what: str
    value: float
    bad: bool
    at: float | None = None
    seconds: float | None = None
    channel: str = ""
    unit: str = ""

    def __post_init__(self) -> None:
        for name, kind in (("value", float), ("bad", bool), ("at", float), ("seconds", float)):
            if getattr(self, name) is not None:  # json refuses numpy's own numbers
                object.__setattr__(self, name, kind(getattr(self, name)))

    @property
    def amount(self) -> str:
        """The value as text."""
        if self.unit:
            return f"{self.value:.3g} {self.unit}"
        return "0" if self.value == 0 else "<0.01 %" if self.value < 1e-4 else f"{100 * self.value:.2f} %"

    @property
    def text(self) -> str:
        """The finding as text, with its place."""
        long = f" for {self.seconds:.3g} s" if self.seconds else ""
        where = f", worst at {self.at:.2f} s{long}" if self.at is not None else ""
        return f"{self.what} {self.amount}{where}{f' in {self.channel!r}' if self.channel else ''}"


class Measure(ABC):
    """A measure of signal quality: constructed for a stream, given its blocks in order, then asked for findings."""

    kinds: ClassVar[tuple[str, ...]]
    """Kinds of stream that the measure is for."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    @abstractmethod
    def add(self, values: Values, first: int) -> None:
        """Add observations [n, ...], the first of which has this index in the stream."""

    @abstractmethod
    def findings(self) -> Iterator[Finding]:
        """All findings, good or bad."""

    @property
    def step(self) -> float:
        """Usual seconds from one observation to the next."""
        clock = self.stream.clock
        if isinstance(clock, Grid):
            return float(1 / clock.rate)
        steps = np.diff(clock.times)
        return float(np.median(steps)) if len(steps) else 0.0

    def seconds(self, index: int) -> float:
        """Time of an observation, seconds."""
        return self.stream.clock[index : index + 1].start

    def channel(self, index: int) -> str:
        """A channel's name, or its number."""
        names = self.stream.channels
        return names[index] if index < len(names) else str(index)


@dataclass(frozen=True)
class Quality:
    """All findings on one stream."""

    kind: str
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> str:
        """``good``, or all bad findings."""
        return "; ".join(f.text for f in self.findings if f.bad) or "good"

    def to_json(self) -> dict[str, object]:
        """Everything, as JSON types."""
        return {"kind": self.kind, "verdict": self.verdict, "findings": [asdict(f) for f in self.findings]}


def quality_of(stream: Stream) -> Quality:
    """Measure a stream in one pass over its blocks; a two-hour film is never in memory whole.

    Raises:
        DataError: the stream cannot be read.

    >>> level = np.random.default_rng(0).normal(size=6000)
    >>> level[2000:4000] = level[2000]
    >>> quality_of(Stream.of(level, rate=50)).verdict
    'flat 33.33 %, worst at 40.00 s for 40 s'
    """
    measures = [cls(stream) for cls in parts(Measure).values() if stream.kind in cls.kinds]
    # Texts are small and read whole.
    size = len(stream) if stream.kind == "words" else max(1, BLOCK // max(1, math.prod(stream.shape[1:])))
    done = 0
    for block in stream.blocks(max(size, 1)):
        values = block.read()
        for measure in measures:
            measure.add(values, done)
        done += len(values)
    return Quality(stream.kind, tuple(f for measure in measures for f in measure.findings()))


def runs_of(true: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Runs of True: (first, past the last) of each.

    >>> [x.tolist() for x in runs_of(np.array([True, False, True, True]))]
    [[0, 2], [1, 4]]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]])))
    return edges[::2], edges[1::2]
