"""Intermediate fusion: tensor fusion with low-rank weights, without computing the tensor."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.options import Count
from plait.fusion import Hybrid
from plait.fusion.tensor_fusion import with_one
from plait.tokens import Tokens
from plait.tokens.pooling import one_token, pooled

__all__ = ["LowRank"]


class LowRank(Hybrid):
    """Low-rank multimodal fusion (Liu et al. 2018).

    A linear map of the outer product of ``[1, z_m]`` of all modalities. Its weights are a sum of ``rank`` terms, each a
    product of one factor per modality. So the cost is linear in the number of modalities. ``z_m`` is the mean and
    maximum of a modality's tokens; a missing modality is ``[1, 0 ...]``. The terms are summed with learned weights, as
    in the authors' code.

    Args:
        modalities: their names.
        dim: width of their tokens, and of the result.
        rank: terms of the sum.
        dropout: share of the pooled features set to 0 in training.
        unimodal_heads: see `Hybrid`.

    Raises:
        ConfigError: a rank below 1.

    >>> t = Tokens(torch.ones(2, 6, 16), torch.arange(6.0).expand(2, 6), torch.ones(2, 6) > 0)
    >>> tuple(LowRank(["a", "b"], 16)({"a": t}).values.shape)
    (2, 1, 16)
    """

    def __init__(
        self, modalities: list[str], dim: int, *, rank: Count = 4, dropout: float = 0.2, unimodal_heads: str = "mean"
    ) -> None:
        super().__init__(modalities, dim, unimodal_heads)
        if rank < 1:
            raise ConfigError(f"low_rank: rank {rank}; expected 1 or more.")
        self.dropout = nn.Dropout(dropout)
        # scaled so that the product of a term has variance 1
        self.factors = nn.ParameterList(
            torch.randn(rank, 2 * dim + 1, dim) / (2 * dim + 1) ** 0.5 for _ in self.modalities
        )
        self.terms = nn.Parameter(torch.full((rank,), rank**-0.5))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, tokens: dict[str, Tokens]) -> Tokens:
        parts = list(self.complete(tokens).values())
        vectors, _ = pooled(parts)
        return one_token(parts, self.product(list(self.dropout(vectors).unbind(1))))

    def product(self, small: list[Float[Tensor, "batch size"]]) -> Float[Tensor, "batch dim"]:
        """The linear map of the outer product of ``[1, z]`` of all modalities."""
        # the inner product of two outer products is the product of the inner products: no tensor is needed
        found = torch.ones_like(self.bias)
        for one, factor in zip(small, self.factors):
            found = found * torch.einsum("bs,rsd->brd", with_one(one), factor)
        return torch.einsum("r,brd->bd", self.terms, found) + self.bias
