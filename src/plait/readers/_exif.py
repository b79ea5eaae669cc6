"""The orientation of WebP pictures. OpenCV applies that of other formats, but of WebP only in some versions."""

from __future__ import annotations

import struct
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["turned", "webp_orientation"]

Number = TypeVar("Number", bound=np.generic)

_ORIENTATION = 0x0112


def webp_orientation(data: bytes) -> int | None:
    """The EXIF orientation of a WebP file, 1 to 8 (1 where it states none); None for any other format.

    Source: Google, "WebP Container Specification" (chunk ``EXIF``); CIPA DC-008 (EXIF 2.32), tag 0x0112. Many writers
    put JPEG's prefix ``Exif`` before the TIFF header, or leave the flag in the header unset; both are read.

    >>> webp_orientation(b"GIF89a") is None
    True
    """
    if not (data.startswith(b"RIFF") and data[8:12] == b"WEBP"):
        return None
    at = 12
    try:
        while at + 8 <= len(data):
            kind, size = struct.unpack_from("<4sI", data, at)
            if kind == b"EXIF":
                return _orientation(data[at + 8 : at + 8 + size].removeprefix(b"Exif\0\0"))
            # RIFF pads chunks to an even size.
            at += 8 + size + size % 2
    except struct.error:
        return 1
    return 1


def _orientation(tiff: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    at = struct.unpack_from(order + "I", tiff, 4)[0]
    for i in range(struct.unpack_from(order + "H", tiff, at)[0]):
        tag, kind, _, value = struct.unpack_from(order + "HHIH", tiff, at + 2 + 12 * i)
        if tag == _ORIENTATION and kind == 3:
            return value if 1 <= value <= 8 else 1
    return 1


def turned(picture: NDArray[Number], orientation: int) -> NDArray[Number]:
    """A picture [h, w, ...] turned upright, given its EXIF orientation.

    >>> turned(np.array([[1, 2, 3]]), 6).tolist()  # lay on its side
    [[1], [2], [3]]
    """
    if orientation >= 5:
        picture = np.swapaxes(picture, 0, 1)
    if orientation in (2, 3, 6, 7):
        picture = picture[:, ::-1]
    if orientation in (3, 4, 7, 8):
        picture = picture[::-1]
    return np.ascontiguousarray(picture)
