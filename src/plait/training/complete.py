"""What heads fix before training by gradient, and solve in closed form once it is over."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from plait.examples.data import ItemData, loader
from plait.models.ensemble import Encoded
from plait.models.model import Model
from plait.tasks import Task

__all__ = ["begin", "complete"]


@torch.no_grad()
def begin(model: Model, train: ItemData) -> None:
    """Let the task of a fresh model fix what its heads need (`plait.tasks.Task.begin`).

    Args:
        model: its heads may change.
        train: the training items, without augmentation.
    """
    if type(model.task).begin is not Task.begin:
        model.task.begin(_heads(model), _encoded(model, train))


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
    encoded = _encoded(model, train)
    held_out = None
    if valid is not None:
        held_out = partial(_answers, model, _encoded(model, valid)), valid.targets
    model.task.complete(_heads(model), encoded, partial(_answers, model, encoded), held_out)


def _answers(model: Model, encoded: Sequence[Encoded]) -> Tensor:
    return torch.cat([model.answer(part) for part in encoded])


def _heads(model: Model) -> dict[str, nn.Module]:
    return dict(zip(model.modalities, model.ensemble.heads))


def _encoded(model: Model, data: ItemData) -> list[Encoded]:
    model.eval()
    return [model.encode(batch.inputs) for batch in loader(data, model.dims, batch=64)]
