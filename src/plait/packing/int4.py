"""Four bits with a scale per group."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from plait.core.options import Count
from plait.packing import Packing, rows_of, shape_of

__all__ = ["Int4"]

LARGEST = 7

TINY = 2.0**-24
"""The smallest scale that fp16 holds."""


class Int4(Packing):
    """Whole numbers from -7 to 7 times a scale per group, two to a byte.

    A group is so many neighbours within one output channel, with a scale in fp16 (block-wise scales: Dettmers et al.
    2022, "8-bit optimizers via block-wise quantization", ICLR; for weights of 4 bits Frantar et al. 2023, "GPTQ", ICLR,
    section 4, whose correction by second derivatives is not done here). None is off by more than half a scale, or
    2.4e-7. Answers are computed in float32.

    Args:
        group: numbers that share a scale; more of them make the file smaller and the error larger.

    >>> Int4(group=2).decode(Int4(group=2).encode(torch.tensor([[0.7, 0.1, 7.0]])), torch.zeros(1, 3)).round(decimals=2)
    tensor([[0.7000, 0.1000, 7.0000]])
    """

    def __init__(self, *, group: Count = 32) -> None:
        self.group = group

    def encode(self, weight: Tensor) -> bytes:
        grouped, scales = self._grouped(rows_of(weight))
        codes = (grouped / scales.float()).round().clamp(-LARGEST, LARGEST).flatten(1)
        plain = (codes[:, : shape_of(weight.shape)[1]].reshape(-1) + 8).to(torch.uint8).numpy()
        pairs = np.append(plain, np.zeros(plain.size % 2, np.uint8)).reshape(-1, 2)
        packed: bytes = (pairs[:, 0] | pairs[:, 1] << 4).tobytes()
        return scales.numpy().tobytes() + packed

    def decode(self, data: bytes, like: Tensor) -> Tensor:
        rows, columns = shape_of(like.shape)
        groups = rows * self._groups(columns)
        scales = torch.from_numpy(np.frombuffer(data, "<f2", groups).copy()).float().reshape(rows, -1)
        pairs = np.frombuffer(data, np.uint8, offset=2 * groups)
        codes = np.stack([pairs & 15, pairs >> 4], 1).reshape(-1)[: rows * columns].astype(np.float32) - 8
        wide = scales.repeat_interleave(self.group, 1)[:, :columns]
        return (torch.from_numpy(codes).reshape(rows, columns) * wide).reshape(like.shape).to(like.dtype)

    def size(self, like: Tensor) -> int:
        rows, columns = shape_of(like.shape)
        return 2 * rows * self._groups(columns) + -(-rows * columns // 2)

    def error(self, weight: Tensor) -> Tensor:
        rows = rows_of(weight)
        scales = self._grouped(rows)[1].float().flatten(1).repeat_interleave(self.group, 1)[:, : rows.shape[1]]
        # below 6e-5 fp16 loses digits: seven times half its last one
        return (scales * 0.5001).clamp_min(4 * TINY).reshape(weight.shape)

    def _groups(self, columns: int) -> int:
        return -(-columns // self.group)

    def _grouped(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """[rows, groups, group], the last group filled up by zeros; and fp16 scales [rows, groups, 1]."""
        groups = self._groups(rows.shape[1])
        wide = F.pad(rows, (0, groups * self.group - rows.shape[1])).reshape(len(rows), groups, self.group)
        return wide, (wide.abs().amax(2, keepdim=True) / LARGEST).clamp_min(TINY).half()
