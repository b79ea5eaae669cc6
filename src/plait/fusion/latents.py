"""Intermediate fusion: a few learned latent tokens attend to all modalities, in linear time."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.options import Count, Few
from plait.fusion import Hybrid
from plait.tokens import Tokens, cat
from plait.tokens.attention import AttentionLayer, CrossLayer, relative
from plait.tokens.pooling import one_token
from plait.tokens.rollout import attended, rolled, shares, unit

__all__ = ["Latents"]


class Latents(Hybrid):
    """Perceiver (Jaegle et al. 2021): ``latents`` learned vectors attend to all tokens, then to each other.

    Each of the ``layers`` is a cross-attention and a self-attention with its own weights. To each token a learned
    vector of its modality is added, and a linear map of sines and cosines of the seconds since the item's first
    observation (departure: added, not concatenated). Time and memory are linear in the number of tokens, so it suits
    long streams. The result is the latents, as ``latents`` tokens at the item's mean time.

    Args:
        modalities: their names.
        dim: width of the tokens, a multiple of ``heads``.
        latents: number of latent tokens.
        layers: number of layers, each a cross-attention and a self-attention.
        heads: attention heads.
        dropout: share set to 0 in training, except for attention weights.
        periods: shortest and longest period of the sines, in seconds.
        waves: number of periods.
        unimodal_heads: see `Hybrid`.

    Raises:
        ConfigError: an impossible width, number of layers or latents, or period.

    >>> t = Tokens(torch.ones(2, 6, 16), torch.arange(6.0).expand(2, 6), torch.ones(2, 6) > 0)
    >>> tuple(Latents(["a", "b"], 16, latents=8)({"a": t}).values.shape)
    (2, 8, 16)
    """

    period: Tensor

    def __init__(
        self,
        modalities: list[str],
        dim: int,
        *,
        latents: Count = 16,
        layers: Few = 2,
        heads: Few = 4,
        dropout: float = 0.2,
        periods: Sequence[float] = (0.1, 100.0),
        waves: Few = 8,
        unimodal_heads: str = "mean",
    ) -> None:
        super().__init__(modalities, dim, unimodal_heads)
        if dim % heads or min(latents, layers, waves) < 1 or len(periods) != 2 or not 0 < periods[0] < periods[1]:
            raise ConfigError(
                f"latents: width {dim} with {heads} heads, {latents} latents, {layers} layers, {waves} waves, periods "
                f"{list(periods)} s; expected heads that divide the width, 1 or more of each, and two rising "
                "periods above 0."
            )
        self.latents = nn.Parameter(torch.randn(latents, dim) * 0.02)
        self.enter = nn.ModuleList(nn.LayerNorm(dim) for _ in self.modalities)
        self.kind = nn.Parameter(torch.randn(len(self.modalities), dim) * 0.02)
        # sines and not rotations: a latent has no time, so there is no difference of times to rotate by
        self.register_buffer("period", torch.logspace(0, 1, waves, periods[1] / periods[0]) * periods[0])
        self.place = nn.Linear(2 * waves, dim, bias=False)
        self.read = nn.ModuleList(CrossLayer(dim, heads, 2 * dim, dropout) for _ in range(layers))
        self.talk = nn.ModuleList(
            AttentionLayer(dim, heads, 2 * dim, dropout, attention_dropout=0.0) for _ in range(layers)
        )
        self.leave = nn.LayerNorm(dim)

    def forward(self, tokens: dict[str, Tokens]) -> Tokens:
        parts = list(self.complete(tokens).values())
        every = cat([t.with_values(norm(t.values) + kind) for t, norm, kind in zip(parts, self.enter, self.kind)])
        source = every.values + self.place(self._waves(relative(every)))
        x = self.latents.expand(source.shape[0], -1, -1)
        for read, talk in zip(self.read, self.talk):
            x = talk(read(x, source, keys=every.mask), None, None)
        return self._tokens(parts, self.leave(x))

    def flow(self, tokens: dict[str, Tokens]) -> dict[str, Tensor]:
        parts = list(self.complete(tokens).values())
        source = torch.cat(unit(parts), 1)
        with attended(self) as seen:
            self(tokens)
        came = source.new_zeros(source.shape[0], len(self.latents), source.shape[1])  # a latent comes from no token
        for read, talk in zip(seen[::2], seen[1::2]):
            came = rolled(talk, rolled(read, source, came))
        return dict(zip(self.modalities, shares(parts, came.mean(1, keepdim=True))))

    def _waves(self, since: Float[Tensor, "batch time"]) -> Float[Tensor, "batch time twice_waves"]:
        angle = 2 * torch.pi * since[..., None] / self.period
        return torch.cat([angle.sin(), angle.cos()], -1)

    @staticmethod
    def _tokens(parts: list[Tokens], values: Float[Tensor, "batch latents dim"]) -> Tokens:
        one = one_token(parts, values[:, 0])
        count = values.shape[1]
        return Tokens(values, one.times.expand(-1, count), one.mask.expand(-1, count)).clean()
