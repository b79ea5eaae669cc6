"""Calibrate the heads of a trained model on items that it was not trained on.

A head that has overfitted its training items is too confident, and its logits dominate the sum. So each term of the sum
gets one factor, fitted on the validation part: temperature scaling (Guo et al. 2017, "On calibration of modern neural
networks") with one temperature per head instead of one for the sum. These factors minimise the training loss, so that
they weigh the heads as training did.

The training loss has label smoothing, and a mean of heads, or of two models, is less confident than each of them. So
the answer gets the paper's temperature, and each modality gets one for items that have no other modality. Both minimise
the negative log-likelihood of the plain labels, together with the share of a wide part. Temperatures do not change the
ranking of classes. If all held-out items are right, the likelihood has no maximum; as in Platt 1999, "Probabilistic
outputs for support vector machines", labels are smoothed as if there were one more item, and it were wrong.
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

__all__ = ["fit_postprocessing", "fit_temperatures"]

PULL = 1.0
"""Weight, in items, of the prior on temperatures and on a wide part's share."""

EVEN, STEEP = 64, 2.0
"""Prior of a wide part's share: with EVEN held-out items it is one half, and its odds are (EVEN / items) ** STEEP.
Deep heads gain more from each item than a wide part does. This includes the held-out items: the model that is judged
here has not seen them, the one that answers has."""


def fit_temperatures(
    model: Model, views: Sequence[ItemData], shares: Sequence[float] | None = None, *, ranking: bool = True
) -> list[float]:
    """Set ``head_scales``, ``wide_weight`` and ``temperature`` of a model to the factors of least loss over all views;
    returns them as one list.

    Args:
        model: a trained model; only its factors change.
        views: the held-out items, clean and with each noise of the training, so that the factors suit both.
        shares: weight of each view; equal by default.
        ranking: whether the heads' relative weights are fitted too; if not, ``head_scales`` stays 1.
    """
    model.eval()
    for name in FACTORS:
        model.factor(name).fill_(float(name != "wide_weight"))
    if model.task.gathers:  # what is read has no scale of its own
        return [float(x) for name in FACTORS for x in model.factor(name).reshape(-1)]
    target = torch.cat([view.targets for view in views])
    target = target.double() if target.is_floating_point() else target
    counts = torch.tensor([len(view) for view in views])
    weight = torch.tensor(list(shares or [1.0] * len(views)), dtype=torch.float64).repeat_interleave(counts)
    weight /= weight.sum()
    if ranking:
        _fit_heads(model, views, target, weight)
    _fit_answer(model, views, target, weight)
    return [float(x) for name in FACTORS for x in model.factor(name).reshape(-1)]


@torch.no_grad()
def fit_postprocessing(model: Model, valid: ItemData) -> None:
    """Let the task of a calibrated model choose its post-processing by held-out items.

    By clean items, answered from each modality alone and from all: one choice must suit every subset.
    """
    model.eval()
    subsets = [*([m] for m in model.modalities if len(model.modalities) > 1), None]
    rows = [[model.forward_subset(e, only, at)[""] for only in subsets] for e, at in _encoded(model, [valid])]
    joined = model.task.joined
    output, count, at = joined([joined(parts) for parts in zip(*rows)]), len(subsets), valid.asked.at
    often = None if at is None else Instants(at.times.repeat(count, 1), at.mask.repeat(count, 1))
    model.task.fit_postprocessing(output, torch.cat([valid.targets] * count), often)


def _fit_heads(model: Model, views: Sequence[ItemData], target: Tensor, weight: Tensor) -> None:
    outputs, weights, several = _of_heads(model, views)
    weight = weight * several  # items of one modality have one head: no relative weight to fit
    # Logarithms of the factors: they stay above 0, and halving is as far from 1 as doubling.
    free = torch.zeros(len(outputs), dtype=torch.float64, requires_grad=True)
    # Over time a loss may hold more than the likelihood of the outputs, such as a decoder's.
    measure = model.task.nll if outputs.ndim > 3 else model.task.loss

    def loss() -> Tensor:
        mixed = model.aggregate(outputs, weights, free.exp())
        # A weak pull to 1: heads that agree leave their relative factors undetermined.
        return (weight * measure(mixed, target)).sum() + 0.01 * free.square().mean()

    least(loss, [free])
    model.ensemble.head_scales.copy_(free.detach().exp())


def _fit_answer(model: Model, views: Sequence[ItemData], target: Tensor, weight: Tensor) -> None:
    deep, wide, there = _of_models(model, views)
    held_out, kinds = len(views[0]), len(model.modalities)
    odds, doubt = STEEP * math.log(EVEN / held_out), 1 / (held_out + 2)
    free = torch.zeros(2, kinds + 1, dtype=torch.float64, requires_grad=True)
    kept = torch.ones(kinds + 1, dtype=torch.float64)
    kept[-1] = float(not model.task.is_numeric)  # of values the heads' factors fix the size already

    def factors() -> tuple[Tensor, Tensor]:
        """Shares in (0, 1) from their log odds; temperatures above 0 from their logarithms."""
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
    """The heads' outputs, [heads, items, width], their weights, [heads, items], and whether an item has several
    modalities, [items]; of all views, one after another."""
    rows = []
    for encoded, at in _encoded(model, views):
        outputs, weights = model.head_logits(encoded, model.ensemble.unimodal(encoded, at), at)
        rows.append((outputs, weights, model.backbone.there(encoded).sum(0, keepdim=True) > 1))
    outputs, weights, several = (torch.cat(parts, 1) for parts in zip(*rows))
    return outputs.double(), weights.double(), several[0]


@torch.no_grad()
def _of_models(model: Model, views: Sequence[ItemData]) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs of the deep heads together and of the wide part (without one, the same), [modalities + 1, items, width]:
    from each modality alone, then from all; and which modalities an item has, [modalities, items]."""
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
