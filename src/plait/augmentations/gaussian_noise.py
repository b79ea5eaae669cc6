"""White noise on features."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from plait.augmentations import Augmentation, Setting
from plait.core.errors import ConfigError
from plait.tokens.tokens import Tokens

__all__ = ["GaussianNoise"]


class GaussianNoise(Augmentation):
    """Add white noise of ``amount`` times each column's standard deviation.

    Args:
        amount: 0 to 1,000,000.

    Raises:
        ConfigError: ``amount`` is out of range.
    """

    shared = True
    rank = 40

    def __init__(self, *, amount: float = 0.2) -> None:
        if not 0 <= amount <= 1e6:
            raise ConfigError(f"gaussian_noise: amount {amount}; expected 0 to 1,000,000.")
        self.amount = amount

    def __call__(self, batch: Mapping[str, Tokens], setting: Setting) -> dict[str, Tokens]:
        return {
            m: t.with_values(t.values + self.amount * setting.spread(m) * torch.randn_like(t.values))
            for m, t in batch.items()
        }
