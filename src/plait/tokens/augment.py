"""What training varies, on whole batches: shared crop and resize, turns, gain, noise, modality dropout.

All randomness is torch's own generator, which the trainer seeds an epoch.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from plait.tokens.tokens import Tokens

__all__ = ["crop_resize", "gaussian_noise", "modality_dropout", "random_gain", "rotate"]


def crop_resize(batch: Mapping[str, Tokens], share: float, regular: Collection[str]) -> dict[str, Tokens]:
    """Crop up to ``share`` off each end of an item and stretch the rest back, alike in every modality.

    Modalities in ``regular`` (those on a grid) are interpolated linearly; the others keep their values,
    their times are stretched, and what falls outside the crop is masked.
    """
    rows = len(next(iter(batch.values())).mask)
    left = torch.rand(rows, 1) * share
    right = 1 - torch.rand(rows, 1) * share
    length = torch.stack([_last_time(t) for t in batch.values()]).amax(0)[:, None].clamp(min=1e-6)
    return {
        m: _stretch(t, left, right) if m in regular else _move(t, left * length, right * length, length)
        for m, t in batch.items()
    }


def _last_time(tokens: Tokens) -> Tensor:
    if tokens.mask.shape[1] == 0:
        return tokens.times.new_zeros(len(tokens.mask))
    return torch.where(tokens.mask, tokens.times, 0.0).amax(1)


def _stretch(tokens: Tokens, left: Tensor, right: Tensor) -> Tokens:
    steps = tokens.mask.shape[1]
    if steps < 2:
        return tokens
    index = torch.arange(steps)
    last = torch.where(tokens.mask, index, 0).amax(1, keepdim=True)
    place = left * last + (right - left) * index
    low = place.floor().long().clamp(max=steps - 2)
    weight = (place - low).clamp(0, 1)[..., None]
    pick = low[..., None].expand(-1, -1, tokens.dim)
    values = tokens.values.gather(1, pick) * (1 - weight) + tokens.values.gather(1, pick + 1) * weight
    kept = tokens.mask.gather(1, low) & (tokens.mask.gather(1, low + 1) | (weight[..., 0] < 1e-6))
    return Tokens(values, tokens.times, kept & (index <= last))


def _move(tokens: Tokens, left: Tensor, right: Tensor, length: Tensor) -> Tokens:
    inside = (tokens.times >= left) & (tokens.times <= right)
    mask = tokens.mask & inside
    mask = torch.where(mask.any(1, keepdim=True), mask, tokens.mask)
    return Tokens(tokens.values, (tokens.times - left) * (length / (right - left)), mask)


def random_gain(tokens: Tokens, share: float) -> Tokens:
    """Multiply each item by a factor drawn from 1 - share .. 1 + share."""
    factor = 1 + share * (2 * torch.rand(len(tokens.mask), 1, 1) - 1)
    return tokens.with_values(tokens.values * factor)


def rotate(tokens: Tokens, degrees: float, axis: str) -> Tokens:
    """Turn every triple of columns (x, y, z) of an item by one random angle up to ``degrees``.

    About x, y or z, or (``any``) about an axis drawn evenly from the sphere. The width must be a multiple of 3.
    """
    rows = len(tokens.mask)
    if axis == "any":
        about = torch.nn.functional.normalize(torch.randn(rows, 3), dim=-1)
    else:
        about = torch.eye(3)["xyz".index(axis)].expand(rows, 3)
    angle = (2 * torch.rand(rows) - 1) * math.radians(degrees)
    turned = tokens.values.unflatten(-1, (-1, 3)) @ _rotation(about, angle)[:, None]
    return tokens.with_values(turned.flatten(-2))


def _rotation(axis: Tensor, angle: Tensor) -> Tensor:
    """Rodrigues' formula, [rows, 3, 3]."""
    x, y, z = axis.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))
    sine, cosine = angle.sin()[:, None, None], angle.cos()[:, None, None]
    return torch.eye(3) + sine * cross + (1 - cosine) * (cross @ cross)


def gaussian_noise(tokens: Tokens, spread: Tensor, amount: float) -> Tokens:
    """Add white noise of ``amount`` times each column's standard deviation ``spread`` [dim]."""
    return tokens.with_values(tokens.values + amount * spread * torch.randn_like(tokens.values))


def modality_dropout(batch: Mapping[str, Tokens], share: float) -> dict[str, Tokens]:
    """Hide each modality of each item with probability ``share``; one that is there always stays."""
    present = torch.stack([t.present for t in batch.values()], 1)
    draw = torch.rand(present.shape)
    keep = (draw >= share) & present
    best = torch.where(present, draw, -1.0).argmax(1)
    keep[torch.arange(len(keep)), best] |= present[torch.arange(len(keep)), best]
    return {m: Tokens(t.values, t.times, t.mask & keep[:, i : i + 1]) for i, (m, t) in enumerate(batch.items())}
