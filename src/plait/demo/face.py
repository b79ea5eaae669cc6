"""A drawn face that moves and speaks, with known truth: for docs, tests and benchmarks without real people."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plait.core.errors import DataError

__all__ = ["draw_face", "face_film"]

HAIR, SKIN, SHADE, WHITE, DARK = (70, 50, 40), (224, 188, 160), (150, 112, 92), (240, 238, 235), (40, 30, 30)
CHEEK, LIGHT, NOSE, LIPS, MOUTH = (232, 180, 158), (236, 204, 178), (190, 146, 122), (160, 70, 70), (60, 20, 25)

_PARTS: tuple[tuple[float, float, float, float, tuple[int, int, int]], ...] = (
    (0, -8, 50, 66, HAIR),
    (0, 6, 43, 58, SKIN),
    (0, -47, 36, 16, HAIR),
    *((side * x, y, a, b, colour) for side in (-1, 1) for x, y, a, b, colour in (
        (18, -8, 13, 9, SHADE), (18, -7, 9, 5, WHITE), (18, -7, 4, 4.5, DARK), (18, -18, 12, 3.2, HAIR),
        (25, 16, 9, 8, CHEEK),
    )),
    (0, 4, 4, 14, LIGHT),
    (0, 19, 8, 4, NOSE),
)  # fmt: skip
"""Ellipses: centre and half axes in hundredths of the face's size, and colour."""


def draw_face(picture: NDArray[np.uint8], x: float, y: float, size: float, *, mouth: float = 0.0) -> NDArray[np.uint8]:
    """A picture [height, width, 3] with a face drawn on it; its place is exact to an eighth of a pixel.

    OpenCV's cascades detect it as a face, with a box that is 1.05 to 1.1 ``size`` wide.

    Args:
        x, y: the middle of the bridge of the nose, pixels.
        size: width of the head with its hair, pixels.
        mouth: how far the mouth is open, 0..1.

    >>> draw_face(np.full((90, 120, 3), 150, np.uint8), 60, 45, 50)[45, 60].tolist()
    [236, 204, 178]
    """
    import cv2

    out = picture.copy()
    lips = ((0, 37, 16, 4 + 9 * mouth, LIPS), (0, 37, 12, 1 + 7 * mouth, MOUTH))
    for dx, dy, a, b, colour in (*_PARTS, *lips):
        # Whole eighths of a pixel, as cv2.ellipse takes fixed-point numbers: the last argument, 3, is the shift.
        centre = (round((x + dx * size / 100) * 8), round((y + dy * size / 100) * 8))
        axes = (round(a * size / 12.5), round(b * size / 12.5))
        cv2.ellipse(out, centre, axes, 0, 0, 360, colour, -1, cv2.LINE_AA, 3)
    return out


def face_film(
    centre: ArrayLike,
    size: ArrayLike,
    *,
    mouth: ArrayLike = 0.0,
    height: int = 240,
    width: int = 320,
    noise: float = 3.0,
    seed: int = 0,
) -> NDArray[np.generic]:
    """A film [n, height, width, 3] uint8 of a face that moves along a path in front of a wall with pictures.

    Args:
        centre: [n, 2], x and y, see `draw_face`.
        size, mouth: [n], or one number for all pictures, see `draw_face`.
        noise: standard deviation of the noise on each pixel, drawn for each picture.
        seed: of wall and noise.

    Raises:
        DataError: the path is not [n, 2].

    >>> face_film([[160, 120]] * 3, 90).shape
    (3, 240, 320, 3)
    """
    path = np.asarray(centre, np.float64)
    if path.ndim != 2 or path.shape[1] != 2:
        raise DataError(f"a face's path of shape {path.shape}; expected [n, 2].")
    rng = np.random.default_rng(seed)
    wall = _wall(height, width, rng)
    sizes, opens = np.broadcast_to(size, len(path)), np.broadcast_to(mouth, len(path))
    out = np.empty((len(path), height, width, 3), np.uint8)
    for i, (x, y) in enumerate(path.tolist()):
        drawn = draw_face(wall, x, y, float(sizes[i]), mouth=float(opens[i]))
        out[i] = np.clip(drawn + noise * rng.standard_normal(drawn.shape), 0, 255)
    return out


def _wall(height: int, width: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    wall = np.full((height, width, 3), (150, 160, 165), np.uint8)
    for _ in range(12):
        h, w = rng.integers(8, height // 3), rng.integers(8, width // 3)
        top, left = rng.integers(0, height - h), rng.integers(0, width - w)
        wall[top : top + h, left : left + w] = rng.integers(40, 220, 3)
    return wall
