"""What a model costs: processor seconds per item, and the memory of a training step."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from plait.evaluation.examined import score_subsets
from plait.examples.data import Batch, ItemData
from plait.models.model import Model

__all__ = ["item_seconds", "step_bytes"]

COPIES = 4
"""Weights, their gradients, and the two moments that AdamW keeps."""


def item_seconds(model: Model, data: ItemData) -> float:
    """Processor seconds per item: from prepared features to scores, with all modalities, in batches of 64."""
    # Processor time, not the clock on the wall: other jobs on the machine do not count.
    started = time.process_time()
    score_subsets(model, data, [tuple(model.modalities)])
    return (time.process_time() - started) / max(len(data), 1)


def step_bytes(model: Model, data: ItemData, batch: int) -> int:
    """Bytes that a training step must hold at least, for the ``batch`` longest items; the same on every machine.

    Counted are the weights, their gradients, the optimiser's moments, and what the forward pass keeps for the backward
    pass, each storage once. What a layer holds for a moment only is not counted. The model is run in training mode, so
    its running statistics, if it has any, change.
    """
    longest = sorted(range(len(data)), key=lambda i: -data.lengths[i])[:batch]
    asked = data.batch(sorted(longest), {m: model.dims[m] for m in data.modalities})
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return COPIES * weights + _kept(model, asked)


def _kept(model: Model, batch: Batch) -> int:
    # The hooks see weights too, which are counted already; views of one tensor share their storage.
    own = {p.untyped_storage().data_ptr() for p in [*model.parameters(), *model.buffers()]}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    def give(tensor: Tensor) -> Tensor:
        return tensor

    model.train()
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, give):
        # Held until the end of the block: a storage that is freed may give its address to another.
        outputs = model(batch.inputs, batch.at)
    model.eval()
    del outputs
    return sum(kept.values())
