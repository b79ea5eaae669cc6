"""Vision transformer: patches in space, tubelets in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from plait.core.errors import ConfigError, raise_all
from plait.core.options import Few
from plait.encoders.conv import stride_windows
from plait.encoders.pictures import PictureEncoder
from plait.tokens import Tokens
from plait.tokens.attention import AttentionLayer, relative, rotation

__all__ = ["Vit"]


class Vit(PictureEncoder):
    """ViT: attention among the patches of a picture, then among the pictures; one token per ``tube`` of frames.

    In space as in Dosovitskiy et al. 2021 ("An image is worth 16 x 16 words"): patches through a linear layer, a class
    token and learned positions, pre-norm layers, a layer norm; the class token is kept. In time the factorised encoder
    of Arnab et al. 2021 (ViViT, section 3.3, model 2): further layers over the class tokens. A patch may span ``tube``
    frames (tubelets, their section 3.2); frames of a gap are zeros; its token is observed if any frame is, at their
    mean time. Departures: rotary positions in seconds instead of learned positions in time; one token per tube instead
    of one per clip; feed-forward parts twice as wide as the tokens instead of four times.

    Args:
        dim_in: width of the incoming tokens.
        dim: width of the outgoing tokens, a multiple of ``2 * heads``.
        shape: [height, width] or [height, width, channels] of a picture; None for [24, 32] (see `PictureEncoder`).
        patch: pixels of a patch, [height, width] or one number for both; they must divide the picture's.
        tube: frames that a patch spans.
        layers: transformer layers in space.
        layers_time: transformer layers in time; with 0, tubes are independent.
        heads: attention heads per layer.
        dropout: share set to 0 in training.
        periods: shortest and longest of the positions in time, in seconds.

    Raises:
        ConfigError: ``shape`` does not fit ``dim_in``, patches do not fit the picture, or an option is out of range.

    >>> film = Tokens(torch.ones(2, 6, 24 * 32), torch.arange(6.0).expand(2, 6), torch.ones(2, 6) > 0)
    >>> out = Vit(24 * 32, 16, tube=2)(film)
    >>> tuple(out.values.shape), out.times[0].tolist()
    ((2, 3, 16), [0.5, 2.5, 4.5])
    """

    trial: ClassVar[tuple[int, dict[str, object]]] = (24, {"shape": [4, 6], "patch": 2, "tube": 2})

    def __init__(
        self,
        dim_in: int,
        dim: int,
        *,
        shape: Sequence[int] | None = None,
        patch: int | Sequence[int] = 8,
        tube: Few = 1,
        layers: Few = 2,
        layers_time: Few = 1,
        heads: Few = 4,
        dropout: float = 0.1,
        periods: Sequence[float] = (0.05, 100.0),
    ) -> None:
        super().__init__(dim_in, dim, shape)
        self.patch = [patch, patch] if isinstance(patch, int) else list(patch)
        self._check(layers, layers_time, heads, tube, periods)
        self.heads, self.tube, self.periods = heads, tube, (float(periods[0]), float(periods[1]))
        count = self.height * self.width // (self.patch[0] * self.patch[1])
        self.enter = nn.Linear(self.channels * tube * self.patch[0] * self.patch[1], dim)
        self.summary = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.place = nn.Parameter(torch.randn(1, count + 1, dim) * 0.02)
        self.dropout = nn.Dropout(dropout)

        def several(number: int) -> nn.ModuleList:
            # no dropout on the attention weights: torch's fused kernel cannot be used with it
            return nn.ModuleList(
                AttentionLayer(dim, heads, 2 * dim, dropout, attention_dropout=0.0) for _ in range(number)
            )

        self.space, self.time = several(layers), several(layers_time)
        self.norm, self.norm_time = nn.LayerNorm(dim), nn.LayerNorm(dim) if layers_time else nn.Identity()

    def _check(self, layers: int, layers_time: int, heads: int, tube: int, periods: Sequence[float]) -> None:
        wrong = []
        if len(self.patch) != 2 or min(self.patch) < 1 or self.height % self.patch[0] or self.width % self.patch[1]:
            wrong.append(f"patch {self.patch}; expected pixels that divide {self.height} x {self.width}")
        if layers < 1 or layers_time < 0 or tube < 1:
            wrong.append(f"layers {layers}, layers_time {layers_time}, tube {tube}; expected at least 1, 0 and 1")
        if heads < 1 or self.dim % (2 * heads):
            wrong.append(f"{heads} heads at width {self.dim}; expected a width that 2 * heads divides")
        if len(periods) != 2 or not 0 < periods[0] < periods[1]:
            wrong.append(f"periods {list(periods)} s; expected two rising numbers above 0")
        raise_all(ConfigError, [f"vit: {one}." for one in wrong])

    def see(self, pictures: Float[Tensor, "batch time channels height width"], tokens: Tokens) -> Tokens:
        out = stride_windows(tokens, self.tube)
        x = self.norm(self._in_space(pictures))
        x = rearrange(x, "(b t) d -> b t d", b=tokens.mask.shape[0])
        turn = rotation(relative(out), self.dim // self.heads, *self.periods)
        # a row without any token attends to its padding: finite, and masked on the way out
        keys = out.mask | ~out.present[:, None]
        for layer in self.time:
            x = layer(x, turn, keys)
        return out.with_values(self.norm_time(x))

    def _in_space(self, pictures: Float[Tensor, "batch time channels height width"]) -> Float[Tensor, "tubes dim"]:
        # a last, incomplete tube is filled with zeros, like a gap
        tubes = F.pad(pictures, (0, 0, 0, 0, 0, 0, 0, -pictures.shape[1] % self.tube))
        form = {"u": self.tube, "p": self.patch[0], "q": self.patch[1]}
        patches = rearrange(tubes, "b (t u) c (i p) (j q) -> (b t) (i j) (u c p q)", **form)
        x = self.enter(patches)
        x = self.dropout(torch.cat([self.summary.expand(x.shape[0], -1, -1), x], 1) + self.place)
        for layer in self.space:
            x = layer(x, None, None)
        first: Tensor = x[:, 0]
        return first
