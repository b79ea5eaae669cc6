"""Attention flow between modalities over seconds: which share of the fused result comes from which part."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from plait.evaluation.explanation.parts import Parts
from plait.models.model import Model

__all__ = ["WARNING", "attention_flow"]

WARNING = "attention is not evidence: a model may attend to what does not move its answer"
"""To be said beside every such figure: Jain & Wallace 2019, "Attention is not explanation" (NAACL)."""


def attention_flow(model: Model, parts: Parts) -> Float[Tensor, "batch parts"] | None:
    """The share of the fused result's attention that each part of each modality has, all together 1.

    By rollout (`plait.tokens.rollout`) from the fused result to the encoders' tokens, each at its own time. Encoders
    that look around, such as recurrent ones, have mixed earlier and later seconds into a token before. The modalities'
    own heads, which may answer too, are not in it.

    Args:
        model: in evaluation mode.
        parts: of the items.

    Returns:
        None where the model's fusion has no attention between modalities.
    """
    with torch.no_grad():
        encoded = model.backbone.encode(parts.tokens)
        found = model.backbone.flow(encoded)
    if found is None:
        return None
    whole = torch.zeros(len(parts.seconds), len(parts.names), parts.bins)
    for i, m in enumerate(parts.names):
        if m in found and found[m].shape[1]:
            place = (encoded[m].times / parts.seconds[:, None] * parts.bins).long().clamp(0, parts.bins - 1)
            whole[:, i].scatter_add_(1, place, found[m].float())
    return whole.flatten(1)
