"""Modality dropout."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from plait.tokens.tokens import Tokens

__all__ = ["modality_dropout"]


def modality_dropout(batch: Mapping[str, Tokens], share: float) -> dict[str, Tokens]:
    """Hide each modality of each item with probability ``share``, but never all modalities that an item has."""
    present = torch.stack([t.present for t in batch.values()], 1)
    draw = torch.rand(present.shape)
    keep = (draw >= share) & present
    # the largest draw is the last to fall below `share`: keeping it matters only where all would be hidden
    best = torch.where(present, draw, -1.0).argmax(1)
    keep[torch.arange(len(keep)), best] |= present[torch.arange(len(keep)), best]
    return {m: Tokens(t.values, t.times, t.mask & keep[:, i : i + 1]) for i, (m, t) in enumerate(batch.items())}
