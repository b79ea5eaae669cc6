"""Intermediate fusion: gates weight the modalities, feature by feature."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from plait.fusion import Hybrid
from plait.fusion.late import share
from plait.tokens import Tokens
from plait.tokens.pooling import one_token, pooled

__all__ = ["Gated"]


class Gated(Hybrid):
    """Gated multimodal unit (Arevalo et al. 2017): one token, a gated sum over the modalities.

    ``h_m = tanh(W_m x_m)``, and ``h = sum of z_m * h_m``, where the gates ``z_m`` depend on all modalities. ``x_m`` is
    the mean and maximum of a modality's tokens. For two modalities the gates are the paper's sigmoid and one minus it.
    Departure for more than two: a softmax over the present modalities instead of one sigmoid each, so that the gates
    add up to 1 whatever is missing.

    Args:
        modalities: their names.
        dim: width of their tokens, and of the result.
        dropout: share of the pooled features set to 0 in training.
        unimodal_heads: see `Hybrid`.

    >>> t = Tokens(torch.ones(2, 6, 16), torch.arange(6.0).expand(2, 6), torch.ones(2, 6) > 0)
    >>> tuple(Gated(["a", "b"], 16)({"a": t}).values.shape)
    (2, 1, 16)
    """

    def __init__(self, modalities: list[str], dim: int, *, dropout: float = 0.2, unimodal_heads: str = "mean") -> None:
        super().__init__(modalities, dim, unimodal_heads)
        count = len(self.modalities)
        self.dropout = nn.Dropout(dropout)
        self.value = nn.ModuleList(nn.Linear(2 * dim, dim) for _ in range(count))
        # one layer for all gates: each modality's gate sees every modality
        self.gate = nn.Linear(count * 2 * dim, count * dim, bias=False)

    def forward(self, tokens: dict[str, Tokens]) -> Tokens:
        parts = list(self.complete(tokens).values())
        vectors, there = pooled(parts)
        return one_token(parts, self.unit(self.dropout(vectors), there))

    def unit(
        self, vectors: Float[Tensor, "batch modalities wide"], there: Bool[Tensor, "batch modalities"]
    ) -> Float[Tensor, "batch dim"]:
        """The unit itself; the vector of a missing modality must be zeros."""
        values = torch.stack([value(vectors[:, i]).tanh() for i, value in enumerate(self.value)], 1)
        scores = rearrange(self.gate(vectors.flatten(1)), "b (m d) -> b m d", d=self.dim)
        return (share(scores, there[..., None]) * values).sum(1)
