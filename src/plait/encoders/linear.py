"""One linear layer per observation: for streams with one row per item, and for features that are good already."""

from __future__ import annotations

from torch import nn

from plait.encoders import Encoder
from plait.tokens import Tokens

__all__ = ["Linear"]


class Linear(Encoder):
    """Every token by itself: an optional layer norm, one linear layer, dropout.

    Args:
        dim_in: width of the incoming tokens.
        dim: width of the outgoing tokens.
        norm: whether to put a layer norm before the linear layer.
        dropout: share of the outputs set to 0 in training.

    >>> import torch
    >>> out = Linear(3, 8)(Tokens(torch.ones(2, 5, 3), torch.zeros(2, 5), torch.ones(2, 5, dtype=torch.bool)))
    >>> tuple(out.values.shape)
    (2, 5, 8)
    """

    causal = True
    reach = 0

    def __init__(self, dim_in: int, dim: int, *, norm: bool = False, dropout: float = 0.1) -> None:
        super().__init__()
        self.dim_in, self.dim = dim_in, dim
        self.norm = nn.LayerNorm(dim_in) if norm else nn.Identity()
        self.linear = nn.Linear(dim_in, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens.clean()
        return tokens.with_values(self.dropout(self.linear(self.norm(tokens.values)))).clean()
