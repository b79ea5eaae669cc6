"""Optical flow: direction and speed of movement in each cell of the picture."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.features import Feature
from plait.features.checks import above_zero, one_of, place_of
from plait.features.image import Shrink, subsample
from plait.streams.clock import Clock, Grid, Ticks, rational
from plait.streams.stream import Stream

__all__ = ["OpticalFlow"]

Grey = NDArray[np.uint8]


class OpticalFlow(Feature):
    """Mean velocity of the picture's points, by cell, [n - 1, rows * columns * 3].

    For each cell, row by row: mean velocity to the right and down, and mean speed, in picture widths per second. The
    time of each row is midway between its two pictures. Over a pause longer than ``gap`` seconds the flow is NaN.

    Source: ``farneback``: Farneback, "Two-frame motion estimation based on polynomial expansion", SCIA 2003;
    ``dis``: Kroeger, Timofte, Dai, van Gool, "Fast optical flow using dense inverse search", ECCV 2016. Both as in
    OpenCV.

    Args:
        rows, columns: cells.
        height, width: pixels to which pictures are resized first; multiples of ``rows`` and ``columns``.
        method: ``farneback`` or ``dis``.
        crop: [left, top, width, height] in 0..1 of the picture.
        rate: pictures per second to keep, about.
        gap: longest pause over which flow is taken, seconds.

    >>> still = Stream.of(np.zeros((10, 48, 64, 3), np.uint8), rate=25)
    >>> values, clock = OpticalFlow()(still)
    >>> values.shape, float(np.abs(values).max())
    ((9, 144), 0.0)
    """

    kinds = ("frames",)

    def __init__(
        self,
        *,
        rows: int = 6,
        columns: int = 8,
        height: int = 72,
        width: int = 96,
        method: str = "farneback",
        crop: Sequence[float] | None = None,
        rate: float | str | None = None,
        gap: float = 0.5,
    ) -> None:
        above_zero("optical_flow", rows=rows, columns=columns, gap=gap)
        one_of("optical_flow.method", method, ("farneback", "dis"))
        self._shrink = Shrink(height, width, True, crop)
        if height % rows or width % columns or min(height, width) < 16:
            raise ConfigError(
                f"optical_flow: {height} x {width} pixels; expected 16 or more, in multiples of {rows} x {columns}."
            )
        self._rows, self._columns, self._rate, self._gap, self._method = rows, columns, rate, gap, method
        self._pauses = 0

    @property
    def receptive_field(self) -> float:
        return self._gap / 2

    @property
    def rate(self) -> Fraction | None:
        return None if self._rate is None else rational(self._rate)

    def dim(self, shape: tuple[int, ...]) -> int:
        return self._rows * self._columns * 3

    def groups(self, dim: int) -> list[int]:
        # Both directions and the speed of a cell share one scale, so that directions are kept.
        return [i // 3 for i in range(dim)]

    def notes(self) -> dict[str, int]:
        return {"pauses without flow": self._pauses} if self._pauses else {}

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        kept, clock = subsample(stream.clock, self._rate)
        rows, unknown = [np.zeros((0, self.dim(())), np.float32)], np.full((1, self.dim(())), np.nan, np.float32)
        finder = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST) if self._method == "dis" else None
        last: Grey | None = None
        there = False
        for block in self._shrink.blocks(stream, kept):
            gone = [bool(np.isnan(small).any()) for small in block]
            # OpenCV's flows take 8-bit pictures only.
            pictures = np.clip(np.round(np.nan_to_num(block) * 255), 0, 255).astype(np.uint8)
            for picture, lost in zip(pictures, gone):
                if last is not None:
                    known = there and not lost
                    rows.append(self._cells(_flow(last, picture, finder))[None] if known else unknown)
                last, there = picture, not lost
        return self._timed(np.concatenate(rows), clock, place_of(stream))

    def _cells(self, flow: NDArray[np.float32]) -> NDArray[np.float32]:
        """Flow in pixels, [height, width, 2], as means per cell, [cells * 3], in picture widths."""
        both = np.concatenate([flow, np.linalg.norm(flow, axis=2, keepdims=True)], 2) / self._shrink.width
        tall, wide = flow.shape[0] // self._rows, flow.shape[1] // self._columns
        cells = both.reshape(self._rows, tall, self._columns, wide, 3).mean((1, 3))
        out: NDArray[np.float32] = cells.reshape(-1).astype(np.float32)
        return out

    def _timed(self, values: NDArray[np.float32], clock: Clock, where: str) -> tuple[NDArray[np.float32], Clock]:
        """Per second, at the middles between pictures."""
        n = max(len(clock) - 1, 0)
        if isinstance(clock, Grid):
            between: Clock = Grid(clock.start_exact + 1 / (2 * clock.rate), clock.rate, n)
            steps = np.full(n, 1 / float(clock.rate))
        else:
            between, steps = Ticks((clock.times[1:] + clock.times[:-1]) / 2), np.diff(clock.times)
        pause = (steps > self._gap) | (steps <= 0)
        if n and pause.all():
            raise DataError(
                f"{where}: pictures are more than {self._gap:g} s apart, so that no flow can be taken. "
                "Raise the option gap or rate."
            )
        # Repeated times would divide by 0; their rows become NaN.
        speed = np.asarray(values / np.where(pause, 1.0, steps)[:, None], np.float32)
        speed[pause] = np.nan
        self._pauses = int(pause.sum())
        return speed, between


def _flow(before: Grey, after: Grey, finder: cv2.DISOpticalFlow | None) -> NDArray[np.float32]:
    if finder is not None:
        return np.asarray(finder.calc(before, after, None), np.float32)
    # Levels, window and polynomial as in OpenCV's documentation; the flow is computed anew for each pair.
    settings = (0.5, 3, 15, 3, 5, 1.2, 0)
    return np.asarray(cv2.calcOpticalFlowFarneback(before, after, None, *settings), np.float32)
