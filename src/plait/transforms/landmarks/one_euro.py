"""The One-Euro filter: points that stand still are smoothed, points that move are not delayed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["OneEuro"]

Array = NDArray[np.float64]

SPEED_CUTOFF = 1.0
"""Cutoff of the speed's own filter, Hz (Casiez et al. 2012, section 4)."""


@dataclass
class OneEuro:
    """A low-pass filter of first order whose cutoff grows with the speed, for points that come one picture at a time.

    Casiez, Roussel & Vogel 2012, "1 Euro filter: a simple speed-based low-pass filter for noisy input in interactive
    systems", CHI, section 4: the cutoff is ``cutoff + beta * |speed|``. Departure: the speed is in sizes of the body,
    face or hand per second, so that the numbers suit any distance from the camera.

    Args:
        cutoff: Hz, of points at rest.
        beta: Hz per size and second.

    >>> still = OneEuro(cutoff=1.0)
    >>> rng = np.random.default_rng(0)
    >>> found = [still(rng.normal(0, 1, (1, 1)), i / 25, 100.0)[0, 0] for i in range(200)]
    >>> bool(np.std(found[50:]) < 0.4)
    True
    """

    cutoff: float
    beta: float = 2.0
    _last: Array | None = field(default=None, repr=False)
    _speed: Array | None = field(default=None, repr=False)
    _time: float = field(default=0.0, repr=False)

    def __call__(self, points: Array, time: float, size: float) -> Array:
        """Points [n, axes], NaN where unknown, smoothed; a point that was unknown before starts anew.

        Args:
            time: seconds.
            size: of the thing, in the unit of the points.
        """
        if self._last is None or self._speed is None:
            self._last, self._speed, self._time = points, np.zeros_like(points), time
            return points
        passed = max(time - self._time, 1e-6)
        speed = np.nan_to_num((points - self._last) / passed)
        self._speed = self._speed + _share(SPEED_CUTOFF, passed) * (speed - self._speed)
        share = _share(self.cutoff + self.beta * np.abs(self._speed) / max(size, 1e-9), passed)
        smooth = self._last + share * (points - self._last)
        self._last, self._time = np.where(np.isnan(self._last), points, smooth), time
        return self._last


def _share(cutoff: float | Array, passed: float) -> float | Array:
    """Weight of the new value in a low-pass filter of first order (section 4, alpha)."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * passed))
