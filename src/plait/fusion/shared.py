"""Intermediate fusion, our default: the modalities' tokens meet in a small shared transformer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from plait.errors import ConfigError
from plait.fusion import Fusion
from plait.tokens import Tokens, cat, masked_mean_max

__all__ = ["Shared", "rotate", "rotation"]


class Shared(Fusion):
    """Tokens of all modalities attend to each other; where in time they are is told by a rotation.

    Each modality has its own layer norm and embedding on the way in, and its own norm on the way out. Then
    ``layers`` pre-norm transformer layers with rotary positions (Su et al. 2021, equation 34) on real
    seconds: the angle is ``2 pi * seconds / period``, with periods spaced geometrically between the two of
    ``periods`` (departure from the paper: it counts positions, with a base of 10000). Only differences
    of times matter, whatever the modalities' rates.

    With ``summary`` the result is one token an item: the sum over the modalities that are there of a linear
    map, of each modality's own, of the mean and the maximum of its tokens. So a modality with many tokens
    does not drown one with few, and an absent one adds nothing. A modality that is alone answers by its own
    head, as if the model had been made for it. Without it: all tokens, modality after
    modality, for tasks that answer in time.

    Args:
        modalities: their names.
        dim: width of the tokens, a multiple of ``2 * heads``.
        layers: transformer layers.
        heads: attention heads a layer.
        dropout: share set to 0 in training.
        periods: shortest and longest, seconds: differences of time finer than the one are blurred, and
            beyond the other all angles repeat.
        summary: one token an item, or all of them.
        own: how the modalities' own outputs add to the joint one: their ``mean`` over those that are there
            (so it stays one answer's size, for numbers in units as for logits), or their ``sum``.

    Raises:
        ConfigError: ``dim`` is no multiple of ``2 * heads``, the periods are not two rising numbers above 0,
            or ``own`` is something else.

    >>> t = Tokens(torch.ones(2, 6, 16), torch.arange(6.0).expand(2, 6), torch.ones(2, 6) > 0)
    >>> tuple(Shared(["a", "b"], 16)({"a": t}).values.shape)
    (2, 1, 16)
    """

    def __init__(
        self,
        modalities: list[str],
        dim: int,
        *,
        layers: int = 1,
        heads: int = 4,
        dropout: float = 0.2,
        periods: Sequence[float] = (0.05, 100.0),
        summary: bool = True,
        own: str = "mean",
    ) -> None:
        super().__init__(modalities, dim)
        if dim % (2 * heads) or len(periods) != 2 or not 0 < periods[0] < periods[1]:
            raise ConfigError(
                f"shared: width {dim} with {heads} heads, periods {list(periods)} s; expected a width that "
                "2 * heads divides, and two periods, the shortest above 0 and the longest above it."
            )
        if own not in ("mean", "sum"):
            raise ConfigError(f"shared: own is {own!r}; expected 'mean' or 'sum'.")
        self.own, count = own, len(self.modalities)
        self.periods, self.heads, self.summary = (float(periods[0]), float(periods[1])), heads, summary
        self.enter = nn.ModuleList(nn.LayerNorm(dim) for _ in range(count))
        self.kind = nn.Parameter(torch.randn(count, dim) * 0.02)
        self.layers = nn.ModuleList(_Layer(dim, heads, 2 * dim, dropout) for _ in range(layers))
        self.leave = nn.ModuleList(nn.LayerNorm(dim) for _ in range(count))
        self.pool = nn.ModuleList(nn.Linear(2 * dim, dim) for _ in range(count if summary else 0))

    def forward(self, tokens: dict[str, Tokens]) -> Tokens:
        parts = list(self.complete(tokens).values())
        met = [t.with_values(norm(t.values) + kind) for t, norm, kind in zip(parts, self.enter, self.kind)]
        out = self._attend(cat(met).clean())
        sizes = [t.mask.shape[1] for t in parts]
        pieces = [t.with_values(norm(x)).clean() for t, norm, x in zip(parts, self.leave, out.split(sizes, 1))]
        return self._sum(pieces) if self.summary else cat(pieces)

    def weights(self, tokens: dict[str, Tokens]) -> dict[str, Float[Tensor, " batch"]]:
        there = super().weights(tokens)
        if self.own == "sum":
            return there
        count = torch.stack(list(there.values())).sum(0).clamp(min=1)
        return {m: one / count for m, one in there.items()}

    def joint_weight(self, tokens: dict[str, Tokens]) -> Float[Tensor, " batch"]:
        """0 where one modality is alone: there is nothing to fuse, and its own head knows it best."""
        count = torch.stack([t.present for t in tokens.values()]).sum(0)
        return (count != 1).to(next(iter(tokens.values())).values.dtype)

    def _attend(self, tokens: Tokens) -> Float[Tensor, "batch time dim"]:
        x = tokens.values
        if x.shape[1] == 0:
            return x
        turn = rotation(_relative(tokens), self.dim // self.heads, *self.periods)
        # a row without any token attends to its zeros: finite, and masked on the way out
        keys = tokens.mask | ~tokens.present[:, None]
        for layer in self.layers:
            x = layer(x, turn, keys)
        return x

    def _sum(self, pieces: list[Tokens]) -> Tokens:
        """One token an item, at the mean time of all its tokens."""
        there = torch.stack([t.present for t in pieces], 1)
        each = torch.stack([pool(masked_mean_max(t)) for pool, t in zip(self.pool, pieces)], 1)
        every = cat(pieces)
        when = every.times.sum(1, keepdim=True) / every.mask.sum(1, keepdim=True).clamp(min=1)
        total = torch.where(there[..., None], each, 0.0).sum(1, keepdim=True)
        return Tokens(total, when, there.any(1, keepdim=True))


def _relative(tokens: Tokens) -> Float[Tensor, "batch time"]:
    """Seconds from each row's first observation, so that small numbers keep their digits."""
    far = torch.finfo(tokens.times.dtype).max
    first = torch.where(tokens.mask, tokens.times, far).amin(1, keepdim=True)
    return torch.where(tokens.mask, tokens.times - first, 0.0)


def rotation(
    times: Float[Tensor, "batch time"], dim: int, shortest: float, longest: float
) -> tuple[Float[Tensor, "batch 1 time half"], Float[Tensor, "batch 1 time half"]]:
    """Cosine and sine of the angles at ``times`` (seconds) for ``dim / 2`` periods, geometrically spaced.

    >>> cos, sin = rotation(torch.tensor([[0.0, 1.0]]), 4, 1.0, 4.0)
    >>> cos.round().abs().tolist(), sin.round().abs().tolist()
    ([[[[1.0, 1.0], [1.0, 0.0]]]], [[[[0.0, 0.0], [0.0, 1.0]]]])
    """
    half = dim // 2
    step = torch.arange(half, device=times.device, dtype=torch.float32) / max(half - 1, 1)
    period = shortest * (longest / shortest) ** step
    angle = 2 * torch.pi * times.float()[:, None, :, None] / period
    return angle.cos(), angle.sin()


def rotate(x: Float[Tensor, "batch heads time dim"], turn: tuple[Tensor, Tensor]) -> Tensor:
    """Turn each pair (i, i + dim / 2) of ``x`` by its angle.

    >>> rotate(torch.tensor([[[[1.0, 0.0]]]]), (torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1))).tolist()
    [[[[0.0, 1.0]]]]
    """
    cos, sin = (t.to(x.dtype) for t in turn)
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


class _Layer(nn.Module):
    """Pre-norm transformer layer (Vaswani et al. 2017; Xiong et al. 2020) with rotary positions."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.rate = heads, dropout
        self.norm, self.qkv, self.out = nn.LayerNorm(dim), nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.feed = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "batch time dim"],
        turn: tuple[Tensor, Tensor],
        keys: Bool[Tensor, "batch time"],
    ) -> Float[Tensor, "batch time dim"]:
        qkv = rearrange(self.qkv(self.norm(x)), "b t (three h d) -> three b h t d", three=3, h=self.heads)
        q, k, v = rotate(qkv[0], turn), rotate(qkv[1], turn), qkv[2]
        rate = self.rate if self.training else 0.0
        met = F.scaled_dot_product_attention(q, k, v, attn_mask=keys[:, None, None, :], dropout_p=rate)
        x = x + self.dropout(self.out(rearrange(met, "b h t d -> b t (h d)")))
        return x + self.dropout(self.feed(x))
