"""What the heads of a trained model solve in closed form, once training by gradient is over."""

from __future__ import annotations

import torch
from torch import Tensor

from plait.examples.data import ItemData, loader
from plait.models.model import Model
from plait.tasks import Task

__all__ = ["complete"]


@torch.no_grad()
def complete(model: Model, train: ItemData, valid: ItemData | None) -> None:
    """Let the task of a trained model complete its heads (`plait.tasks.Task.complete`).

    Args:
        model: its heads may change.
        train: the training items, without augmentation.
        valid: the validation items; None: there are none.
    """
    if type(model.task).complete is Task.complete:
        return
    model.eval()
    heads = dict(zip(model.modalities, model.ensemble.heads))
    encoded = [model.encode(batch.inputs) for batch in loader(train, model.dims, batch=64)]
    kept = None if valid is None else [(model.encode(b.inputs), b.at) for b in loader(valid, model.dims, batch=64)]

    def held_out() -> tuple[Tensor, Tensor]:
        if valid is None or kept is None:
            raise ValueError("asked only where there are validation items")
        return torch.cat([model.answer(one, at=at) for one, at in kept]), valid.targets

    model.task.complete(heads, encoded, None if kept is None else held_out)
