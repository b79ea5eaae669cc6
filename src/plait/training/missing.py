"""Training for missing modalities, and against one modality that suppresses the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from plait.models.model import Model
from plait.tasks.view import View
from plait.tokens.dropout import Shares

__all__ = ["dropout_now", "ogm_ge"]

Plan = float | Sequence[float]
"""A share, or those of the first epoch and the last."""


def dropout_now(drop: Plan | Mapping[str, Plan], epoch: int, epochs: int) -> Shares:
    """The share of modalities to hide in an epoch: a constant, or linear from the first epoch to the last; of all, or
    by modality.

    >>> dropout_now(0.3, 5, 11), dropout_now([0.0, 0.5], 5, 11)
    (0.3, 0.25)
    >>> dropout_now({"imu": [0.0, 0.5]}, 5, 11)
    {'imu': 0.25}
    """
    if isinstance(drop, Mapping):
        return {m: _now(own, epoch, epochs) for m, own in drop.items()}
    return _now(drop, epoch, epochs)


def _now(drop: Plan, epoch: int, epochs: int) -> float:
    if isinstance(drop, int | float):
        return float(drop)
    first, last = drop
    # epochs - 1, so that the last epoch has the last share; max, since training may have one epoch.
    return first + (last - first) * epoch / max(epochs - 1, 1)


def ogm_ge(model: Model, view: View, target: Tensor, strength: float) -> dict[str, float]:
    """Scale down the gradients of an encoder whose modality is ahead of the others; returns the factors.

    On-the-fly gradient modulation (Peng et al. 2022, "Balanced multimodal learning via on-the-fly gradient modulation",
    equations 8 to 10): ``1 - tanh(strength * ratio)`` where the modality's score is ``ratio`` > 1 times the other's,
    else 1. Departures: the score is the mean of ``exp(-loss)`` of the modality's own head, which for cross-entropy is
    the paper's probability of the true class and serves for any task; of more than two modalities each is compared
    with the mean of the others; the ratio less 1 counts, so that equals are not slowed down; no noise is added.

    Args:
        model: after the backward pass.
        view: the batch that the loss was computed on; items that lack a modality do not count for it.
        target: from ``task.encode``, [batch].
        strength: 0 changes nothing.
    """
    with torch.no_grad():
        there = {m: t.present.float() for m, t in view.encoded.items() if bool(t.present.any())}
        each = {m: torch.exp(-model.task.loss(view.unimodal[m], target)) for m in there}
        score = {m: float((each[m] * seen).sum() / seen.sum()) for m, seen in there.items()}
    factors = {}
    for m, own in score.items():
        rest = [s for other, s in score.items() if other != m]
        ratio = own * len(rest) / max(sum(rest), 1e-9) if rest else 1.0
        factors[m] = 1.0 - float(torch.tanh(torch.tensor(strength * max(ratio - 1.0, 0.0))))
        for weight in model.backbone.encoders[model.modalities.index(m)].parameters():
            if weight.grad is not None:
                weight.grad.mul_(factors[m])
    return factors
