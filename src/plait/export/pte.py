"""A program of ExecuTorch, for phones and microcontrollers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor
from torch.export import ExportedProgram

from plait.core.errors import need
from plait.export import ModelFormat
from plait.export.graph import Graph

__all__ = ["Pte"]


class Pte(ModelFormat):
    """A ``.pte`` for ExecuTorch, lowered to XNNPACK where it can be."""

    def write(self, graph: Graph, program: ExportedProgram, path: Path) -> None:
        exir = need("executorch.exir", "executorch", "export to pte")
        xnnpack = need("executorch.backends.xnnpack.partition.xnnpack_partitioner", "executorch", "export to pte")
        lowered = exir.to_edge_transform_and_lower(program, partitioner=[xnnpack.XnnpackPartitioner()])
        path.write_bytes(lowered.to_executorch().buffer)

    def run(self, graph: Graph, path: Path, inputs: Sequence[Tensor]) -> list[Tensor]:
        runtime = need("executorch.runtime", "executorch", "checking a pte file").Runtime.get()
        return list(runtime.load_program(path).load_method("forward").execute(list(inputs)))
