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

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from plait.ensemble import blended, tempered, trusted
from plait.model import FACTORS, Model
from plait.training.data import ItemData, loader

__all__ = ["fit_balance"]

ROUNDS = 200
"""Steps of Adam on a handful of numbers; more change nothing."""

PULL = 1.0
"""How many items' evidence weighs as much as what is thought beforehand of a wide part's share."""

EVEN, STEEP = 64, 2.0
"""Held-out items at which a wide part is thought to be worth as much as the deep heads, and how fast that changes: the
odds of its share are EVEN / items to this power. Deep heads gain more by every item than a wide part does, also by the
held-out ones themselves, which the model that is judged here has not seen and the one that answers has."""


def fit_balance(
    model: Model, views: Sequence[ItemData], shares: Sequence[float] | None = None, *, ranking: bool = True
) -> list[float]:
    """Set ``balance``, ``alone``, ``temperature`` and ``share`` of a model to the factors of least loss over all views;
    returns them, one list.

    Args:
        model: trained; nothing but the factors changes.
        views: the held-out items as they are, and with whatever noise training knew, so that the factors suit both.
        shares: how much each view counts; all alike by default.
        ranking: whether the heads' weight beside each other is fitted too; if not, ``balance`` stays 1.
    """
    model.eval()
    seen = [_answers(model, view) for view in views]
    outputs, weights, there, wide = (torch.cat([getattr(s, name) for s in seen], 1) for name in _Answers._fields)
    target, doubt = torch.cat([view.targets for view in views]), 1 / (len(views[0]) + 2)
    counts = torch.tensor([len(view) for view in views])
    weight = torch.tensor(list(shares or [1.0] * len(views))).repeat_interleave(counts)
    heads, kinds, odds = len(outputs), len(there), STEEP * math.log(EVEN / len(views[0]))
    wider = float(model.wide is not None)
    sizes = [heads, kinds, 1, kinds + 1]
    free = torch.zeros(sum(sizes), requires_grad=True)
    kept, pull = torch.ones(sum(sizes)), torch.full((sum(sizes),), 0.01 / sum(sizes))
    kept[:heads], kept[heads + kinds] = float(ranking), float(not model.task.values)  # values have no temperature
    pull[heads:] += wider * PULL / len(views[0])
    optimizer = torch.optim.Adam([free], lr=0.05)

    def factors() -> tuple[Tensor, ...]:
        """Balance, alone and temperature are above 0, at the start 1; shares are between 0 and 1, by their odds."""
        *logs, share = (free * kept).split(sizes)
        return (*(x.exp() for x in logs), wider * (share + odds).sigmoid())

    for _ in range(ROUNDS):
        optimizer.zero_grad()
        balance, alone, heat, share = factors()
        mixed = model.fusion.mix(trusted(outputs, there, balance, alone), weights)
        each = [model.task.loss(mixed, target)]
        for i in range(kinds):
            own = torch.lerp(alone[i] * outputs[i], wide[i], share[i])
            each.append(there[i] * model.task.nll(own, target, doubt))
        whole = blended(tempered(mixed.detach(), there, heat[0]), wide[-1], there, share)
        each.append(model.task.nll(whole, target, doubt))
        loss = (weight * torch.stack(each)).sum() / weight.sum() + (pull * free.square()).sum()
        loss.backward()
        optimizer.step()
    model.balance, model.alone, heat, model.share = (x.detach() for x in factors())
    model.temperature = heat[0]
    return [float(x) for name in FACTORS for x in model.get_buffer(name).reshape(-1)]


class _Answers(NamedTuple):
    """What a model says of items.

    Attributes:
        outputs: of its heads, [heads, items, width].
        weights: of its heads, [heads, items].
        there: which modalities are, [modalities, items].
        wide: what the wide part says from each modality alone, and from all, [modalities + 1, items, width]; zeros
            where there is none.
    """

    outputs: Tensor
    weights: Tensor
    there: Tensor
    wide: Tensor


@torch.inference_mode()
def _answers(model: Model, view: ItemData) -> _Answers:
    rows = []
    for tokens, _, _ in loader(view, model.dims, batch=64):
        encoded = model.encode(tokens)
        outputs, weights = model.answers(encoded, model.own(encoded))
        there = model.there(encoded)
        wide = outputs.new_zeros(len(there) + 1, *outputs.shape[1:])
        if model.wide is not None and encoded.wide is not None:
            subsets = [*([m] for m in model.modalities), None]
            wide = torch.stack([model.wide.combine(encoded.wide, only)[""] for only in subsets])
        rows.append((outputs, weights, there, wide))
    return _Answers(*(torch.cat(parts, 1).clone() for parts in zip(*rows)))
