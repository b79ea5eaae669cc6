"""Tokens: the only thing that passes between encoder, fusion and task."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["Tokens", "blank", "cat", "finite", "masked_mean_max", "whole"]


class Tokens(NamedTuple):
    """A padded batch of observations that carry their time.

    Attributes:
        values: [batch, time, dim].
        times: [batch, time], seconds from the start of the item.
        mask: [batch, time], True where there is an observation. Values under False are ignored and may be NaN. A
            missing modality is an all-False mask, of any length, 0 included.
    """

    values: Float[Tensor, "batch time dim"]
    times: Float[Tensor, "batch time"]
    mask: Bool[Tensor, "batch time"]

    def clean(self) -> Tokens:
        """The same tokens with zeros under the False mask, so that nothing there (NaN included) can leak."""
        if whole(self.mask):
            return self
        # `where` and not a product with the mask: NaN * 0 is NaN
        return Tokens(
            torch.where(self.mask[..., None], self.values, 0.0),
            torch.where(self.mask, self.times, 0.0),
            self.mask,
        )

    def with_values(self, values: Tensor) -> Tokens:
        """Other values at the same times."""
        return Tokens(values, self.times, self.mask)

    def emptied(self) -> Tokens:
        """No tokens: the modality is missing in every item."""
        return Tokens(self.values[:, :0], self.times[:, :0], self.mask[:, :0])

    @property
    def present(self) -> Bool[Tensor, " batch"]:
        """[batch], whether the item has any observation."""
        return self.mask.any(1)

    @property
    def dim(self) -> int:
        return self.values.shape[-1]

    def to(self, device: torch.device | str) -> Tokens:
        return Tokens(*(x.to(device) for x in self))


def whole(mask: Bool[Tensor, "batch time"]) -> bool:
    """Whether nothing is masked. Only checked where that is cheap: always False while compiling or on an accelerator.

    >>> whole(torch.ones(1, 2) > 0), whole(torch.zeros(1, 2) > 0)
    (True, False)
    """
    # a graph cannot branch on data, and reading one truth value from a GPU waits for all its queued work
    if torch.compiler.is_compiling() or mask.device.type != "cpu":
        return False
    return bool(mask.all())


def finite(values: Tensor) -> bool:
    """Whether no number is NaN or infinite. Like `whole`, always False while compiling or on an accelerator.

    Also False where the sum of finite numbers overflows: the caller then checks each number.

    >>> finite(torch.ones(2)), finite(torch.tensor([1.0, float("nan")]))
    (True, False)
    """
    if torch.compiler.is_compiling() or values.device.type != "cpu":
        return False
    # one sum instead of a truth value per number: NaN and infinity survive it
    return bool(values.sum().isfinite())


def blank(batch: int, time: int, dim: int) -> Tokens:
    """Places without observations, of any number, 0 included.

    >>> tuple(blank(2, 0, 3).values.shape), blank(1, 2, 3).mask.tolist()
    ((2, 0, 3), [[False, False]])
    """
    return Tokens(torch.zeros(batch, time, dim), torch.zeros(batch, time), torch.zeros(batch, time, dtype=torch.bool))


def cat(parts: list[Tokens]) -> Tokens:
    """Concatenate token sequences along time. The result is not sorted: ``times`` tells the order."""
    return Tokens(*(torch.cat([p[i] for p in parts], 1) for i in range(3)))


def masked_mean_max(tokens: Tokens) -> Float[Tensor, "batch twice_dim"]:
    """Mean and maximum over the observations, [batch, 2 * dim]; zeros where there is none.

    >>> values = torch.tensor([[[1.0], [3.0], [float("nan")]]])
    >>> masked_mean_max(Tokens(values, torch.zeros(1, 3), torch.tensor([[True, True, False]]))).tolist()
    [[2.0, 3.0]]
    """
    mask = tokens.mask[..., None]
    # works on tokens that are not clean: every use of the values is masked
    total = torch.where(mask, tokens.values, 0.0).sum(1)
    mean = total / mask.sum(1).clamp(min=1)
    if tokens.values.shape[1] == 0:
        return torch.cat([mean, torch.zeros_like(mean)], -1)
    top = torch.where(mask, tokens.values, torch.finfo(tokens.values.dtype).min).amax(1)
    return torch.cat([mean, torch.where(tokens.present[:, None], top, 0.0)], -1)
