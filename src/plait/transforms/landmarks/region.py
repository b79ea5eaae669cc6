"""Rotated squares of a picture: cut out for a net, and the net's points put back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Region", "turn"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Region:
    """A square of a picture, in pixels; edges of pixels are whole numbers.

    Attributes:
        x, y: its centre.
        size: its side.
        angle: by how much its own x axis is turned from the picture's towards y (clockwise, as seen), radians.

    >>> Region(50.0, 40.0, 20.0, math.pi / 2).to_picture(np.array([[1.0, 0.5, 0.1]])).round(6).tolist()
    [[50.0, 50.0, 2.0]]
    """

    x: float
    y: float
    size: float
    angle: float = 0.0

    @classmethod
    def whole(cls, picture: NDArray[np.generic]) -> Region:
        """The smallest square around a picture, both with the same centre."""
        high, wide = picture.shape[:2]
        return cls(wide / 2, high / 2, max(high, wide))

    def cut(self, picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
        """The square as a picture of ``side`` pixels, interpolated linearly; black outside the picture."""
        import cv2

        # cv2 counts from the middle of the first pixel, hence the halves.
        step = self.size / side
        c, s = step * math.cos(self.angle), step * math.sin(self.angle)
        half = side / 2 - 0.5
        onto = np.array([[c, -s, self.x - 0.5 - half * (c - s)], [s, c, self.y - 0.5 - half * (s + c)]])
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(picture, onto, (side, side), flags=how, borderMode=cv2.BORDER_CONSTANT))

    def to_picture(self, points: Array) -> Array:
        """Points [..., 2 or 3] in 0..1 of the square, in pixels of the picture; z (from 0) is only scaled."""
        out = np.array(points, np.float64) * self.size
        own = out[..., :2] - self.size / 2
        c, s = math.cos(self.angle), math.sin(self.angle)
        out[..., 0] = self.x + c * own[..., 0] - s * own[..., 1]
        out[..., 1] = self.y + s * own[..., 0] + c * own[..., 1]
        return out

    def moved(self, *, grow: float = 1.0, down: float = 0.0) -> Region:
        """Shifted along its own y axis by ``down`` sides, then enlarged about its centre."""
        way = down * self.size
        x, y = self.x - way * math.sin(self.angle), self.y + way * math.cos(self.angle)
        return Region(x, y, self.size * grow, self.angle)

    def apart(self, other: Region) -> float:
        """Distance of the centres, in sides of the smaller square."""
        return math.hypot(self.x - other.x, self.y - other.y) / max(min(self.size, other.size), 1e-9)

    @classmethod
    def around(cls, points: Array, angle: float = 0.0) -> Region:
        """The square at an angle about points [n, 2]: their box's centre and longer side."""
        c, s = math.cos(angle), math.sin(angle)
        own = points[:, :2] @ np.array([[c, -s], [s, c]])
        low, high = own.min(0), own.max(0)
        x, y = (low + high) / 2
        return cls(float(c * x - s * y), float(s * x + c * y), float((high - low).max()), angle)


def turn(start: Array, stop: Array, upright: float) -> float:
    """The angle of a region in which the way from ``start`` to ``stop`` [2] has the direction ``upright``.

    Args:
        upright: radians, from the x axis counter-clockwise, as seen: pi / 2 is up. The result is within -pi..pi.

    >>> turn(np.array([0.0, 0.0]), np.array([0.0, -5.0]), math.pi / 2)
    0.0
    """
    x, y = (stop - start)[:2]
    angle = upright - math.atan2(-y, x)
    return angle - 2 * math.pi * math.floor((angle + math.pi) / (2 * math.pi))
