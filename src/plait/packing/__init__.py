"""Weights in fewer bytes: one file per packing."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

__all__ = ["Packing"]


class Packing(ABC):
    """How the numbers of one tensor are kept.

    `size` is law: `encode` gives that many bytes whatever the numbers are (the file then deflates them). So is `error`:
    no number that `decode` gives is farther from its original.
    """

    @abstractmethod
    def encode(self, weight: Tensor) -> bytes:
        """The bytes of a tensor that it `takes`."""

    @abstractmethod
    def decode(self, data: bytes, like: Tensor) -> Tensor:
        """The numbers of `size` bytes, with the shape and type of ``like``."""

    @abstractmethod
    def size(self, like: Tensor) -> int:
        """Bytes of a tensor of the same shape and type."""

    @abstractmethod
    def error(self, weight: Tensor) -> Tensor:
        """The largest difference of each number, of the shape of ``weight``."""

    def takes(self, weight: Tensor) -> bool:
        """Whether it can keep this tensor: by default numbers with a fraction, all finite, none too large for fp16."""
        return weight.is_floating_point() and bool((weight.abs() < 65504).all())


def rows_of(weight: Tensor) -> Float[Tensor, "channels numbers"]:
    """One row per output channel: the first axis of linear maps, convolutions, gates and embeddings."""
    return weight.detach().float().reshape(*shape_of(weight.shape))


def shape_of(shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of `rows_of`."""
    rows = shape[0] if len(shape) > 1 else 1
    return rows, math.prod(shape) // max(rows, 1)
