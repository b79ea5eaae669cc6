"""A program of `torch.export`, for torch without the model's code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram

from plait.export import ModelFormat
from plait.export.graph import Named

__all__ = ["Pt2"]


class Pt2(ModelFormat):
    """The program that `torch.export.save` writes and `torch.export.load` reads.

    A model with recurrent layers uses the operators of `plait.export.recurrence`, which must be imported before. The
    program refuses lengths below `least`: fill up with masked rows.
    """

    least = 4

    def write(self, graph: Named, program: ExportedProgram, path: Path) -> None:
        torch.export.save(program, path)

    def run(self, graph: Named, path: Path, inputs: Sequence[Tensor]) -> list[Tensor]:
        return list(torch.export.load(path).module()(list(inputs)))
