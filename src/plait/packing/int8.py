"""Eight bits with a scale per output channel."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from plait.packing import Packing, rows_of, shape_of

__all__ = ["Int8"]

LARGEST = 127


class Int8(Packing):
    """Whole numbers from -127 to 127 times a scale per output channel.

    Symmetric, as for weights in Jacob et al. 2018, "Quantization and training of neural networks for efficient
    integer-arithmetic-only inference" (CVPR), with one scale per channel (Krishnamoorthi 2018, arXiv:1806.08342). The
    largest number of a channel becomes 127; none is off by more than half a scale. Answers are computed in float32.

    >>> Int8().decode(Int8().encode(torch.tensor([[1.27, 0.5]])), torch.zeros(1, 2)).tolist()
    [[1.2699999809265137, 0.5]]
    """

    def encode(self, weight: Tensor) -> bytes:
        scales = _scales(rows_of(weight))
        codes = (rows_of(weight) / scales).round().to(torch.int8)
        return scales.numpy().tobytes() + codes.numpy().tobytes()

    def decode(self, data: bytes, like: Tensor) -> Tensor:
        rows, columns = shape_of(like.shape)
        scales = torch.from_numpy(np.frombuffer(data, "<f4", rows).copy())
        codes = torch.from_numpy(np.frombuffer(data, np.int8, offset=4 * rows).copy())
        return (codes.reshape(rows, columns) * scales[:, None]).reshape(like.shape).to(like.dtype)

    def size(self, like: Tensor) -> int:
        rows, columns = shape_of(like.shape)
        return rows * (4 + columns)

    def error(self, weight: Tensor) -> Tensor:
        rows = rows_of(weight)
        # a little more than half a step, for the rounding of the product itself
        return (_scales(rows) * 0.5001).expand_as(rows).reshape(weight.shape)


def _scales(rows: Tensor) -> Tensor:
    """[rows, 1]; the smallest normal float where a row is zero or nearly so."""
    return (rows.abs().amax(1, keepdim=True) / LARGEST).clamp_min(torch.finfo(torch.float32).tiny)
