"""A small network per token: from an encoder's width to that of the model that reads its tokens."""

from __future__ import annotations

from torch import nn

from plait.core.options import Count
from plait.encoders import Encoder
from plait.tokens import Tokens

__all__ = ["Projector"]


class Projector(Encoder):
    """Each token by itself: a layer norm, a linear layer, GELU, a linear layer.

    The projector of LLaVA-1.5 (Liu et al. 2024, "Improved baselines with visual instruction tuning", CVPR, section
    3.2): two layers between a frozen encoder and a language model. Departure: the layer norm in front, since streams
    differ in scale.

    Args:
        dim_in: width of the incoming tokens.
        dim: width of the outgoing tokens.
        hidden: width between the two layers; by default that of the outgoing tokens.
        dropout: share of the numbers between them set to 0 in training.

    >>> import torch
    >>> out = Projector(3, 8)(Tokens(torch.ones(2, 5, 3), torch.zeros(2, 5), torch.ones(2, 5, dtype=torch.bool)))
    >>> tuple(out.values.shape)
    (2, 5, 8)
    """

    causal = True

    def __init__(self, dim_in: int, dim: int, *, hidden: Count | None = None, dropout: float = 0.1) -> None:
        super().__init__()
        self.dim_in, self.dim = dim_in, dim
        wide = hidden or dim
        self.layers = nn.Sequential(
            nn.LayerNorm(dim_in), nn.Linear(dim_in, wide), nn.GELU(), nn.Dropout(dropout), nn.Linear(wide, dim)
        )

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens.clean()
        return tokens.with_values(self.layers(tokens.values)).clean()
