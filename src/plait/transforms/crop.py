"""A fixed part of every picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.streams.stream import Stream
from plait.transforms import Step
from plait.transforms._lazy import Changed, check_pictures

__all__ = ["Crop", "resized"]


class Crop(Step):
    """A fixed box of every picture, resized if a size is given: [n, height, width, channels] uint8.

    Args:
        box: [left, top, width, height] in 0..1 of the picture; edges are rounded to whole pixels.
        height, width: size of the result in pixels; if one is given, the other keeps the box's aspect; if none, the box
            keeps its pixels. Shrinking averages over areas, enlarging interpolates linearly.

    Raises:
        ConfigError: a box that leaves the picture, or a size below 1.

    >>> film = Stream.of(np.zeros((50, 120, 160, 3), np.uint8), rate=25)
    >>> Crop(box=[0.25, 0.5, 0.5, 0.5])(film).shape, Crop(box=[0, 0, 1, 1], width=80)(film).shape
    ((50, 60, 80, 3), (50, 60, 80, 3))
    """

    kinds = ("frames",)

    def __init__(self, *, box: Sequence[float], height: int | None = None, width: int | None = None) -> None:
        good = len(box) == 4 and all(0 <= b <= 1 for b in box) and min(box[2:]) > 0
        if not good or box[0] + box[2] > 1 + 1e-9 or box[1] + box[3] > 1 + 1e-9:
            raise ConfigError(f"crop.box: got {list(box)}; expected [left, top, width, height] in 0..1 of the picture.")
        for name, size in (("height", height), ("width", width)):
            if size is not None and size < 1:
                raise ConfigError(f"crop.{name}: got {size}; expected a number of pixels above 0.")
        self._box, self._height, self._width = tuple(box), height, width

    def apply(self, stream: Stream) -> Stream:
        high, wide, channels = check_pictures(stream, "crop")
        left, top, w, h = self._box
        x, y = min(round(left * wide), wide - 1), min(round(top * high), high - 1)
        right, bottom = max(round((left + w) * wide), x + 1), max(round((top + h) * high), y + 1)
        height = self._height or (round((bottom - y) * self._width / (right - x)) if self._width else bottom - y)
        width = self._width or (round((right - x) * self._height / (bottom - y)) if self._height else right - x)
        size = (max(height, 1), max(width, 1))
        change = partial(_cut, part=(slice(y, bottom), slice(x, right)), size=size)
        return replace(stream, source=Changed(stream.source, (*size, channels), change))


def _cut(
    pictures: NDArray[np.generic], first: int, part: tuple[slice, slice], size: tuple[int, int]
) -> NDArray[np.generic]:
    boxes = pictures[:, part[0], part[1]]
    if boxes.shape[1:3] == size:
        return np.ascontiguousarray(boxes)
    out = np.empty((len(boxes), *size, pictures.shape[3]), pictures.dtype)
    for i, box in enumerate(boxes):
        out[i] = resized(box, size)
    return out


def resized(picture: NDArray[np.generic], size: tuple[int, int]) -> NDArray[np.generic]:
    """A picture [h, w, channels] at ``size`` (height, width): area averages, or linear where it grows."""
    import cv2

    height, width = size
    # INTER_AREA enlarges like nearest neighbour, so it is used only where both sides shrink.
    smaller = height <= picture.shape[0] and width <= picture.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    small = cv2.resize(np.ascontiguousarray(picture), (width, height), interpolation=how)
    return np.asarray(small).reshape(height, width, picture.shape[2])
