"""A small network per token: from an encoder's width to that of the model that reads its tokens."""

from __future__ import annotations

from typing import ClassVar

from einops import rearrange, repeat
from torch import nn

from plait.core.options import Count, Few
from plait.encoders import Encoder
from plait.tokens import Tokens

__all__ = ["Projector"]


class Projector(Encoder):
    """Each token by itself: a layer norm, a linear layer, GELU, a linear layer.

    The projector of LLaVA-1.5 (Liu et al. 2024, "Improved baselines with visual instruction tuning", CVPR, section
    3.2): two layers between a frozen encoder and a language model. Departure: the layer norm in front, since streams
    differ in scale. With ``prefix`` each token becomes so many, all at its time: one vector of a picture is little for
    a language model to read (Mokady et al. 2021, "ClipCap: CLIP prefix for image captioning", section 3.2).

    Args:
        dim_in: width of the incoming tokens.
        dim: width of the outgoing tokens.
        hidden: width between the two layers; by default that of the outgoing tokens.
        prefix: outgoing tokens for each incoming one.
        dropout: share of the numbers between them set to 0 in training.

    >>> import torch
    >>> out = Projector(3, 8)(Tokens(torch.ones(2, 5, 3), torch.zeros(2, 5), torch.ones(2, 5, dtype=torch.bool)))
    >>> tuple(out.values.shape)
    (2, 5, 8)
    """

    trial: ClassVar[tuple[int, dict[str, object]]] = (3, {"prefix": 2})

    causal = True

    def __init__(
        self, dim_in: int, dim: int, *, hidden: Count | None = None, prefix: Few = 1, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.dim_in, self.dim, self.prefix = dim_in, dim, prefix
        wide = hidden or dim
        self.layers = nn.Sequential(
            nn.LayerNorm(dim_in), nn.Linear(dim_in, wide), nn.GELU(), nn.Dropout(dropout), nn.Linear(wide, dim * prefix)
        )

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens.clean()
        values = rearrange(self.layers(tokens.values), "b t (p d) -> b (t p) d", p=self.prefix)
        times, mask = (repeat(x, "b t -> b (t p)", p=self.prefix) for x in (tokens.times, tokens.mask))
        return Tokens(values, times, mask).clean()
