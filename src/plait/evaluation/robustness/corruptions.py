"""Damage to what a model reads: rows lost, spans lost, noise, a stream that is late or slow.

On features and their times, so that each kind is the same for every stream; damage of the raw signal (babble, blur) is
in `plait.evaluation.robustness.signals`. To add one, write a class in this package.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from plait.tokens import Tokens

__all__ = ["Corruption", "DroppedRows", "FeatureNoise", "Jitter", "LowRate", "MissingSpan", "MissingStream", "Shift"]


class Corruption(ABC):
    """Damage of a stream at a level."""

    axis: ClassVar[str]
    """What a level is, with its unit."""

    levels: ClassVar[tuple[float, ...]]
    """Levels that are tried, rising."""

    none: ClassVar[float] = 0.0
    """The level that changes nothing."""

    @abstractmethod
    def __call__(self, tokens: Tokens, level: float, seconds: Tensor, generator: torch.Generator) -> Tokens:
        """The damaged stream.

        Args:
            tokens: features of a batch, standardised or not.
            level: of ``levels``, or any other.
            seconds: length of each item, [batch].
            generator: draws the damage.
        """


class MissingStream(Corruption):
    """Streams that are not there at all, at random."""

    axis = "share of the items that lack it"
    levels = (0.25, 0.5, 0.75)

    def __call__(self, tokens: Tokens, level: float, seconds: Tensor, generator: torch.Generator) -> Tokens:
        kept = torch.rand(len(seconds), generator=generator) >= level
        return tokens._replace(mask=tokens.mask & kept[:, None])


class MissingSpan(Corruption):
    """A stretch of time without observations, at a random place of each item."""

    axis = "share of the time that is missing"
    levels = (0.2, 0.4, 0.6)

    def __call__(self, tokens: Tokens, level: float, seconds: Tensor, generator: torch.Generator) -> Tokens:
        start = torch.rand(len(seconds), generator=generator) * (1 - level) * seconds
        inside = (tokens.times >= start[:, None]) & (tokens.times < (start + level * seconds)[:, None])
        return tokens._replace(mask=tokens.mask & ~inside)


class DroppedRows(Corruption):
    """Single observations lost at random, as frames of a camera or packets of a sensor."""

    axis = "share of the observations that are lost"
    levels = (0.25, 0.5, 0.75)

    def __call__(self, tokens: Tokens, level: float, seconds: Tensor, generator: torch.Generator) -> Tokens:
        kept = torch.rand(tokens.mask.shape, generator=generator) >= level
        return tokens._replace(mask=tokens.mask & kept)


class LowRate(Corruption):
    """A slower device: every second, third ... observation only."""

    axis = "observations per one that is kept"
    levels = (2, 4, 8)
    none = 1

    def __call__(self, tokens: Tokens, level: float, seconds: Tensor, generator: torch.Generator) -> Tokens:
        number = tokens.mask.long().cumsum(1) - 1
        return tokens._replace(mask=tokens.mask & (number % int(level) == 0))


class Shift(Corruption):
    """A stream that is late: its clock is off against the others."""

    axis = "seconds late"
    levels = (0.1, 0.3, 1.0)

    def __call__(self, tokens: Tokens, level: float, seconds: Tensor, generator: torch.Generator) -> Tokens:
        times = tokens.times + level
        # What now lies behind the end of the item would not have been cut into it.
        return tokens._replace(times=times, mask=tokens.mask & ((times < seconds[:, None]) | (level == 0)))


class Jitter(Corruption):
    """Times that are off at random, each by itself; the order of the observations stays."""

    axis = "standard deviation of the times, seconds"
    levels = (0.02, 0.05, 0.2)

    def __call__(self, tokens: Tokens, level: float, seconds: Tensor, generator: torch.Generator) -> Tokens:
        off = tokens.times + level * torch.randn(tokens.times.shape, generator=generator)
        far = torch.finfo(off.dtype).max
        sorted_ = torch.where(tokens.mask, off, far).sort(1).values
        # The observations that are there get the sorted times in their order.
        place = (tokens.mask.long().cumsum(1) - 1).clamp(min=0)
        times = sorted_.gather(1, place) if level and tokens.times.shape[1] else tokens.times
        return tokens._replace(times=torch.where(tokens.mask, times, tokens.times))


class FeatureNoise(Corruption):
    """White noise on each feature, in units of its standard deviation in the item's batch."""

    axis = "standard deviations"
    levels = (0.5, 1.0, 2.0)

    def __call__(self, tokens: Tokens, level: float, seconds: Tensor, generator: torch.Generator) -> Tokens:
        known = torch.where(tokens.mask[..., None], tokens.values, torch.nan).flatten(0, 1)
        count = known.isfinite().sum(0).clamp(min=1)
        mean = known.nansum(0) / count
        spread = ((known - mean).square().nansum(0) / count).sqrt()
        drawn = torch.randn(tokens.values.shape, generator=generator)
        return tokens.with_values(tokens.values + level * spread * drawn)
