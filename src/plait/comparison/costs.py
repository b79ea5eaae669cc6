"""What a model costs: processor seconds an item, and the memory of a training step."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from plait.evaluation.evaluate import score_subsets
from plait.examples.data import Batch, ItemData
from plait.models.model import Model

__all__ = ["item_seconds", "step_bytes"]

COPIES = 4
"""Weights, their gradients, and the two moments that AdamW keeps."""


def item_seconds(model: Model, data: ItemData) -> float:
    """Processor seconds an item: from prepared features to scores, with all modalities, in batches of 64."""
    started = time.process_time()
    score_subsets(model, data, [tuple(model.modalities)])
    return (time.process_time() - started) / max(len(data), 1)


def step_bytes(model: Model, data: ItemData, batch: int) -> int:
    """Bytes that a training step must hold at least, for the ``batch`` longest items; the same on every machine.

    The weights with their gradients and the optimiser's moments, and what the forward pass keeps for the backward one,
    each storage counted once. Not what is held for a moment within a layer. The model is run in training mode: its
    running statistics, if it has any, are not the same afterwards.
    """
    longest = sorted(range(len(data)), key=lambda i: -data.lengths[i])[:batch]
    asked = data.batch(sorted(longest), {m: model.dims[m] for m in data.modalities})
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return COPIES * weights + _kept(model, asked)


def _kept(model: Model, batch: Batch) -> int:
    own = {p.untyped_storage().data_ptr() for p in [*model.parameters(), *model.buffers()]}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    def give(tensor: Any) -> Any:
        return tensor

    model.train()
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, give):
        outputs = model(
            batch.inputs, batch.at
        )  # held until the end of the block, so that no storage is counted in another's place
    model.eval()
    del outputs
    return sum(kept.values())
