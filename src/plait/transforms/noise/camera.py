"""Variations of how a film was taken: light and camera position, drawn once per film, so that they are constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.streams.stream import Stream
from plait.transforms.noise import Noise, generator
from plait.transforms.noise.pictures import Picture, PictureSource

__all__ = ["Framing", "Lighting"]


class Lighting(Noise):
    """Another contrast and brightness, the same in all pictures of a film.

    A value v becomes ``middle + (v - middle) * c + b``: c between ``exp(-level)`` and ``exp(level)``, b up to ``level``
    halves of the range either way. The range is the type's, for whole numbers (clipped to it), else 0 to 1.
    """

    kinds = ("frames",)
    axis = "change of contrast and brightness"

    def apply(self, stream: Stream, level: float, seed: int, others: Sequence[Stream]) -> Stream:
        return replace(stream, source=_Lit(stream.source, seed, level)) if level else stream


class _Lit(PictureSource):
    def one(self, picture: Picture, number: int) -> Picture:
        contrast, more = generator(self.seed, 0).uniform(-self.level, self.level, 2)
        whole = picture.dtype.kind in "iu"
        top = float(np.iinfo(picture.dtype).max) if whole else 1.0
        lit = top / 2 + (picture.astype(np.float32) - top / 2) * np.exp(contrast) + more * top / 2
        done: Picture = np.clip(np.rint(lit), 0, top).astype(picture.dtype) if whole else lit.astype(picture.dtype)
        return done


class Framing(Noise):
    """Shift, rotation and zoom of the camera, the same in all pictures of a film; the border is mirrored.

    At level 1 by up to half of the width and height, 45 degrees, and a factor of 2; at other levels in proportion.

    Args:
        mirror: probability that left and right are swapped; not for content with a side (text, a hand).
    """

    kinds = ("frames",)
    axis = "shift, turn and zoom of the camera"

    def __init__(self, *, mirror: float = 0.0) -> None:
        if not 0 <= mirror <= 1:
            raise ConfigError(f"framing.mirror: got {mirror}; expected a share from 0 to 1.")
        self.mirror = mirror

    def apply(self, stream: Stream, level: float, seed: int, others: Sequence[Stream]) -> Stream:
        if not (level or self.mirror):
            return stream
        return replace(stream, source=_Framed(stream.source, seed, level, self.mirror))


@dataclass(frozen=True)
class _Framed(PictureSource):
    mirror: float

    def one(self, picture: Picture, number: int) -> Picture:
        import cv2

        height, width = picture.shape[:2]
        moved: Picture = cv2.warpAffine(
            picture, self._map(height, width), (width, height), borderMode=cv2.BORDER_REFLECT_101
        )
        return moved.reshape(picture.shape)

    def _map(self, height: int, width: int) -> NDArray[np.generic]:
        """The affine map [2, 3] from a pixel's old place to its new one."""
        rng = generator(self.seed, 0)
        right, down, turn, zoom = rng.uniform(-self.level, self.level, 4)
        angle, factor = np.deg2rad(45 * turn), 2.0**zoom
        cos, sin = factor * np.cos(angle), factor * np.sin(angle)
        linear = np.array([[cos, -sin], [sin, cos]])
        if rng.random() < self.mirror:
            linear = linear @ np.diag([-1.0, 1.0])
        middle = np.array([(width - 1) / 2, (height - 1) / 2])
        # Rotation and zoom are about the middle of the picture.
        offset = middle - linear @ middle + np.array([right * width, down * height]) / 2
        return np.column_stack([linear, offset])
