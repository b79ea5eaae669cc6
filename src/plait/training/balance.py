"""Balance: how far each head of a trained model is to be trusted, told by items that it was not trained on.

A head that has learnt its training items by heart is surer than it should be, and drowns the others in the sum.
So each addend of the output gets one factor, fitted on the validation part: temperature scaling (Guo et al. 2017,
"On calibration of modern neural networks") with a temperature for every head instead of one for the sum. A modality's
own head gets a second one for the items that have nothing else, fitted as if no item had.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from plait.model import Model, trusted
from plait.training.data import ItemData, loader

__all__ = ["fit_balance"]

ROUNDS = 200
"""Steps of Adam on a handful of numbers; more change nothing."""


def fit_balance(model: Model, views: Sequence[ItemData], shares: Sequence[float] | None = None) -> list[float]:
    """Set ``model.balance`` and ``model.alone`` to the factors of least loss over all views; returns them, one list.

    Args:
        model: trained; nothing but the factors changes.
        views: the validation items as they are, and with whatever noise training knew, so that the factors
            suit both.
        shares: how much each view counts; all alike by default.
    """
    model.eval()
    tables = [_answers(model, view) for view in views]
    target = torch.cat([view.targets for view in views])
    counts = torch.tensor([len(view) for view in views])
    weight = torch.tensor(list(shares or [1.0] * len(views))).repeat_interleave(counts)
    outputs, weights, there = (torch.cat(parts, 1) for parts in zip(*tables))
    free = torch.zeros(len(outputs) + len(there), requires_grad=True)
    optimizer = torch.optim.Adam([free], lr=0.05)
    for _ in range(ROUNDS):
        optimizer.zero_grad()
        balance, alone = free.exp().split([len(outputs), len(there)])
        each = [model.task.loss(model.fusion.mix(trusted(outputs, there, balance, alone), weights), target)]
        each += [seen * model.task.loss(one * own, target) for one, own, seen in zip(alone, outputs, there)]
        # a pull towards 1 that one item in a hundred would outweigh: heads that hardly matter stay as they are
        loss = (weight * torch.stack(each)).sum() / weight.sum() + 0.01 * free.square().mean()
        loss.backward()
        optimizer.step()
    model.balance, model.alone = free.detach().exp().split([len(outputs), len(there)])
    return [*model.balance.tolist(), *model.alone.tolist()]


def _answers(model: Model, view: ItemData) -> tuple[Tensor, Tensor, Tensor]:
    """For every item the heads' outputs [heads, items, width], their weights [heads, items], and which modalities are
    there [modalities, items]."""
    rows = []
    with torch.inference_mode():
        for tokens, _, _ in loader(view, model.dims, batch=64):
            encoded = model.encode(tokens)
            there = torch.stack([encoded[m].present for m in model.modalities])
            rows.append((*model.answers(encoded, model.own(encoded)), there))
    outputs, weights, present = (torch.cat(parts, 1).clone() for parts in zip(*rows))
    return outputs, weights, present
