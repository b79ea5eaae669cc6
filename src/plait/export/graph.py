"""A model as a graph: plain tensors in and out, of any batch and any lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from plait.core.errors import ConfigError
from plait.core.parts import part_name
from plait.core.safe_yaml import brief
from plait.export.recurrence import with_operators
from plait.models.model import Model
from plait.tokens import Instants, Tokens

__all__ = ["Graph", "Named", "captured"]


class Named(Protocol):
    """A graph whose inputs and outputs have names."""

    @property
    def inputs(self) -> list[str]:
        """Of its inputs."""

    @property
    def outputs(self) -> list[str]:
        """Of its outputs."""


class Graph(nn.Module):
    """A model with its inputs as a flat list: values, times and mask of each modality, and of the instants asked.

    Standardisation, the wide part, scales, temperatures and the task's post-processing are in it. A missing modality
    is a mask without True; one row is enough.

    Args:
        model: it is copied, with recurrent layers that export.

    Raises:
        ConfigError: a recurrent layer of the model has no form that exports, or the task asks about more than times.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        if model.task.asks in ("future", "relations"):
            raise ConfigError(
                f"export: the task {part_name(type(model.task))} asks about more than times, which a graph of plain "
                "tensors is not told. Serve it with plait."
            )
        self.model = with_operators(model)
        self.timed = model.task.instants(1.0) is not None

    @property
    def inputs(self) -> list[str]:
        """Names of the inputs: ``imu.values``, ``imu.times``, ``imu.mask`` ..., and for answers over time ``at.times``,
        ``at.mask``; times in seconds from the start of the item."""
        each = [f"{m}.{name}" for m in self.model.modalities for name in Tokens._fields]
        return each + ["at.times", "at.mask"] * self.timed

    @property
    def outputs(self) -> list[str]:
        """``output``: logits or standardised values; ``answer``: what `Task.legend` explains, if it does."""
        return ["output", *["answer"] * bool(self.model.task.legend())]

    def forward(self, flat: Sequence[Tensor]) -> tuple[Tensor, ...]:
        return self.answered(self.model, flat)

    def answered(self, model: Model, flat: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The outputs of a model, from flat inputs."""
        parts = [Tokens(*flat[i : i + 3]) for i in range(0, 3 * len(model.modalities), 3)]
        at = Instants(flat[-2], flat[-1]) if self.timed else None
        output = model(dict(zip(model.modalities, parts)), at)[""]
        return (output, model.task.readable(output)) if model.task.legend() else (output,)

    def sizes(self) -> list[dict[int, object]]:
        """The sizes that may change, of each input: the batch, and the length of each modality and of the instants."""
        # lengths without a name: torch finds by itself which least length its program holds for
        return [{0: Dim("batch", min=1), 1: Dim.DYNAMIC} for _ in self.inputs]


def captured(graph: Graph, example: Sequence[Tensor]) -> ExportedProgram:
    """The graph as `torch.export` captures it.

    Raises:
        ConfigError: a part of the model does not export.
    """
    sizes = graph.sizes()
    try:
        with torch.no_grad():
            # assertions, since torch cannot prove of some sizes what it wants to guard, such as lengths cut to windows
            return torch.export.export(
                graph, (list(example),), dynamic_shapes=(sizes,), prefer_deferred_runtime_asserts_over_guards=True
            )
    except Exception as error:  # torch.export raises many kinds, some of them private
        used = sorted({part_name(type(e)) for e in graph.model.backbone.encoders})
        raise ConfigError(
            f"export: the model cannot be captured as a graph ({brief(error, 300)}). It has the encoders "
            f"{', '.join(used)}, the fusion {part_name(type(graph.model.backbone.fusion))} and the task "
            f"{part_name(type(graph.model.task))}; a part of your own must not branch on data."
        ) from error
