"""Balance: how far each head of a trained model is to be trusted, told by items that it was not trained on.

A head that has learnt its training items by heart is surer than it should be, and drowns the others in the sum.
So each addend of the output gets one factor, fitted on the validation part: temperature scaling (Guo et al. 2017,
"On calibration of modern neural networks") with a temperature for every head instead of one for the sum. These factors
are fitted by the loss that the heads learnt by, so that they weigh the heads as training did.

That loss asks for less than certainty (label smoothing), and a mean of heads, or of two models, is less sure than any
of them. So the answer gets the temperature of the paper, and a modality one for the items that have nothing else, both
by the likelihood of the labels as they are; together with the share of a wide part. Temperatures change no ranking of
classes. Where all held-out items are right the likelihood knows no end; as in Platt 1999, "Probabilistic outputs for
support vector machines", each label is doubted as if one item more had been seen, and been wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from plait.examples.data import ItemData, loader
from plait.models.ensemble import Encoded, by_company, ensembled
from plait.models.model import FACTORS, Model
from plait.tokens import Instants
from plait.training.least import least

__all__ = ["fit_temperatures"]

PULL = 1.0
"""How many items' evidence weighs as much as what is thought beforehand of temperatures and of a wide part's share."""

EVEN, STEEP = 64, 2.0
"""Held-out items at which a wide part is thought to be worth as much as the deep heads, and how fast that changes: the
odds of its share are EVEN / items to this power. Deep heads gain more by every item than a wide part does, also by the
held-out ones themselves, which the model that is judged here has not seen and the one that answers has."""


def fit_temperatures(
    model: Model, views: Sequence[ItemData], shares: Sequence[float] | None = None, *, ranking: bool = True
) -> list[float]:
    """Set ``head_scales``, ``share`` and ``temperature`` of a model to the factors of least loss over all views;
    returns them, one list.

    Args:
        model: trained; nothing but the factors changes.
        views: the held-out items as they are, and with whatever noise training knew, so that the factors suit both.
        shares: how much each view counts; all alike by default.
        ranking: whether the heads' weight beside each other is fitted too; if not, ``head_scales`` stays 1.
    """
    model.eval()
    for name in FACTORS:
        model.factor(name).fill_(float(name != "wide_weight"))
    target = torch.cat([view.targets for view in views])
    target = target.double() if target.is_floating_point() else target
    counts = torch.tensor([len(view) for view in views])
    weight = torch.tensor(list(shares or [1.0] * len(views)), dtype=torch.float64).repeat_interleave(counts)
    weight /= weight.sum()
    if ranking:
        _fit_heads(model, views, target, weight)
    _fit_answer(model, views, target, weight)
    return [float(x) for name in FACTORS for x in model.factor(name).reshape(-1)]


def _fit_heads(model: Model, views: Sequence[ItemData], target: Tensor, weight: Tensor) -> None:
    outputs, weights, several = _of_heads(model, views)
    weight = weight * several  # where one modality is alone its head has no other beside it
    free = torch.zeros(len(outputs), dtype=torch.float64, requires_grad=True)

    def loss() -> Tensor:
        mixed = model.aggregate(outputs, weights, free.exp())
        return (weight * model.task.loss(mixed, target)).sum() + 0.01 * free.square().mean()

    least(loss, [free])
    model.ensemble.head_scales.copy_(free.detach().exp())


def _fit_answer(model: Model, views: Sequence[ItemData], target: Tensor, weight: Tensor) -> None:
    deep, wide, there = _of_models(model, views)
    held_out, kinds = len(views[0]), len(model.modalities)
    odds, doubt = STEEP * math.log(EVEN / held_out), 1 / (held_out + 2)
    free = torch.zeros(2, kinds + 1, dtype=torch.float64, requires_grad=True)
    kept = torch.ones(kinds + 1, dtype=torch.float64)
    kept[-1] = float(not model.task.is_numeric)  # how large the value of several is, their heads' factors say

    def factors() -> tuple[Tensor, Tensor]:
        """Shares are between 0 and 1, by their odds; temperatures are above 0."""
        return (free[0] + odds).sigmoid(), (kept * free[1]).exp()

    def loss() -> Tensor:
        share, heat = factors()
        rows = [(share[i], heat[i], there[i]) for i in range(kinds)]
        rows.append((by_company(share, there), by_company(heat, there), torch.ones_like(there[0])))
        each = torch.zeros_like(weight)
        for i, (part, over, seen) in enumerate(rows):
            answer = ensembled(deep[i], wide[i], part, over)
            each = each + seen * model.task.nll(answer, target, doubt)
        return (weight * each).sum() + PULL / held_out * free.square().sum()

    least(loss, [free])
    share, heat = (x.detach() for x in factors())
    model.wide_weight.copy_(share if model.wide is not None else 0 * share)
    model.temperature.copy_(heat)


@torch.no_grad()
def _of_heads(model: Model, views: Sequence[ItemData]) -> tuple[Tensor, Tensor, Tensor]:
    """What the heads say, [heads, items, width], their weights, [heads, items], and where several modalities are there,
    [items]; of all views, one after another."""
    rows = []
    for encoded, at in _encoded(model, views):
        outputs, weights = model.head_logits(encoded, model.ensemble.unimodal(encoded, at), at)
        rows.append((outputs, weights, model.backbone.there(encoded).sum(0, keepdim=True) > 1))
    outputs, weights, several = (torch.cat(parts, 1) for parts in zip(*rows))
    return outputs.double(), weights.double(), several[0]


@torch.no_grad()
def _of_models(model: Model, views: Sequence[ItemData]) -> tuple[Tensor, Tensor, Tensor]:
    """What the deep heads together say, and what the wide part does (where there is none, the same), [modalities + 1,
    items, width]: from each modality alone, then from all; and which modalities are there, [modalities, items]."""
    rows = []
    for encoded, at in _encoded(model, views):
        said = [model.opinions(encoded, only, at)[:2] for only in (*([m] for m in model.modalities), None)]
        own = [(one, one if other is None else other) for one, other in said]
        stacks = (torch.stack([one[k] for one in own]) for k in (0, 1))
        rows.append((*stacks, model.backbone.there(encoded)))
    deep, wide, there = (torch.cat(parts, 1) for parts in zip(*rows))
    return deep.double(), wide.double(), there


def _encoded(model: Model, views: Sequence[ItemData]) -> Iterator[tuple[Encoded, Instants | None]]:
    for view in views:
        for batch in loader(view, model.dims, batch=64):
            yield model.encode(batch.inputs), batch.at
