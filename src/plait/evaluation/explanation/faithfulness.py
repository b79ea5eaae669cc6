"""Whether an attribution is true of the model: deletion and insertion, beside random orders and another model's.

Deletion: the parts are hidden, the most important first; the faster the answer goes, the better. Insertion: they are
shown, the most important first; the faster it comes, the better (Samek et al. 2017; Petsiuk, Das & Saenko 2018, "RISE",
section 4). An explanation must be of this model: the same method on a model with random weights (Adebayo et al. 2018,
"Sanity checks for saliency maps") must not give it.
"""

from __future__ import annotations

from copy import deepcopy
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from plait.evaluation.explanation.parts import Answer, Parts
from plait.models.model import Model

__all__ = ["Areas", "areas", "deletion_area", "order_of", "randomised"]


class Areas(NamedTuple):
    """Mean of what is left of the answer over the steps, [batch]: deletion (lower is better), insertion (higher)."""

    deletion: Float[Tensor, " batch"]
    insertion: Float[Tensor, " batch"]


def order_of(values: Float[Tensor, "batch parts"], parts: Parts) -> Int[Tensor, "batch parts"]:
    """The numbers of the parts of each item, the greatest value first; those that hold nothing last."""
    return torch.where(parts.there, values, -torch.inf).argsort(stable=True, dim=1, descending=True)


@torch.no_grad()
def areas(answer: Answer, parts: Parts, order: Int[Tensor, "batch parts"], *, steps: int = 10) -> Areas:
    """The areas under both curves, from all parts to none and from none to all; the ends are left out.

    Args:
        answer: what is explained.
        parts: the items.
        order: from `order_of`.
        steps: points of each curve.
    """
    return Areas(*(_area(answer, parts, order, steps, inverse) for inverse in (False, True)))


@torch.no_grad()
def deletion_area(
    answer: Answer, parts: Parts, order: Int[Tensor, "batch parts"], *, steps: int = 10
) -> Float[Tensor, " batch"]:
    """The first of `areas` alone, in half the time."""
    return _area(answer, parts, order, steps, inverse=False)


def _area(answer: Answer, parts: Parts, order: Tensor, steps: int, inverse: bool) -> Float[Tensor, " batch"]:
    count, rank, rows = parts.there.sum(1, keepdim=True), order.argsort(1), []
    for step in range(1, steps + 1):
        first = rank < (count * step / (steps + 1)).ceil()
        rows.append(answer.kept(parts.without(~first if inverse else first)))
    return torch.stack(rows).mean(0)


def randomised(model: Model, seed: int = 0) -> Model:
    """The same model with its weights drawn anew; what was fitted to the data's scale stays."""
    other = deepcopy(model)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for weight in other.parameters():
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=float(weight.std()) if weight.numel() > 1 else 1.0)
            elif weight.numel() > 1:
                weight.copy_(weight[torch.randperm(len(weight))])
    return other.eval()
