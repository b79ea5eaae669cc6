"""Modality dropout."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from plait.tokens.tokens import Tokens

__all__ = ["Shares", "modality_dropout"]

Shares = float | Mapping[str, float]
"""How often modalities are hidden: all alike, or by name; those that are not named are not hidden."""


def modality_dropout(batch: Mapping[str, Tokens], share: Shares) -> dict[str, Tokens]:
    """Hide each modality of each item with probability ``share``, but never all modalities that an item has.

    ModDrop (Neverova et al. 2016, "ModDrop: adaptive multi-modal gesture recognition", section 4.2), of whole items.
    """
    shares = torch.tensor([share.get(m, 0.0) if isinstance(share, Mapping) else share for m in batch])
    present = torch.stack([t.present for t in batch.values()], 1)
    draw = torch.rand(present.shape)
    keep = (draw >= shares) & present
    # which one is kept matters only where all would be hidden: the one that is least so
    best = torch.where(present, draw - shares, -2.0).argmax(1)
    keep[torch.arange(len(keep)), best] |= present[torch.arange(len(keep)), best]
    return {m: Tokens(t.values, t.times, t.mask & keep[:, i : i + 1]) for i, (m, t) in enumerate(batch.items())}
