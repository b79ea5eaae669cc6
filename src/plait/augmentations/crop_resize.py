"""A random part of each item, stretched to the item's full length."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from plait.augmentations import Augmentation, Setting, Varied
from plait.core.errors import ConfigError
from plait.tokens import Instants, Tokens

__all__ = ["CropResize"]


class CropResize(Augmentation):
    """Crop up to ``share`` off each end of an item and stretch the rest to full length, equally in every modality.

    Modalities on a grid are interpolated linearly. Other modalities keep their values; their times are stretched, and
    values outside the crop are masked. The instants of the answers are stretched too. This is the random resized crop
    of Szegedy et al. 2015 ("Going deeper with convolutions"), in time.

    Args:
        share: largest share of the item cut off at each end, from 0 to below 0.5.

    Raises:
        ConfigError: ``share`` is out of range.
    """

    shared = True
    rank = 30

    def __init__(self, *, share: float = 0.1) -> None:
        if not 0 <= share < 0.5:
            raise ConfigError(f"crop_resize: share {share}; expected 0 or more, below 0.5.")
        self.share = share

    def __call__(self, batch: Mapping[str, Tokens], setting: Setting) -> dict[str, Tokens]:
        rows = len(next(iter(batch.values())).mask)
        left = torch.rand(rows, 1) * self.share
        right = 1 - torch.rand(rows, 1) * self.share
        # One length over all modalities, so that they stay aligned with each other.
        length = torch.stack([_last_time(t) for t in batch.values()]).amax(0)[:, None].clamp(min=1e-6)
        found = Varied(
            (m, _stretch(t, left, right) if m in setting.regular else _move(t, left * length, right * length, length))
            for m, t in batch.items()
        )
        found.at = None if setting.at is None else _moved(setting.at, left * length, right * length, length)
        return found


def _moved(at: Instants, left: Tensor, right: Tensor, length: Tensor) -> Instants:
    # An answer with a delay is asked after the end: it is not about what was cut off there.
    inside = (at.times >= left) & ((at.times <= right) | (at.times > length))
    scale = length / (right - left)
    if at.pairs is None:
        return Instants((at.times - left) * scale, at.mask & inside)
    # A relation is about the whole item; the rows of its objects are found by their times.
    pairs = at.pairs._replace(times=(at.pairs.times - left) * scale)
    return Instants((at.times - left) * scale, at.mask, pairs=pairs)


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
    # Interpolated values are known only where both neighbours are.
    kept = tokens.mask.gather(1, low) & (tokens.mask.gather(1, low + 1) | (weight[..., 0] < 1e-6))
    return Tokens(values, tokens.times, kept & (index <= last))


def _move(tokens: Tokens, left: Tensor, right: Tensor, length: Tensor) -> Tokens:
    inside = (tokens.times >= left) & (tokens.times <= right)
    mask = tokens.mask & inside
    # An item must not lose all its tokens: it is kept whole instead.
    mask = torch.where(mask.any(1, keepdim=True), mask, tokens.mask)
    return Tokens(tokens.values, (tokens.times - left) * (length / (right - left)), mask)
