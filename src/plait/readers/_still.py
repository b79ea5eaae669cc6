"""Still pictures, from bytes to arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError
from plait.readers._exif import turned, webp_orientation
from plait.readers._picture_size import MOST_PIXELS, picture_size

__all__ = ["decode_still", "scaled"]


def decode_still(data: bytes, where: str, grey: bool = False) -> NDArray[np.uint8]:
    """A PNG, JPEG, BMP, WebP or TIFF as [h, w, 3] RGB or [h, w, 1], turned as its EXIF says.

    Raises:
        DataError: it is none, is cut, is larger than `MOST_PIXELS`, or does not decode.
    """
    import cv2

    size = picture_size(data)
    if size is None:
        raise DataError(f"{where}: is no picture, or is cut. Expected PNG, JPEG, BMP, WebP or TIFF; save it as PNG.")
    _check_pixels(size, where)
    orientation = webp_orientation(data)
    how = (cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR) | (cv2.IMREAD_IGNORE_ORIENTATION if orientation else 0)
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), how)
        if picture is None:
            raise DataError(f"{where}: is no picture that OpenCV decodes. Save it as PNG, or leave it out.")
        picture = picture[..., None] if grey else cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        return turned(picture, orientation) if orientation else np.asarray(picture)
    except cv2.error as error:
        raise DataError(f"{where}: does not decode ({error}). Save it as PNG, or leave it out.") from error


def scaled(picture: NDArray[np.uint8], width: int | None, height: int | None, where: str) -> NDArray[np.uint8]:
    """A picture scaled to a size in pixels; if one is None it follows the aspect ratio; if both are, nothing changes.

    Raises:
        DataError: it would be larger than `MOST_PIXELS`.
    """
    import cv2

    if width is None and height is None:
        return picture
    h, w, channels = picture.shape
    wide = width or max(1, round(w * (height or 1) / h))
    high = height or max(1, round(h * wide / w))
    _check_pixels((wide, high), where)
    return np.asarray(cv2.resize(picture, (wide, high), interpolation=cv2.INTER_AREA)).reshape(high, wide, channels)


def _check_pixels(size: tuple[int, int], where: str) -> None:
    """Refuse (width, height) that memory may not hold."""
    if size[0] * size[1] > MOST_PIXELS:
        raise DataError(
            f"{where}: is {size[0]} x {size[1]} pixels; expected at most {MOST_PIXELS:,} in all. Save it smaller."
        )
