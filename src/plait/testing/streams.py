"""Random streams of every kind, and checks that several laws share. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plait.core.errors import DataError
from plait.streams.clock import Spans
from plait.streams.stream import ArraySource, Source, Stream
from plait.testing.laws import require

__all__ = ["Watched", "changed", "check_kinds", "edges", "for_kinds", "made_stream", "read_alike", "same"]

TOLERANCE = 2e-4
"""Relative to the largest number; float32 sums in another order differ by less."""

VOCABULARY = ("one", "two", "blue", "green", "walk", "again")


def made_stream(kind: str, seed: int = 0) -> Stream:
    """A random stream of a kind, several seconds long.

    >>> made_stream("pose").shape, made_stream("words").kind
    ((160, 5, 3), 'words')
    """
    rng = np.random.default_rng(seed)
    if kind == "words":
        starts = np.arange(24) * 0.5 + rng.uniform(0, 0.2, 24)
        return Stream.of(rng.choice(VOCABULARY, 24).astype(object), spans=(starts, starts + 0.2), kind=kind)
    if kind == "frames":
        return Stream.of(rng.integers(0, 256, (50, 24, 32, 3)).astype(np.uint8), rate=25, kind=kind)
    if kind == "waveform":
        return Stream.of((0.1 * rng.standard_normal((32_000, 1))).astype(np.float32), rate=16_000, kind=kind)
    shape = (1200, 3) if kind == "series" else (160, 5, 3)
    # A random walk with some noise: neighbours are alike, as in real signals, which white noise is not.
    walk = 0.1 * rng.standard_normal(shape).cumsum(0) + 0.05 * rng.standard_normal(shape)
    return Stream.of(walk.astype(np.float32), rate=20, kind=kind)


class _TakesKinds(Protocol):
    @property
    def kinds(self) -> Sequence[str]: ...


def for_kinds(cls: _TakesKinds, given: Sequence[Stream]) -> list[Stream]:
    """The streams given, or one of each kind that a class takes."""
    return list(given) or [made_stream(kind) for kind in cls.kinds]


def changed(stream: Stream, where: NDArray[np.bool_], seed: int = 1) -> Stream:
    """The stream with observations at ``where`` replaced by others of the same stream."""
    values = np.array(stream.read())
    # A permutation, not noise: the values stay plausible, of the right type, and within range.
    other = values[np.random.default_rng(seed).permutation(len(values))]
    values[where] = other[where]
    return replace(stream, source=ArraySource(values), first=0)


def edges(stream: Stream) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Start and end of each observation, seconds."""
    clock = stream.clock
    return (clock.starts, clock.stops) if isinstance(clock, Spans) else (clock.times, clock.times)


def same(a: ArrayLike, b: ArrayLike) -> bool:
    """Whether two arrays are equal: texts exactly, numbers within `TOLERANCE`, NaN at the same places."""
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        return False
    if a.dtype.kind not in "fiub":
        return bool(np.array_equal(a, b))
    a, b = a.astype(np.float64), b.astype(np.float64)
    size = float(np.nanmax(np.abs(a))) if np.isfinite(a).any() else 1.0
    return bool(np.allclose(a, b, rtol=0, atol=TOLERANCE * max(size, 1.0), equal_nan=True))


def read_alike(cls: type, stream: Stream) -> None:
    """Check that a stream in pieces, and a cut of it, is what one pass reads.

    Raises:
        LawBroken: the law of pieces.
    """
    whole = stream.read()
    require(len(whole) == len(stream), cls, "shape", f"{len(whole)} values, but its clock has {len(stream)}")
    for size in (max(len(stream) // 20, 7), max(len(stream) // 3, 1)):
        blocks = [block.read() for block in stream.blocks(size)]
        if blocks:
            alike = same(np.concatenate(blocks), whole)
            require(alike, cls, "pieces", f"in blocks of {size} it reads other values")
    lo, hi = len(whole) // 3, 2 * len(whole) // 3
    require(same(stream[lo:hi].read(), whole[lo:hi]), cls, "pieces", "a cut of it reads other values")
    require(stream[lo:lo].read().shape == (0, *whole.shape[1:]), cls, "pieces", "nothing of it has another shape")


@dataclass
class Watched:
    """A source that counts how often it is read."""

    inner: Source
    reads: int = 0

    @property
    def shape(self) -> tuple[int, ...]:
        return self.inner.shape

    def read(self, lo: int, hi: int) -> NDArray[np.generic]:
        self.reads += 1
        return self.inner.read(lo, hi)


def check_kinds(cls: type, part: Callable[[Stream], object], kinds: Sequence[str]) -> None:
    """A part refuses the kinds of streams that it does not list."""
    taken = []
    for kind in ("series", "words"):
        if kind not in kinds:
            with suppress(DataError):
                part(made_stream(kind))
                taken.append(kind)
    require(not taken, cls, "kinds", f"it takes {taken}, which it does not list")
