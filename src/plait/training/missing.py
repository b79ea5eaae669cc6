"""Training that takes missing modalities for the ordinary case, and lets no modality starve the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from plait.models.model import Model
from plait.tokens import Tokens
from plait.tokens.dropout import modality_dropout

__all__ = ["dropout_now", "modality_distillation_loss", "ogm_ge", "self_distillation_loss"]


def dropout_now(drop: float | Sequence[float], epoch: int, epochs: int) -> float:
    """The share of modalities to hide in an epoch: a constant, or on a straight line from the first epoch to the last.

    >>> dropout_now(0.3, 5, 11), dropout_now([0.0, 0.5], 5, 11)
    (0.3, 0.25)
    """
    if isinstance(drop, int | float):
        return float(drop)
    first, last = drop
    return first + (last - first) * epoch / max(epochs - 1, 1)


def modality_distillation_loss(
    model: Model, encoded: Mapping[str, Tokens], target: Tensor, *, drop: float, weight: float
) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
    """Loss of the heads on all modalities, of the joint one on a part of them, and of how far its answers are apart.

    The teacher is the model itself with everything that the item has, and gets no gradient from the comparison
    (Hinton et al. 2015; from the full to the partial as in Garcia et al. 2018, "Modality distillation with multiple
    stream networks for action recognition", without a network of its own).

    Args:
        model: in training mode.
        encoded: from `Model.encode`, nothing hidden.
        target: from ``task.encode``, [batch].
        drop: how often each modality is hidden from the pupil.
        weight: of the comparison.

    Returns:
        The loss, and the outputs from everything, as `Model.learn` gives them.
    """
    whole, outputs = model.learn(encoded, target)
    partial = model.fused(modality_dropout(encoded, drop), outputs)
    apart = model.task.gap(partial, outputs[""].detach())
    return whole + (model.task.loss(partial, target) + weight * apart).mean(), outputs


def self_distillation_loss(
    model: Model, encoded: Mapping[str, Tokens], outputs: Mapping[str, Tensor]
) -> Float[Tensor, ""]:
    """How far the modalities' own answers are from the whole model's, which knows more than any of them.

    The teacher is the mix of all heads, made in the same pass, as in Lan et al. 2018, "Knowledge distillation by
    on-the-fly native ensemble"; it gets no gradient. Here the pupils see less than their teacher: each its own
    modality. The loss is 0 where there is nothing to teach: of a model without a joint head, or of one modality, whose
    mix is of the pupils alone; and of values, where a target says it all (a label says nothing of the other classes,
    the teacher does).

    Args:
        model: in training mode.
        encoded: from `Model.encode`, nothing hidden.
        outputs: from `Model.learn`.
    """
    if model.joint is None or len(model.modalities) == 1 or model.task.values:
        return outputs[""].new_zeros(())
    with torch.no_grad():
        whole = model.fusion.mix(*model.answers(encoded, outputs, outputs[""]))
    return model.own_loss(encoded, outputs, lambda out: model.task.gap(out, whole)).mean()


def ogm_ge(
    model: Model, outputs: Mapping[str, Tensor], target: Tensor, encoded: Mapping[str, Tokens], strength: float
) -> dict[str, float]:
    """Scale the gradients of each encoder by how far its modality is ahead; returns the factors.

    On-the-fly gradient modulation (Peng et al. 2022, "Balanced multimodal learning via on-the-fly gradient modulation",
    equations 8 to 10): ``1 - tanh(strength * ratio)`` where the modality's score is ``ratio`` > 1 times the other's,
    else 1. Departures: the score is the mean of ``exp(-loss)`` of the modality's own head, which for cross-entropy is
    the paper's probability of the true class and serves for any task; of more than two modalities each is compared
    with the mean of the others; the ratio less 1 counts, so that equals are not slowed down; no noise is added.

    Args:
        model: after the backward pass.
        outputs: from `Model.learn`.
        target: from ``task.encode``, [batch].
        encoded: what the outputs are of; items that lack a modality do not count for it.
        strength: 0 changes nothing.
    """
    with torch.no_grad():
        there = {m: t.present.float() for m, t in encoded.items() if bool(t.present.any())}
        each = {m: torch.exp(-model.task.loss(outputs[m], target)) for m in there}
        score = {m: float((each[m] * seen).sum() / seen.sum()) for m, seen in there.items()}
    factors = {}
    for m, own in score.items():
        rest = [s for other, s in score.items() if other != m]
        ratio = own * len(rest) / max(sum(rest), 1e-9) if rest else 1.0
        factors[m] = 1.0 - float(torch.tanh(torch.tensor(strength * max(ratio - 1.0, 0.0))))
        for weight in model.encoders[model.modalities.index(m)].parameters():
            if weight.grad is not None:
                weight.grad.mul_(factors[m])
    return factors
