"""Intermediate fusion: modalities exchange information through a few tokens only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.options import Count, Few
from plait.fusion import Hybrid
from plait.tokens import Tokens, cat
from plait.tokens.attention import AttentionLayer, Turn, relative, rotation
from plait.tokens.pooling import summed
from plait.tokens.rollout import attended, even, rolled, shares, unit

__all__ = ["Bottleneck"]


class Bottleneck(Hybrid):
    """Attention bottlenecks, MBT (Nagrani et al. 2021).

    Each modality has transformer layers of its own. In each layer its tokens attend to each other and to the ``tokens``
    bottleneck tokens. The updated bottleneck tokens of the present modalities are averaged for the next layer. So the
    cost is the sum of the modalities' costs. The result is one token: the sum of a linear map of each present
    modality's mean and maximum, and of a linear map of the mean bottleneck token (departure: the paper has a class
    token per modality).

    Args:
        modalities: their names.
        dim: width of the tokens, a multiple of ``2 * heads``.
        tokens: bottleneck tokens.
        layers: transformer layers of each modality.
        heads: attention heads.
        dropout: share set to 0 in training, except for attention weights.
        periods: shortest and longest, in seconds; see `Shared`. Bottleneck tokens have no time.
        unimodal_heads: see `Hybrid`.

    Raises:
        ConfigError: an impossible width, number of layers or tokens, or period.

    >>> t = Tokens(torch.ones(2, 6, 16), torch.arange(6.0).expand(2, 6), torch.ones(2, 6) > 0)
    >>> tuple(Bottleneck(["a", "b"], 16)({"a": t}).values.shape)
    (2, 1, 16)
    """

    trial: ClassVar[dict[str, object]] = {"layers": 1}

    def __init__(
        self,
        modalities: list[str],
        dim: int,
        *,
        tokens: Count = 4,
        layers: Few = 2,
        heads: Few = 4,
        dropout: float = 0.2,
        periods: Sequence[float] = (0.05, 100.0),
        unimodal_heads: str = "mean",
    ) -> None:
        super().__init__(modalities, dim, unimodal_heads)
        if dim % (2 * heads) or min(tokens, layers) < 1 or len(periods) != 2 or not 0 < periods[0] < periods[1]:
            raise ConfigError(
                f"bottleneck: width {dim} with {heads} heads, {tokens} tokens, {layers} layers, periods "
                f"{list(periods)} s; expected a width that 2 * heads divides, 1 token and 1 layer or more, two "
                "rising periods above 0."
            )
        self.heads, self.periods = heads, (float(periods[0]), float(periods[1]))
        # a deviation of 0.02, as usual for learned tokens since BERT
        self.between = nn.Parameter(torch.randn(tokens, dim) * 0.02)
        self.layers = nn.ModuleList(
            nn.ModuleList(AttentionLayer(dim, heads, 2 * dim, dropout, attention_dropout=0.0) for _ in self.modalities)
            for _ in range(layers)
        )
        self.leave = nn.ModuleList(nn.LayerNorm(dim) for _ in self.modalities)
        self.pool = nn.ModuleList(nn.Linear(2 * dim, dim) for _ in self.modalities)
        self.last = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim))

    def forward(self, tokens: dict[str, Tokens]) -> Tokens:
        parts = list(self.complete(tokens).values())
        since = relative(cat(parts)).split([t.mask.shape[1] for t in parts], 1)
        turns = [self._turn(when) for when in since]
        between = self.between.expand(parts[0].mask.shape[0], -1, -1)
        for layers in self.layers:
            each = layers.children()  # one layer per modality
            met = [self._layer(layer, t, between, turn) for layer, t, turn in zip(each, parts, turns)]
            parts, between = [t for t, _ in met], _averaged(between, [b for _, b in met], parts)
        pieces = [t.with_values(norm(t.values)).clean() for t, norm in zip(parts, self.leave)]
        out = summed(self.pool, pieces)
        return out.with_values(out.values + self.last(between.mean(1, keepdim=True))).clean()

    def flow(self, tokens: dict[str, Tokens]) -> dict[str, Tensor]:
        parts = list(self.complete(tokens).values())
        own = unit(parts)
        between = own[0].new_zeros(own[0].shape[0], len(self.between), own[0].shape[2])
        with attended(self) as seen:
            self(tokens)
        for k in range(0, len(seen), len(parts)):
            met = [rolled(w, torch.cat([x, between], 1)) for w, x in zip(seen[k : k + len(parts)], own)]
            own = [both[:, : -len(self.between)] for both in met]
            between = _averaged(between, [both[:, -len(self.between) :] for both in met], parts)
        # as many pooled vectors as there are modalities, and one of the tokens between them
        last = sum((w @ x for w, x in zip(even(parts), own)), between.mean(1, keepdim=True) / len(parts))
        return dict(zip(self.modalities, shares(parts, last)))

    def _turn(self, since: Float[Tensor, "batch time"]) -> Turn:
        """Angles of a modality's tokens, and angle 0 for the bottleneck tokens after them."""
        return rotation(nn.functional.pad(since, (0, len(self.between))), self.dim // self.heads, *self.periods)

    @staticmethod
    def _layer(layer: nn.Module, tokens: Tokens, between: Tensor, turn: Turn) -> tuple[Tokens, Tensor]:
        # bottleneck tokens are always keys, so a row of a missing modality still has something to attend to
        keys = torch.cat([tokens.mask, torch.ones_like(between[..., 0], dtype=torch.bool)], 1)
        x = layer(torch.cat([tokens.values, between], 1), turn, keys)
        mine, shared = x.split([tokens.mask.shape[1], between.shape[1]], 1)
        return tokens.with_values(mine).clean(), shared


def _averaged(before: Tensor, after: list[Tensor], parts: list[Tokens]) -> Float[Tensor, "batch tokens dim"]:
    """The mean over the present modalities; ``before`` where none is present."""
    there = torch.stack([t.present for t in parts])[..., None, None]
    mean = (torch.stack(after) * there).sum(0) / there.sum(0).clamp(min=1)
    return torch.where(there.any(0), mean, before)
