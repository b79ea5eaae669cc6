"""Programs of ExecuTorch, for phones and microcontrollers."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.export import ExportedProgram

from plait.core.errors import ConfigError, need
from plait.core.safe_yaml import brief
from plait.export import ModelFormat
from plait.export.graph import Named

__all__ = ["Pte"]


class Pte(ModelFormat):
    """A program of ExecuTorch: what XNNPACK has is run by it, the rest by portable operators.

    Its sizes are fixed, so it holds the steps of a causal model, of one item.
    """

    fixed = True

    def write(self, graph: Named, program: ExportedProgram, path: Path) -> None:
        with _quiet():
            exir = need("executorch.exir", "edge", "export to ExecuTorch")
            backend = need("executorch.backends.xnnpack.partition.xnnpack_partitioner", "edge", "export to ExecuTorch")
            try:
                core = _with_strides(program.run_decompositions(TABLE))
                edge = exir.to_edge_transform_and_lower(core, partitioner=[backend.XnnpackPartitioner()])
                path.write_bytes(edge.to_executorch().buffer)
            except Exception as error:  # of many kinds
                raise ConfigError(
                    f"export to ExecuTorch: it cannot take {path.name} ({brief(error, 300)}). Leave out --pte, or take "
                    "another encoder."
                ) from error

    def run(self, graph: Named, path: Path, inputs: Sequence[Tensor]) -> list[Tensor]:
        with _quiet():
            runtime = need("executorch.runtime", "edge", "checking a program of ExecuTorch").Runtime.get()
        # names of their own: the runtime does not keep what it reads from
        data = path.read_bytes()
        program = runtime.load_program(data)
        method = program.load_method("forward")
        # copied: outputs are in the method's own memory
        return [x.clone() for x in method.execute([x.contiguous() for x in inputs])]


def _stable_sort(
    x: Tensor, *, stable: bool | None = None, dim: int = -1, descending: bool = False
) -> tuple[Tensor, ...]:
    """Each against each, since ExecuTorch has no stable sort; for a few rows.

    >>> x = torch.tensor([2, 0, 1, 0])
    >>> [found.tolist() for found in _stable_sort(x, stable=True)]
    [[0, 0, 1, 2], [1, 3, 2, 0]]
    """
    own = x.movedim(dim, -1).int() if not x.is_floating_point() else x.movedim(dim, -1)
    places = torch.arange(own.shape[-1], device=x.device)
    one, other = own[..., :, None], own[..., None, :]
    before = (other > one if descending else other < one) | ((other == one) & (places[None] < places[:, None]))
    rank = before.sum(-1)
    order = ((rank[..., None, :] == places[:, None]) * places).sum(-1).movedim(-1, dim)
    return x.gather(dim, order), order


def _order(x: Tensor, *, stable: bool = True, dim: int = -1, descending: bool = False) -> Tensor:
    return _stable_sort(x, dim=dim, descending=descending)[1]


TABLE: dict[OpOverload, Callable[..., Any]] = {
    torch.ops.aten.argsort.default: lambda x, dim=-1, descending=False: _order(x, dim=dim, descending=descending),
    torch.ops.aten.argsort.stable: _order,
    torch.ops.aten.sort.default: lambda x, dim=-1, descending=False: _stable_sort(x, dim=dim, descending=descending),
    torch.ops.aten.sort.stable: _stable_sort,
}
"""What ExecuTorch has no operators for."""


def _with_strides(program: ExportedProgram) -> ExportedProgram:
    """Pools with the stride that torch takes by default, which XNNPACK's partitioner looks for."""
    for node in program.graph.find_nodes(op="call_function", target=torch.ops.aten.max_pool2d.default):
        if len(node.args) == 2 or not node.args[2]:
            node.args = (*node.args[:2], node.args[1], *node.args[3:])
    return program


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the packages say about themselves."""
    kept = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(kept)
