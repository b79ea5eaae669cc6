"""Numbers as they are."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from plait.packing import Packing

__all__ = ["Exact", "joined", "shuffled"]


class Exact(Packing):
    """Every byte is kept; first bytes of all numbers, then second ones, since like bytes deflate better together.

    >>> Exact().decode(Exact().encode(torch.tensor([1.5, -2.0])), torch.zeros(2)).tolist()
    [1.5, -2.0]
    """

    def encode(self, weight: Tensor) -> bytes:
        return shuffled(weight)

    def decode(self, data: bytes, like: Tensor) -> Tensor:
        return joined(data, like)

    def size(self, like: Tensor) -> int:
        return like.numel() * like.element_size()

    def error(self, weight: Tensor) -> Tensor:
        return torch.zeros(weight.shape)

    def takes(self, weight: Tensor) -> bool:
        return True


def shuffled(values: Tensor) -> bytes:
    """The bytes of all numbers, the n-th of each together (the shuffle of HDF5)."""
    flat = values.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).reshape(-1, flat.element_size()).T.contiguous().numpy().tobytes()


def joined(data: bytes, like: Tensor) -> Tensor:
    """The numbers of `shuffled`."""
    bytes_of = torch.from_numpy(np.frombuffer(data, np.uint8).copy()).reshape(like.element_size(), -1)
    return bytes_of.T.contiguous().reshape(-1).view(like.dtype).reshape(like.shape)
