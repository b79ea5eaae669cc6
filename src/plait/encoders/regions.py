"""One token per region of a picture, so that attention can tell where it looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.options import Few, Whole
from plait.encoders.pictures import PictureEncoder
from plait.tokens import Tokens

__all__ = ["Regions"]


class Regions(PictureEncoder):
    """Pictures, or maps of features, as tokens of their regions: row by row, all at the time of the picture.

    Each region of ``patch`` x ``patch`` pixels goes through a linear layer, with a learnt position (Dosovitskiy et al.
    2021, "An image is worth 16 x 16 words"); then ``layers`` residual convolutions over the regions: with a ``kernel``
    of 3 a region sees its neighbours, with 1 itself alone, so that attention tells exactly where it looks. Pictures are
    independent of each other in time. For a decoder that attends to regions, as Xu et al. 2015 ("Show, attend and
    tell") attends to the last map of a network: with the feature ``efficientnet`` and its option ``regions``, ``shape``
    is [regions, regions, columns] and ``patch`` 1.

    Args:
        dim_in: width of the incoming tokens.
        dim: width of the outgoing tokens.
        shape: [height, width] or [height, width, channels] of a picture; None for [24, 32] (see `PictureEncoder`).
        patch: pixels per side of a region; they must divide the picture's.
        layers: convolutions over the regions.
        kernel: regions per side that a convolution sees; odd.
        dropout: share set to 0 in training.

    Raises:
        ConfigError: ``shape`` does not fit ``dim_in``, or regions do not divide the picture.

    >>> film = Tokens(torch.ones(2, 3, 24 * 32), torch.arange(3.0).expand(2, 3), torch.ones(2, 3) > 0)
    >>> out = Regions(24 * 32, 16, patch=8)(film)
    >>> tuple(out.values.shape), out.times[0, ::6].tolist()
    ((2, 36, 16), [0.0, 0.0, 1.0, 1.0, 2.0, 2.0])
    """

    trial: ClassVar[tuple[int, dict[str, object]]] = (24, {"shape": [4, 6], "patch": 2})
    causal = True

    def __init__(
        self,
        dim_in: int,
        dim: int,
        *,
        shape: Sequence[int] | None = None,
        patch: Few = 1,
        layers: Whole = 1,
        kernel: Few = 3,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(dim_in, dim, shape)
        if patch < 1 or self.height % patch or self.width % patch or layers < 0 or kernel % 2 == 0:
            raise ConfigError(
                f"regions: patch {patch}, layers {layers}, kernel {kernel}; expected pixels that divide "
                f"{self.height} x {self.width}, 0 layers or more, and an odd kernel."
            )
        self.patch, rows, columns = patch, self.height // patch, self.width // patch
        self.regions, self.rows = (rows, columns), rows
        self.enter = nn.Linear(self.channels * patch * patch, dim)
        self.place = nn.Parameter(torch.randn(rows * columns, dim) * 0.02)
        self.around = nn.ModuleList(nn.Conv2d(dim, dim, kernel, padding=kernel // 2) for _ in range(layers))
        self.norm, self.dropout = nn.LayerNorm(dim), nn.Dropout(dropout)

    def see(self, pictures: Float[Tensor, "batch time channels height width"], tokens: Tokens) -> Tokens:
        form = {"p": self.patch, "q": self.patch}
        patches = rearrange(pictures, "b t c (i p) (j q) -> (b t) (i j) (c p q)", **form)
        x = self.dropout(self.enter(patches)) + self.place
        for layer in self.around:
            maps = rearrange(x, "n (i j) d -> n d i j", i=self.rows)
            x = x + rearrange(F.gelu(layer(maps)), "n d i j -> n (i j) d")
        count = len(self.place)
        values = rearrange(self.norm(x), "(b t) r d -> b (t r) d", b=tokens.mask.shape[0])
        return Tokens(
            values, repeat(tokens.times, "b t -> b (t r)", r=count), repeat(tokens.mask, "b t -> b (t r)", r=count)
        )
