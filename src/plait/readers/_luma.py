"""Grey pictures straight from a decoded frame: the luma plane is cut first and copied once."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import av

__all__ = ["FullRange", "luma"]

_FULL = frozenset(["yuvj420p", "yuvj422p", "yuvj444p", "yuvj440p", "yuvj411p", "gray"])
_LIMITED = frozenset(
    ["yuv420p", "yuv422p", "yuv444p", "yuv440p", "yuv411p", "yuv410p", "yuva420p", "yuva422p", "yuva444p"]
    + ["nv12", "nv21", "nv16", "nv24"]
)
"""8-bit formats whose first plane is luma: full range (from 0), or limited (from 16) unless the frame says full."""

_CACHED = 1 << 18
"""Bytes of pictures worked on at a time, so that they stay in the processor's cache."""

_JPEG = 2
"""ffmpeg's number for frames that use all of 0..255."""


def luma(frame: av.VideoFrame) -> tuple[NDArray[np.uint8], bool] | None:
    """A view [h, w] of a frame's luma, and whether it is full range (0..255); None if it has no such plane."""
    name = frame.format.name
    if name not in _FULL and name not in _LIMITED:
        return None
    plane = frame.planes[0]
    height, width, pitch = frame.height, frame.width, plane.line_size
    if pitch < width:  # stored upside down
        return None
    view: NDArray[np.uint8] = np.ndarray((height, width), np.uint8, plane, 0, (pitch, 1))
    return view, name in _FULL or int(frame.color_range) == _JPEG


@lru_cache(maxsize=1)
def _stretch() -> NDArray[np.uint8]:
    levels: NDArray[np.uint8] = np.clip(np.rint((np.arange(256) - 16) * (255 / 219)), 0, 255).astype(np.uint8)
    return levels


class FullRange:
    """Stretches pictures from 16..235 (ITU-R BT.601) to 0..255, rounded as swscale does; in place.

    `add` notes each picture when it is written; several are then converted at a time, as many as fit the cache.

    Args:
        pictures: [n, h, w] uint8, contiguous.

    >>> pictures = np.array([[[0, 16, 126, 235]]], np.uint8)
    >>> todo = FullRange(pictures); todo.add(0); todo.flush()
    >>> pictures.tolist()
    [[[0, 0, 128, 255]]]
    """

    def __init__(self, pictures: NDArray[np.uint8]) -> None:
        self._pictures = pictures
        self._first = self._past = 0
        self._most = max(_CACHED // max(pictures[0].size if len(pictures) else 1, 1), 1)

    def add(self, i: int) -> None:
        """Picture i has been written."""
        if i != self._past:
            self.flush()
            self._first = i
        self._past = i + 1
        if self._past - self._first >= self._most:
            self.flush()

    def flush(self) -> None:
        """Convert the pictures that were added and not converted yet."""
        part = self._pictures[self._first : self._past]
        self._first = self._past
        if part.size:
            import cv2  # slow to import; only who decodes pictures needs it

            rows = part.reshape(-1, part.shape[2])
            cv2.LUT(rows, _stretch(), dst=rows)
