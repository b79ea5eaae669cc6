"""Intermediate fusion: one small transformer over the tokens of all modalities."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.options import Few
from plait.fusion import Hybrid
from plait.tokens import Tokens, cat
from plait.tokens.attention import AttentionLayer, relative, rotation
from plait.tokens.pooling import summed
from plait.tokens.rollout import attended, even, rolled, shares, unit

__all__ = ["Shared"]


class Shared(Hybrid):
    """Tokens of all modalities attend to each other, with rotary positions in seconds.

    Each modality has its own layer norm and embedding before the ``layers`` pre-norm transformer layers, and its own
    norm after them. Rotary positions (Su et al. 2021, equation 34) are in real seconds: the angle is
    ``2 pi * seconds / period``, with periods spaced geometrically between the two of ``periods`` (departure from the
    paper: it counts positions, with a base of 10000). Only differences of times matter, whatever the modalities' rates.

    With ``summary`` the result is one token per item: the sum over the present modalities of a linear map of the mean
    and maximum of the modality's tokens, one map per modality. So a modality with many tokens does not outweigh one
    with few. Without ``summary``: all tokens, modality after modality, for tasks that answer at instants.

    Args:
        modalities: their names.
        dim: width of the tokens, a multiple of ``2 * heads``.
        layers: transformer layers.
        heads: attention heads per layer.
        dropout: share set to 0 in training.
        periods: shortest and longest, in seconds. Time differences far below the shortest are not resolved; beyond
            the longest, all angles repeat.
        summary: whether to return one token per item instead of all tokens.
        unimodal_heads: see `Hybrid`.

    Raises:
        ConfigError: ``dim`` is not a multiple of ``2 * heads``, the periods are not two rising numbers above 0,
            or an unknown ``unimodal_heads``.

    >>> t = Tokens(torch.ones(2, 6, 16), torch.arange(6.0).expand(2, 6), torch.ones(2, 6) > 0)
    >>> tuple(Shared(["a", "b"], 16)({"a": t}).values.shape)
    (2, 1, 16)
    """

    def __init__(
        self,
        modalities: list[str],
        dim: int,
        *,
        layers: Few = 1,
        heads: Few = 4,
        dropout: float = 0.2,
        periods: Sequence[float] = (0.05, 100.0),
        summary: bool = True,
        unimodal_heads: str = "mean",
    ) -> None:
        super().__init__(modalities, dim, unimodal_heads)
        if dim % (2 * heads) or len(periods) != 2 or not 0 < periods[0] < periods[1]:
            raise ConfigError(
                f"shared: width {dim} with {heads} heads, periods {list(periods)} s; expected a width that "
                "2 * heads divides, and two periods, the shortest above 0 and the longest above it."
            )
        count = len(self.modalities)
        self.periods, self.heads, self.summary = (float(periods[0]), float(periods[1])), heads, summary
        self.enter = nn.ModuleList(nn.LayerNorm(dim) for _ in range(count))
        self.kind = nn.Parameter(torch.randn(count, dim) * 0.02)
        self.layers = nn.ModuleList(
            AttentionLayer(dim, heads, 2 * dim, dropout, attention_dropout=0.0) for _ in range(layers)
        )
        self.leave = nn.ModuleList(nn.LayerNorm(dim) for _ in range(count))
        self.pool = nn.ModuleList(nn.Linear(2 * dim, dim) for _ in range(count if summary else 0))

    def forward(self, tokens: dict[str, Tokens]) -> Tokens:
        parts = list(self.complete(tokens).values())
        met = [t.with_values(norm(t.values) + kind) for t, norm, kind in zip(parts, self.enter, self.kind)]
        out = self._attend(cat(met).clean())
        sizes = [t.mask.shape[1] for t in parts]
        pieces = [t.with_values(norm(x)).clean() for t, norm, x in zip(parts, self.leave, out.split(sizes, 1))]
        return summed(self.pool, pieces) if self.summary else cat(pieces)

    def flow(self, tokens: dict[str, Tokens]) -> dict[str, Tensor]:
        parts = list(self.complete(tokens).values())
        came = torch.cat(unit(parts), 1)
        with attended(self) as seen:
            self(tokens)
        for weights in seen:
            came = rolled(weights, came)
        return dict(zip(self.modalities, shares(parts, torch.cat(even(parts), -1) @ came)))

    def _attend(self, tokens: Tokens) -> Float[Tensor, "batch time dim"]:
        x = tokens.values
        if x.shape[1] == 0:
            return x
        turn = rotation(relative(tokens), self.dim // self.heads, *self.periods)
        # a row without any token attends to its zeros: finite, and masked on the way out
        keys = tokens.mask | ~tokens.present[:, None]
        for layer in self.layers:
            x = layer(x, turn, keys)
        return x
