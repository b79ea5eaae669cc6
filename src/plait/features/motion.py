"""Motion energy: amount of change in each cell of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.features import Feature
from plait.features.checks import above_zero, place_of
from plait.features.image import Shrink, subsample
from plait.streams.clock import Clock, Grid, Ticks, rational
from plait.streams.stream import Stream

__all__ = ["Motion"]


class Motion(Feature):
    """Mean absolute change of grey values (0..1) from picture to picture, per cell, [n - 1, rows * columns].

    The time of each row is midway between its two pictures. Over a pause longer than ``gap`` seconds the motion is NaN.

    Args:
        rows, columns: cells.
        height, width: pixels to which pictures are resized first; multiples of ``rows`` and ``columns``.
        crop: [left, top, width, height] in 0..1 of the picture.
        rate: pictures per second to keep, about.
        gap: longest pause over which motion is taken, seconds.

    Raises:
        ConfigError: the picture does not divide into the cells.

    >>> values, clock = Motion()(Stream.of(np.zeros((50, 48, 64, 3), np.uint8), rate=25))
    >>> values.shape, clock.start
    ((49, 48), 0.02)
    """

    kinds = ("frames",)
    version = 2

    def __init__(
        self,
        *,
        rows: int = 6,
        columns: int = 8,
        height: int = 48,
        width: int = 64,
        crop: Sequence[float] | None = None,
        rate: float | str | None = None,
        gap: float = 0.5,
    ) -> None:
        above_zero("motion", rows=rows, columns=columns, gap=gap)
        self._shrink = Shrink(height, width, True, crop)
        if height % rows or width % columns:
            raise ConfigError(
                f"motion: {height} x {width} pixels do not divide into {rows} x {columns} cells. Choose multiples."
            )
        self._rows, self._columns, self._rate, self._gap = rows, columns, rate, gap
        self._pauses = 0

    @property
    def receptive_field(self) -> float:
        return self._gap / 2

    @property
    def rate(self) -> Fraction | None:
        return None if self._rate is None else rational(self._rate)

    def dim(self, shape: tuple[int, ...]) -> int:
        return self._rows * self._columns

    def notes(self) -> dict[str, int]:
        return {"pauses without motion": self._pauses} if self._pauses else {}

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        kept, clock = subsample(stream.clock, self._rate)
        parts = [np.zeros((0, self._rows * self._columns), np.float32)]
        last = np.zeros((0, self._shrink.height, self._shrink.width), np.float32)
        for block in self._shrink.blocks(stream, kept):
            block = np.concatenate([last, block])
            parts.append(self._cells(np.abs(np.diff(block, axis=0))))
            # Compared with the first picture of the next block.
            last = block[-1:]
        values = np.concatenate(parts)
        self._forget(values, clock, place_of(stream))
        return values, _between(clock)

    def _cells(self, change: NDArray[np.float32]) -> NDArray[np.float32]:
        m, height, width = change.shape
        tall, wide = height // self._rows, width // self._columns
        cells = change.reshape(m, self._rows, tall, self._columns, wide).mean((2, 4))
        out: NDArray[np.float32] = cells.reshape(m, self._rows * self._columns)
        return out

    def _forget(self, values: NDArray[np.float32], clock: Clock, where: str) -> None:
        pause = np.diff(clock.times) > self._gap
        if len(pause) and pause.all():
            raise DataError(
                f"{where}: pictures are more than {self._gap:g} s apart, so that no motion can be taken. "
                "Raise the option gap or rate."
            )
        values[pause] = np.nan
        self._pauses = int(pause.sum())


def _between(clock: Clock) -> Clock:
    n = max(len(clock) - 1, 0)
    if isinstance(clock, Grid):
        return Grid(clock.start_exact + 1 / (2 * clock.rate), clock.rate, n)
    return Ticks((clock.times[1:] + clock.times[:-1]) / 2)
