"""Short spans of each item are hidden."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from plait.augmentations import Augmentation, Setting
from plait.core.errors import ConfigError
from plait.core.options import Few
from plait.tokens import Tokens

__all__ = ["TimeMask"]


class TimeMask(Augmentation):
    """Hide ``spans`` spans of each item, each up to ``seconds`` long, as if nothing had been observed there.

    Time masks of Park et al. 2019, "SpecAugment" (section 2), in seconds; departure: what is hidden is marked as
    missing instead of set to 0. An item keeps its observations where a span would hide them all.

    Args:
        seconds: longest span; the length is uniform from 0.
        spans: spans per item.

    Raises:
        ConfigError: ``seconds`` is not a finite number of 0 or more, or there is no span.

    >>> from plait.augmentations import Setting
    >>> film = Tokens(torch.ones(1, 50, 2), torch.arange(50.0)[None] / 25, torch.ones(1, 50) > 0)
    >>> hidden = ~TimeMask(seconds=0.4)({"lips": film}, Setting((), lambda m: torch.ones(2)))["lips"].mask
    >>> bool(hidden.sum() <= 2 * 11)
    True
    """

    rank = 45

    def __init__(self, *, seconds: float = 0.2, spans: Few = 2) -> None:
        if not (0 <= seconds < math.inf and spans >= 1):
            raise ConfigError(f"time_mask: {spans} spans of {seconds} s; expected 1 or more, of 0 s or more.")
        self.seconds, self.spans = seconds, spans

    def __call__(self, batch: Mapping[str, Tokens], setting: Setting) -> dict[str, Tokens]:
        return {m: tokens._replace(mask=self._kept(tokens)) for m, tokens in batch.items()}

    def _kept(self, tokens: Tokens) -> Tensor:
        times, mask = tokens.times[:, None], tokens.mask
        if mask.shape[1] == 0:
            return mask
        draw = torch.rand(2, len(mask), self.spans, 1)
        first = torch.where(mask, tokens.times, math.inf).amin(1)[:, None, None]
        last = torch.where(mask, tokens.times, -math.inf).amax(1)[:, None, None]
        start, length = torch.where(last >= first, first + draw[0] * (last - first), 0.0), draw[1] * self.seconds
        kept = mask & ~((times >= start) & (times < start + length)).any(1)
        return torch.where(kept.any(1, keepdim=True), kept, mask)
