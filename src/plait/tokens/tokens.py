"""Tokens: the only thing that passes between encoder, fusion and task."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["Tokens", "cat", "finite", "masked_mean_max", "whole"]


class Tokens(NamedTuple):
    """A padded batch of observations that carry their time.

    Attributes:
        values: [batch, time, dim].
        times: [batch, time], seconds from where the item begins.
        mask: [batch, time], True where there is an observation. What stands under False means nothing,
            and may be NaN. A missing modality is an all-False mask (its time may be 0 or more).
    """

    values: Float[Tensor, "batch time dim"]
    times: Float[Tensor, "batch time"]
    mask: Bool[Tensor, "batch time"]

    def clean(self) -> Tokens:
        """The same with zeros under the False mask, so that nothing there (NaN included) can leak."""
        if whole(self.mask):
            return self
        return Tokens(
            torch.where(self.mask[..., None], self.values, 0.0),
            torch.where(self.mask, self.times, 0.0),
            self.mask,
        )

    def with_values(self, values: Tensor) -> Tokens:
        """Other values at the same times."""
        return Tokens(values, self.times, self.mask)

    @property
    def present(self) -> Bool[Tensor, " batch"]:
        """[batch], whether there is any observation."""
        return self.mask.any(1)

    @property
    def dim(self) -> int:
        return self.values.shape[-1]

    def to(self, device: torch.device | str) -> Tokens:
        return Tokens(*(x.to(device) for x in self))


def whole(mask: Bool[Tensor, "batch time"]) -> bool:
    """Whether nothing is masked, as far as that is free to know: not within a graph, nor on an accelerator.

    >>> whole(torch.ones(1, 2) > 0), whole(torch.zeros(1, 2) > 0)
    (True, False)
    """
    if torch.compiler.is_compiling() or mask.device.type != "cpu":
        return False
    return bool(mask.all())


def finite(values: Tensor) -> bool:
    """Whether no number is NaN or infinite, as far as one sum tells: not within a graph, nor on an accelerator.

    False where the sum overflows, too: then look at each number.

    >>> finite(torch.ones(2)), finite(torch.tensor([1.0, float("nan")]))
    (True, False)
    """
    if torch.compiler.is_compiling() or values.device.type != "cpu":
        return False
    return bool(values.sum().isfinite())


def cat(parts: list[Tokens]) -> Tokens:
    """Several token sequences one after the other along time; their order in time is in ``times``."""
    return Tokens(*(torch.cat([p[i] for p in parts], 1) for i in range(3)))


def masked_mean_max(tokens: Tokens) -> Float[Tensor, "batch twice_dim"]:
    """Mean and maximum over the observations, [batch, 2 * dim]; zeros where there is none.

    >>> values = torch.tensor([[[1.0], [3.0], [float("nan")]]])
    >>> masked_mean_max(Tokens(values, torch.zeros(1, 3), torch.tensor([[True, True, False]]))).tolist()
    [[2.0, 3.0]]
    """
    mask = tokens.mask[..., None]
    total = torch.where(mask, tokens.values, 0.0).sum(1)
    mean = total / mask.sum(1).clamp(min=1)
    if tokens.values.shape[1] == 0:
        return torch.cat([mean, torch.zeros_like(mean)], -1)
    top = torch.where(mask, tokens.values, torch.finfo(tokens.values.dtype).min).amax(1)
    return torch.cat([mean, torch.where(tokens.present[:, None], top, 0.0)], -1)
