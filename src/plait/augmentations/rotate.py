"""Random rotations in space."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from plait.augmentations import Augmentation, Setting
from plait.core.errors import ConfigError
from plait.tokens.tokens import Tokens

__all__ = ["Rotate"]

AXES = ("x", "y", "z", "any")


class Rotate(Augmentation):
    """Rotate every triple of columns (x, y, z) of an item by one random angle.

    Args:
        degrees: largest angle in either direction, 0 to 360.
        axis: ``x``, ``y`` or ``z``, or ``any``: an axis uniform on the sphere.

    Raises:
        ConfigError: unknown axis, or angle out of range.
    """

    rank = 10

    def __init__(self, *, degrees: float = 20.0, axis: str = "any") -> None:
        if axis not in AXES or not 0 <= degrees <= 360:
            raise ConfigError(
                f"rotate: {degrees} degrees about {axis!r}; expected 0 to 360, and one of {', '.join(AXES)}."
            )
        self.degrees, self.axis = degrees, axis

    def __call__(self, batch: Mapping[str, Tokens], setting: Setting) -> dict[str, Tokens]:
        return {m: self._turned(m, tokens) for m, tokens in batch.items()}

    def _turned(self, modality: str, tokens: Tokens) -> Tokens:
        if tokens.dim % 3:
            raise ConfigError(
                f"augment.rotate.{modality}: {tokens.dim} columns; expected a multiple of 3: x, y and z of each point."
            )
        rows = len(tokens.mask)
        if self.axis == "any":
            # A normal vector has no preferred direction, so its direction is uniform on the sphere.
            about = torch.nn.functional.normalize(torch.randn(rows, 3), dim=-1)
        else:
            about = torch.eye(3)["xyz".index(self.axis)].expand(rows, 3)
        angle = (2 * torch.rand(rows) - 1) * math.radians(self.degrees)
        turned = tokens.values.unflatten(-1, (-1, 3)) @ _rotation(about, angle)[:, None]
        return tokens.with_values(turned.flatten(-2))


def _rotation(axis: Tensor, angle: Tensor) -> Tensor:
    """Rodrigues' formula, [rows, 3, 3]."""
    x, y, z = axis.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    sine, cosine = angle.sin()[:, None, None], angle.cos()[:, None, None]
    turned: Tensor = torch.eye(3) + sine * cross + (1 - cosine) * (cross @ cross)
    return turned
