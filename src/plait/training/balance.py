"""Balance: how far each head of a trained model is to be trusted, told by items that it was not trained on.

A head that has learnt its training items by heart is surer than it should be, and drowns the others in the sum.
So each addend of the output gets one factor, fitted on the validation part: temperature scaling (Guo et al. 2017,
"On calibration of modern neural networks") with a temperature for every head instead of one for the sum. These factors
are fitted by the loss that the heads learnt by, so that they weigh the heads as training did.

That loss asks for less than certainty (label smoothing), and a mean of heads is less sure than any of them. So two more
make the answer as sure as it is right: the sum gets the temperature of the paper, and a modality's own head one for
the items that have nothing else, both by the likelihood of the labels as they are. They change no ranking of classes.
Where all held-out items are right the likelihood knows no end; as in Platt 1999, "Probabilistic outputs for support
vector machines", each label is doubted as if one item more had been seen, and been wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from plait.model import Model, tempered, trusted
from plait.training.data import ItemData, loader

__all__ = ["fit_balance"]

ROUNDS = 200
"""Steps of Adam on a handful of numbers; more change nothing."""


def fit_balance(
    model: Model, views: Sequence[ItemData], shares: Sequence[float] | None = None, *, ranking: bool = True
) -> list[float]:
    """Set ``balance``, ``alone`` and ``temperature`` of a model to the factors of least loss over all views; returns
    them, one list.

    Args:
        model: trained; nothing but the factors changes.
        views: the held-out items as they are, and with whatever noise training knew, so that the factors suit both.
        shares: how much each view counts; all alike by default.
        ranking: whether the heads' weight beside each other is fitted too; if not, ``balance`` stays 1, and no answer
            of classes changes but in how sure it is.
    """
    model.eval()
    outputs, weights, there = (torch.cat(parts, 1) for parts in zip(*(_answers(model, view) for view in views)))
    target, doubt = torch.cat([view.targets for view in views]), 1 / (len(views[0]) + 2)
    counts = torch.tensor([len(view) for view in views])
    weight = torch.tensor(list(shares or [1.0] * len(views))).repeat_interleave(counts)
    sizes = [len(outputs), len(there), 1]
    free = torch.zeros(sum(sizes), requires_grad=True)
    kept = torch.ones(sum(sizes))
    kept[: sizes[0]] = float(ranking)
    optimizer = torch.optim.Adam([free], lr=0.05)
    for _ in range(ROUNDS):
        optimizer.zero_grad()
        balance, alone, heat = (free * kept).exp().split(sizes)
        mixed = model.fusion.mix(trusted(outputs, there, balance, alone), weights)
        each = [model.task.loss(mixed, target)]
        each += [seen * model.task.nll(one * own, target, doubt) for one, own, seen in zip(alone, outputs, there)]
        if not model.task.values:
            each.append(model.task.nll(tempered(mixed.detach(), there, heat[0]), target, doubt))
        # a pull towards 1 that one item in a hundred would outweigh: heads that hardly matter stay as they are
        loss = (weight * torch.stack(each)).sum() / weight.sum() + 0.01 * free.square().mean()
        loss.backward()
        optimizer.step()
    found = (free.detach() * kept).exp()
    model.balance, model.alone = found[: sizes[0]], found[sizes[0] : -1]
    model.temperature = found[-1]
    return found.tolist()


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
