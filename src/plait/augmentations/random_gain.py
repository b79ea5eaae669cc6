"""A random gain per item."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from plait.augmentations import Augmentation, Setting
from plait.core.errors import ConfigError
from plait.tokens.tokens import Tokens

__all__ = ["RandomGain"]


class RandomGain(Augmentation):
    """Multiply each item by one factor, uniform from 1 - ``share`` to 1 + ``share``.

    Args:
        share: from 0 to 1.

    Raises:
        ConfigError: ``share`` is out of range.
    """

    rank = 20

    def __init__(self, *, share: float = 0.2) -> None:
        if not 0 <= share <= 1:
            raise ConfigError(f"random_gain: share {share}; expected 0 to 1.")
        self.share = share

    def __call__(self, batch: Mapping[str, Tokens], setting: Setting) -> dict[str, Tokens]:
        return {m: self._louder(tokens) for m, tokens in batch.items()}

    def _louder(self, tokens: Tokens) -> Tokens:
        factor = 1 + self.share * (2 * torch.rand(len(tokens.mask), 1, 1) - 1)
        return tokens.with_values(tokens.values * factor)
