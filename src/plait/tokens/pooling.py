"""Pooling that many fusions share: tokens to one vector per modality, and vectors to one token per item."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from plait.tokens import Tokens, cat, masked_mean_max

__all__ = ["mean_time", "one_token", "pooled", "summed"]


def pooled(
    parts: Iterable[Tokens],
) -> tuple[Float[Tensor, "batch modalities twice_dim"], Bool[Tensor, "batch modalities"]]:
    """Mean and maximum of each modality's tokens (zeros where it is missing), and which modalities are present.

    >>> there = torch.tensor([[True, True], [False, False]])
    >>> vectors, some = pooled([Tokens(torch.ones(2, 2, 3), torch.zeros(2, 2), there)])
    >>> vectors[:, 0, 0].tolist(), some.tolist()
    ([1.0, 0.0], [[True], [False]])
    """
    parts = list(parts)
    return torch.stack([masked_mean_max(t) for t in parts], 1), torch.stack([t.present for t in parts], 1)


def mean_time(tokens: Tokens) -> Float[Tensor, "batch 1"]:
    """Mean time of each row's observations, 0 where there is none; ``tokens`` must be clean."""
    return tokens.times.sum(1, keepdim=True) / tokens.mask.sum(1, keepdim=True).clamp(min=1)


def one_token(parts: Sequence[Tokens], values: Float[Tensor, "batch dim"]) -> Tokens:
    """``values`` as one token per item, at the mean time of all its observations; ``parts`` must be clean.

    >>> times = torch.tensor([[1.0, 2.0]])
    >>> one_token([Tokens(torch.ones(1, 2, 3), times, times > 0)], torch.ones(1, 3)).times.tolist()
    [[1.5]]
    """
    every = cat(list(parts))
    return Tokens(values[:, None], mean_time(every), every.present[:, None]).clean()


def summed(pools: nn.ModuleList, parts: Sequence[Tokens]) -> Tokens:
    """One token per item: the sum over the present modalities of a map of the `pooled` vector, one map per modality.

    So a modality with many tokens does not outweigh one with few.
    """
    vectors, there = pooled(parts)
    # a missing modality's map still gives its bias: masked below
    each = torch.stack([pool(vectors[:, i]) for i, pool in enumerate(pools)], 1)
    return one_token(parts, torch.where(there[..., None], each, 0.0).sum(1))
