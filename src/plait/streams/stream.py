"""A stream: values (time first) and the clock that says when each was made. Nothing is decoded until asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plait.core.errors import DataError
from plait.streams.clock import Clock, Grid, Spans, Ticks

__all__ = ["KINDS", "ArraySource", "MaskedSource", "Source", "Stream", "Values", "mask_of"]

KINDS = {
    "frames": "pictures, [n, height, width, channels] uint8",
    "waveform": "sound, [n, channels] float32 in -1..1",
    "series": "numbers, [n, channels] float",
    "pose": "points of a body, [n, joints, 2 or 3] float",
    "words": "texts, [n] str",
}

Values = NDArray[Any]
"""Observations, time first: numbers of the kind that their file has, or texts."""


class Source(Protocol):
    """Where values come from: a run of observations at a time."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one observation."""

    def read(self, lo: int, hi: int) -> Values:
        """Observations lo..hi, [hi - lo, *shape]. Reading on from where the last read ended must be cheap."""


@runtime_checkable
class MaskedSource(Protocol):
    """A source that knows which of its observations were lost, where the values have no NaN to say so (pictures).

    One that changes or picks observations of another should have `mask_of` pass the other's mask on.
    """

    def mask(self, lo: int, hi: int) -> NDArray[np.bool_]:
        """Which of lo..hi were observed, [hi - lo]; cheap after `Source.read` of them."""


def mask_of(source: Source, lo: int, hi: int) -> NDArray[np.bool_]:
    """Which observations lo..hi of a source are there, [hi - lo]: all, unless it is a `MaskedSource`."""
    return source.mask(lo, hi) if isinstance(source, MaskedSource) else np.ones(max(hi - lo, 0), np.bool_)


@dataclass(frozen=True)
class ArraySource:
    """Values in memory or in a memory-mapped file."""

    array: Values

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape[1:])

    def read(self, lo: int, hi: int) -> Values:
        return self.array[lo:hi]


@dataclass(frozen=True)
class Stream:
    """Values and their clock. ``cut`` gives a view: it moves two numbers and touches no bytes.

    Attributes:
        clock: when; ``len(clock)`` observations.
        source: what; decoded by `read` only.
        kind: the layout of the values, a key of `KINDS`.
        channels: names of the channels, where the file gives them.
        where: the file (and place in it), for messages.
        first: index in the source of the clock's first observation.

    >>> imu = Stream.of(np.zeros((100, 6)), rate=50)
    >>> imu.cut(0.5, 1.0).read().shape, imu.kind
    ((25, 6), 'series')
    """

    clock: Clock
    source: Source
    kind: str
    channels: tuple[str, ...] = ()
    where: str = ""
    first: int = 0

    @classmethod
    def of(
        cls,
        values: ArrayLike,
        *,
        rate: float | str | None = None,
        start: float = 0.0,
        times: ArrayLike | None = None,
        spans: tuple[ArrayLike, ArrayLike] | None = None,
        kind: str | None = None,
    ) -> Stream:
        """A stream of an array (time first) with exactly one of ``rate`` (Hz), ``times`` and ``spans`` (seconds).

        Without ``kind``: texts are words, [n, h, w, c] frames, [n, j, 2 or 3] pose, all else series.

        Raises:
            DataError: not exactly one clock was given, or it has another length than the values.
        """
        array = np.asarray(values)
        if sum(x is not None for x in (rate, times, spans)) != 1:
            raise DataError("a stream needs exactly one of rate=, times= and spans=.")
        if array.ndim == 0:
            raise DataError("a stream's values need a time axis first; got a single number.")
        kind = kind or _kind(array)
        if kind not in KINDS:
            raise DataError(f"kind {kind!r} is unknown; expected one of {', '.join(KINDS)}.")
        if kind in ("series", "waveform") and array.ndim == 1:
            array = array[:, None]
        clock: Clock
        if rate is not None:
            clock = Grid(start, rate, len(array))
        elif times is not None:
            clock = Ticks(times)
        else:
            clock = Spans(*spans)  # type: ignore[misc]
        if len(clock) != len(array):
            raise DataError(f"{len(array)} values but {len(clock)} times; expected one time per value.")
        return cls(clock, ArraySource(array), kind)

    def __len__(self) -> int:
        return len(self.clock)

    @property
    def shape(self) -> tuple[int, ...]:
        """[n, ...] without decoding."""
        return (len(self.clock), *self.source.shape)

    def read(self) -> Values:
        """All values of this view, [n, ...]. Use `blocks` where they may not fit in memory."""
        return self.source.read(self.first, self.first + len(self.clock))

    def mask(self) -> NDArray[np.bool_]:
        """Which observations of this view are there, [n]: False for pictures that do not decode (they read as black).

        Floating-point values mark missing ones by NaN instead; the mask of such streams is all True.

        Raises:
            DataError: as `read`.

        >>> Stream.of(np.zeros((3, 4, 4, 1), np.uint8), rate=25).mask().tolist()
        [True, True, True]
        """
        return mask_of(self.source, self.first, self.first + len(self.clock))

    def cut(self, start: float, stop: float) -> Stream:
        """The view of the observations within ``start <= t < stop`` seconds."""
        return self[self.clock.window(start, stop)]

    def __getitem__(self, part: slice) -> Stream:
        lo, hi, _ = part.indices(len(self.clock))
        return replace(self, clock=self.clock[lo:hi], first=self.first + lo)

    def blocks(self, size: int) -> Iterator[Stream]:
        """Consecutive views of at most ``size`` observations, for work in constant memory."""
        for lo in range(0, len(self.clock), size):
            yield self[lo : lo + size]

    def on(self, clock: Clock) -> Stream:
        """The same values on another clock of the same length (a corrected one)."""
        if len(clock) != len(self.clock):
            raise DataError(f"{self.where or 'stream'}: {len(self.clock)} values, but the clock has {len(clock)}.")
        return replace(self, clock=clock)


def _kind(array: NDArray[np.generic]) -> str:
    # Objects: texts of any length, as readers give them.
    if array.dtype.kind in "UO":
        return "words"
    if array.ndim == 4:
        return "frames"
    if array.ndim == 3 and array.shape[2] in (2, 3):
        return "pose"
    return "series"
