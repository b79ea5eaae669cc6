"""Pictures and poses that are changed on reading, a bounded number at a time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError
from plait.streams.stream import Source, Stream, Values, mask_of

__all__ = ["Changed", "check_pictures", "coloured"]

BLOCK_BYTES = 1 << 25
"""Most bytes of raw values in memory, however many are read."""


@dataclass(frozen=True)
class Changed:
    """A source that changes another source's observations one by one; `plait.streams.stream.Source`.

    Attributes:
        source: source of the raw observations.
        shape: shape of one changed observation.
        change: function of raw observations [m, ...] and the index of the first, to changed ones [m, *shape].

    >>> from plait.streams.stream import ArraySource
    >>> Changed(ArraySource(np.arange(5.0)[:, None]), (1,), lambda x, at: x + at).read(3, 5).ravel().tolist()
    [6.0, 7.0]
    """

    source: Source
    shape: tuple[int, ...]
    change: Callable[[NDArray[np.generic], int], NDArray[np.generic]]

    def read(self, lo: int, hi: int) -> Values:
        size = max(1, BLOCK_BYTES // max(1, 8 * math.prod(self.source.shape)))
        starts = range(lo, max(hi, lo + 1), size)  # called even for an empty range, because `change` decides the type
        parts = [self.change(self.source.read(at, max(min(at + size, hi), at)), at) for at in starts]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def mask(self, lo: int, hi: int) -> NDArray[np.bool_]:
        return mask_of(self.source, lo, hi)


def check_pictures(stream: Stream, part: str) -> tuple[int, int, int]:
    """Height, width and channels of a stream's pictures.

    Raises:
        DataError: they are not [height, width, channels].
    """
    shape = stream.source.shape
    if len(shape) != 3 or min(shape) < 1:
        raise DataError(
            f"{stream.where or 'stream'}: {part} takes pictures [height, width, channels], but one has shape {shape}."
        )
    return shape[0], shape[1], shape[2]


def coloured(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture [height, width, channels] with three channels: grey is repeated, a fourth channel is left out."""
    return np.ascontiguousarray(np.repeat(picture[..., :1], 3, 2) if picture.shape[2] < 3 else picture[..., :3])
