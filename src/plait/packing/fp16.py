"""Half precision."""

from __future__ import annotations

import torch
from torch import Tensor

from plait.packing import Packing
from plait.packing.exact import joined, shuffled

__all__ = ["Fp16"]


class Fp16(Packing):
    """16 bits a number: 11 of them for its digits (IEEE 754, binary16).

    >>> Fp16().decode(Fp16().encode(torch.tensor([0.1])), torch.zeros(1)).item()
    0.0999755859375
    """

    def encode(self, weight: Tensor) -> bytes:
        return shuffled(weight.half())

    def decode(self, data: bytes, like: Tensor) -> Tensor:
        return joined(data, torch.empty_like(like, dtype=torch.float16, device="cpu")).to(like.dtype)

    def size(self, like: Tensor) -> int:
        return 2 * like.numel()

    def error(self, weight: Tensor) -> Tensor:
        return (weight.abs() * 2.0**-11).clamp_min(2.0**-25)
