"""Grey pictures of any stream of pictures, cut to a box; of video the luma plane is used where there is one.

Converting every picture of a video to colours and back to grey costs more than decoding it. A source that can avoid
this has a method ``read_grey(lo, hi, box=None)`` (`GreySource`), which `read_grey` uses where it exists. A step that
crops or turns pictures should pass it on.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plait.core.errors import DataError
from plait.streams.stream import Source, Stream

__all__ = ["GreySource", "grey_of", "held", "parts_of", "read_grey"]


@runtime_checkable
class GreySource(Protocol):
    """A source of pictures that can be read grey and cut without making colours first."""

    def read_grey(self, lo: int, hi: int, box: ArrayLike | None = None) -> NDArray[np.generic]:
        """Pictures lo..hi in grey, [hi - lo, height, width], cut to ``box`` (see `parts_of`)."""


Part = tuple[slice, slice]


def parts_of(box: ArrayLike | None, n: int, shape: tuple[int, ...]) -> tuple[list[Part], tuple[int, int]]:
    """Rows and columns of the box of each of n pictures of [height, width, ...], and the boxes' height and width.

    Args:
        box: top, left, height and width in pixels: one for all, [4]; one for each, [n, 4], all of one size; or
            None: the whole picture.

    Raises:
        DataError: a box leaves the picture or is empty, or sizes differ.

    >>> parts_of([2, 3, 8, 6], 1, (64, 96, 3))
    ([(slice(2, 10, None), slice(3, 9, None))], (8, 6))
    """
    given = np.asarray([] if box is None else box, np.int64)
    boxes = np.atleast_2d(given if given.size else np.array([0, 0, *shape[:2]]))
    if boxes.shape[1] != 4 or len(boxes) not in (1, n):
        raise DataError(f"boxes of shape {boxes.shape} for {n} pictures; expected [4] or [{n}, 4].")
    bad = (boxes[:, :2] < 0).any(1) | (boxes[:, 2:] < 1).any(1) | (boxes[:, :2] + boxes[:, 2:] > shape[:2]).any(1)
    if bad.any():
        i = int(np.argmax(bad))
        raise DataError(
            f"box {boxes[i].tolist()} of picture {i}: expected (top, left, height, width) within "
            f"{shape[0]} x {shape[1]} pixels."
        )
    if (boxes[:, 2:] != boxes[0, 2:]).any():
        raise DataError("boxes of one run of pictures differ in size; expected one size, so that they stack.")
    parts = [(slice(y, y + h), slice(x, x + w)) for y, x, h, w in boxes.tolist()]
    # One box serves all pictures.
    return parts * n if len(parts) != n else parts, (int(boxes[0, 2]), int(boxes[0, 3]))


def grey_of(picture: NDArray[np.generic]) -> NDArray[np.generic]:
    """One picture [h, w], [h, w, 1], [h, w, 3] or [h, w, 4] in grey, [h, w], of the same type (double: single).

    Colours are weighed as in ITU-R BT.601 (0.299, 0.587, 0.114); a fourth channel is left out.

    >>> grey_of(np.array([[[255, 0, 0]]], np.uint8)).tolist()
    [[76]]
    """
    # OpenCV converts no doubles.
    if picture.dtype == np.float64:
        picture = picture.astype(np.float32)
    if picture.ndim == 2 or picture.shape[2] == 1:
        return picture.reshape(picture.shape[:2])
    import cv2  # slow to import

    grey: NDArray[np.generic] = cv2.cvtColor(np.ascontiguousarray(picture[..., :3]), cv2.COLOR_RGB2GRAY)
    return grey


def held(pictures: NDArray[np.generic], mask: NDArray[np.bool_]) -> NDArray[np.generic]:
    """Pictures in which lost ones repeat the one before, as players do; at the beginning, the one after.

    Args:
        pictures: [n, ...].
        mask: which are there, [n] (`Stream.mask`).

    >>> held(np.array([0, 7, 0, 0, 9]), np.array([False, True, False, False, True])).tolist()
    [7, 7, 7, 7, 9]
    """
    if mask.all() or not mask.any():
        return pictures
    # Carries the index of the last picture that is there forward; -1 before the first.
    before = np.maximum.accumulate(np.where(mask, np.arange(len(mask)), -1))
    filled: NDArray[np.generic] = pictures[np.where(before < 0, np.argmax(mask), before)]
    return filled


def read_grey(stream: Stream, box: ArrayLike | None = None) -> NDArray[np.generic]:
    """All pictures of a view in grey, [n, height, width], cut to ``box`` (see `parts_of`). Use `Stream.blocks` too.

    For 8-bit video this is the luma in the file, stretched to 0..255 where it uses 16..235, as
    ``media: {grey: true}`` reads it. For all else it is `grey_of` of each picture.

    Raises:
        DataError: pictures are not [height, width] or [height, width, 1, 3 or 4], or a box leaves them.

    >>> film = Stream.of(np.full((5, 48, 64, 3), 200, np.uint8), rate=25)
    >>> read_grey(film, [8, 16, 24, 32]).shape
    (5, 24, 32)
    """
    shape, n = stream.source.shape, len(stream)
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
        raise DataError(f"{stream.where or 'stream'}: pictures of shape {shape}; expected [h, w, 1, 3 or 4].")
    source: Source = stream.source
    if isinstance(source, GreySource):
        return source.read_grey(stream.first, stream.first + n, box)
    (parts, size), raw = parts_of(box, n, shape), stream.read()
    out = np.empty((n, *size), np.float32 if raw.dtype == np.float64 else raw.dtype)
    for i, (rows, columns) in enumerate(parts):
        out[i] = grey_of(raw[i, rows, columns])
    return out
