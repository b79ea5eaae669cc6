"""Losses of devices: lost observations, and inexact times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.streams.clock import Clock, Spans, Ticks
from plait.streams.stream import Source, Stream, Values, mask_of
from plait.transforms.noise import Noise, generator, runs
from plait.transforms.noise.pictures import observations_in

__all__ = ["Dropout", "FrameDrop", "Jitter"]


def _seconds(part: str, seconds: float) -> float:
    if not seconds >= 0:
        raise ConfigError(f"{part}.seconds: got {seconds}; expected 0 (single observations) or more.")
    return seconds


class Dropout(Noise):
    """Runs of NaN, as from a loose contact.

    The level is the share of lost observations, in all channels at once.

    Args:
        seconds: length of a run; 0: single observations.
    """

    kinds = ("series", "pose", "waveform")
    axis = "share of observations lost"

    def __init__(self, *, seconds: float = 1.0) -> None:
        self.seconds = _seconds("dropout", seconds)

    def apply(self, stream: Stream, level: float, seed: int, others: Sequence[Stream]) -> Stream:
        first, last = runs(len(stream), level, observations_in(stream, self.seconds), seed)
        return replace(stream, source=_Gappy(stream.source, first + stream.first, last + stream.first))


@dataclass(frozen=True)
class _Gappy:
    """A source with runs of NaN."""

    inner: Source
    first: NDArray[np.int64]
    last: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.inner.shape

    def read(self, lo: int, hi: int) -> Values:
        values = self.inner.read(lo, hi)
        out = values.astype(np.result_type(values.dtype, np.float32))
        for i in range(int(np.searchsorted(self.last, lo, "right")), int(np.searchsorted(self.first, hi, "left"))):
            out[max(self.first[i] - lo, 0) : self.last[i] - lo] = np.nan
        return out


class FrameDrop(Noise):
    """Lost observations; the level is their share. The first observation is never lost.

    Args:
        seconds: length of a run; 0: single observations.
        to: ``repeat``: a lost observation repeats the previous one, as recorders do; ``remove``: it is missing, and
            the clock has a gap.
    """

    kinds = ("frames", "series", "pose")
    axis = "share of observations lost"

    def __init__(self, *, seconds: float = 0.0, to: str = "repeat") -> None:
        if to not in ("repeat", "remove"):
            raise ConfigError(f"frame_drop.to: got {to!r}; expected repeat or remove.")
        self.seconds, self.to = _seconds("frame_drop", seconds), to

    def apply(self, stream: Stream, level: float, seed: int, others: Sequence[Stream]) -> Stream:
        if len(stream) < 2:
            return stream
        share = min(round(level * len(stream)), len(stream) - 1) / (len(stream) - 1)
        # Drawn among all but the first observation, which has none before it to repeat.
        first, last = runs(len(stream) - 1, share, observations_in(stream, self.seconds), seed)
        kept = np.ones(len(stream), np.bool_)
        for a, b in zip(first + 1, last + 1):
            kept[a:b] = False
        if self.to == "repeat":
            index = np.maximum.accumulate(np.where(kept, np.arange(len(stream)), 0))
            return replace(stream, source=_Picked(stream.source, index + stream.first, stream.first))
        index = np.flatnonzero(kept)
        source = _Picked(stream.source, index + stream.first, 0)
        return replace(stream, clock=_at(stream.clock, index), source=source, first=0)


def _at(clock: Clock, index: NDArray[np.int64]) -> Clock:
    if isinstance(clock, Spans):
        return Spans(clock.starts[index], clock.stops[index])
    return Ticks(clock.times[index])


@dataclass(frozen=True)
class _Picked:
    """A source whose observation ``first + i`` is observation ``index[i]`` of another; the index never decreases."""

    inner: Source
    index: NDArray[np.int64]
    first: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.inner.shape

    def read(self, lo: int, hi: int) -> Values:
        wanted = self.index[lo - self.first : hi - self.first]
        if not len(wanted):
            return self.inner.read(0, 0)
        # The index is in order, so one read covers everything.
        values: Values = self.inner.read(int(wanted[0]), int(wanted[-1]) + 1)[wanted - wanted[0]]
        return values

    def mask(self, lo: int, hi: int) -> NDArray[np.bool_]:
        wanted = self.index[lo - self.first : hi - self.first]
        if not len(wanted):
            return np.zeros(0, np.bool_)
        mask: NDArray[np.bool_] = mask_of(self.inner, int(wanted[0]), int(wanted[-1]) + 1)[wanted - wanted[0]]
        return mask


class Jitter(Noise):
    """Wrong times: each is moved by Gaussian noise; the level is its standard deviation in seconds.

    Values keep their order: times are sorted, so that a large jitter of a fast stream moves single observations less. A
    regular clock becomes an irregular one; words keep their durations.
    """

    kinds = ("frames", "series", "pose", "words")
    axis = "jitter of the times, s"
    bounds = (0.0, np.inf)
    levels = (0.02, 0.05, 0.2)

    def apply(self, stream: Stream, level: float, seed: int, others: Sequence[Stream]) -> Stream:
        clock = stream.clock
        moves = level * generator(seed, 0).standard_normal(len(clock))
        if not isinstance(clock, Spans):
            return stream.on(Ticks(np.sort(clock.times + moves)))
        starts = np.sort(clock.starts + moves)
        return stream.on(Spans(starts, starts + (clock.stops - clock.starts)))
