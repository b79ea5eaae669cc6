"""Inputs and outputs by which an exported model is compared with the one it was made from."""

from __future__ import annotations

import torch
from torch import Tensor

from plait.export.graph import Graph

__all__ = ["drawn", "gap"]

SPAN = 2.0
"""Seconds of the drawn items."""


def drawn(graph: Graph, rows: int, lengths: list[int], seed: int) -> list[Tensor]:
    """Inputs of a graph: features drawn around the training means, with gaps, NaN and missing modalities.

    The first item is whole; item ``i`` lacks modality ``i - 1``, unless it is the only one; all others have every
    modality. Under a False mask stands NaN, and so does one number that is seen.

    Args:
        graph: of the model.
        rows: items.
        lengths: rows of each modality, one or more.
        seed: of the random numbers.
    """
    made = torch.Generator().manual_seed(seed)
    backbone, found = graph.model.backbone, list[Tensor]()
    for i, (name, time) in enumerate(zip(graph.model.modalities, lengths)):
        mask = torch.rand(rows, time, generator=made) < 0.8
        mask[:, 0] = True
        mask[0] = True
        mask[i + 1 : i + 2] = len(lengths) == 1
        values = torch.randn(rows, time, backbone.dims[name], generator=made) * backbone.std(name) + backbone.mean(name)
        if backbone.symbolic(name):
            values = torch.randint(0, 8, values.shape, generator=made).float()
        values[0, -1, -1] = torch.nan if values.shape[-1] > 1 else values[0, -1, -1]
        times = (torch.rand(rows, time, generator=made) * SPAN).sort(1).values
        found += [torch.where(mask[..., None], values, torch.nan), torch.where(mask, times, torch.nan), mask]
    return found + _asked(graph, rows)


def _asked(graph: Graph, rows: int) -> list[Tensor]:
    times = graph.model.task.instants(SPAN)
    if times is None:
        return []
    steps = torch.from_numpy(times).float().expand(rows, -1)
    return [steps, torch.arange(steps.shape[1]) < torch.arange(rows)[:, None] % steps.shape[1] + 1]


def gap(one: list[Tensor], other: list[Tensor]) -> float:
    """The largest difference of outputs, relative to the largest number of the first where that is above 1; infinite
    where a number is not finite or shapes differ.

    >>> gap([torch.tensor([1.0, 2.0])], [torch.tensor([1.0, 1.0])]), gap([torch.zeros(1)], [torch.zeros(1) / 0])
    (0.5, inf)
    """
    return max(_apart(a, b) for a, b in zip(one, other, strict=True))


def _apart(a: Tensor, b: Tensor) -> float:
    if a.shape != b.shape or not bool(a.isfinite().all() and b.isfinite().all()):
        return torch.inf
    return float((a - b).abs().max() / a.abs().max().clamp(min=1))
