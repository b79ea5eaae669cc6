"""What is within boxes of pictures: a small picture for each box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError
from plait.streams.clock import Spans
from plait.streams.stream import Source, Stream, Values, mask_of

__all__ = ["SIDE", "Box", "cropped"]

SIDE = 96
"""Pixels per side of a crop."""

Box = tuple[float, float, float, float, float, float]
"""Start and stop in seconds; left, top, width and height in pixels of the picture."""


def cropped(stream: Stream, boxes: Sequence[Box]) -> Stream:
    """A stream of pictures with a row per box: what the picture nearest to the middle of its time shows there.

    Every row is scaled to `SIDE` x `SIDE` pixels, by area averages. What lies outside the picture is left out.

    Args:
        stream: of pictures.
        boxes: in order of time.

    Raises:
        DataError: the stream has no pictures; when read: a box that lies outside its picture.

    >>> film = Stream.of(np.full((2, 8, 10, 3), 7, np.uint8), rate=1)
    >>> crops = cropped(film, [(0, 1, 2, 2, 4, 4), (0, 1, 0, 0, 10, 8)])
    >>> crops.shape, crops.clock.times.tolist(), crops.read()[1, 0, 0].tolist()
    ((2, 96, 96, 3), [0.5, 0.5], [7, 7, 7])
    """
    if stream.kind != "frames" or not len(stream.clock):
        what = "no pictures" if stream.kind == "frames" else f"{stream.kind}"
        raise DataError(f"{stream.where or 'stream'}: has {what}; expected pictures, of which boxes show a part.")
    clock = Spans([box[0] for box in boxes], [box[1] for box in boxes])
    places = stream.clock.nearest(clock.times)
    corners = np.array([box[2:] for box in boxes], np.float64).reshape(-1, 4)
    source = _Crops(stream, places, corners)
    return Stream(clock, source, "frames", stream.channels, stream.where)


@dataclass(eq=False)
class _Crops(Source):
    stream: Stream
    places: NDArray[np.int64]
    corners: NDArray[np.float64]
    _last: tuple[int, Values] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return (SIDE, SIDE, self.stream.shape[-1])

    def read(self, lo: int, hi: int) -> Values:
        rows = [self._crop(row) for row in range(lo, min(hi, len(self.places)))]
        return np.stack(rows) if rows else np.zeros((0, *self.shape), np.uint8)

    def mask(self, lo: int, hi: int) -> NDArray[np.bool_]:
        first = self.stream.first
        seen = [mask_of(self.stream.source, first + i, first + i + 1) for i in self.places[lo:hi].tolist()]
        return np.concatenate(seen) if seen else np.zeros(0, np.bool_)

    def _crop(self, row: int) -> Values:
        import cv2  # here, since reading a manifest needs none of it

        place = int(self.places[row])
        if self._last is None or self._last[0] != place:  # the boxes of a picture stand side by side
            self._last = place, self.stream[place : place + 1].read()[0]
        picture = self._last[1]
        left, top, width, height = self.corners[row]
        high, wide = picture.shape[:2]
        x, y = max(int(np.floor(left)), 0), max(int(np.floor(top)), 0)
        right, bottom = min(int(np.ceil(left + width)), wide), min(int(np.ceil(top + height)), high)
        if right <= x or bottom <= y:
            raise DataError(
                f"{self.stream.where or 'pictures'}: box {row} (left {left:g}, top {top:g}, width {width:g}, height "
                f"{height:g}) lies outside the picture of {wide} x {high} pixels. Correct the box."
            )
        part = np.ascontiguousarray(picture[y:bottom, x:right])
        return np.asarray(cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA)).reshape(self.shape)
