"""Attention on real seconds: rotary positions, and the transformer layers that encoders and fusions are made of.

All attention uses torch's fused kernel, whose memory is linear in the number of tokens. On a CPU this holds in training
only without dropout on the attention weights (see `AttentionLayer`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from plait.tokens.tokens import Tokens

__all__ = ["Attend", "AttentionLayer", "CrossLayer", "Turn", "causal_keys", "relative", "rotate", "rotation"]

Turn = tuple[Tensor, Tensor]
"""Cosine and sine of the angles of each token, from `rotation`."""

Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None, float], Tensor]
"""Queries, keys, values [batch, heads, time, width], mask of the keys, dropout rate -> [batch, time, dim]."""


def relative(tokens: Tokens) -> Float[Tensor, "batch time"]:
    """Seconds from each row's first observation, so that small numbers keep their digits.

    >>> times = torch.tensor([[7.0, 7.5, 99.0]])
    >>> relative(Tokens(torch.zeros(1, 3, 1), times, times < 9)).tolist()
    [[0.0, 0.5, 0.0]]
    """
    if tokens.times.shape[1] == 0:
        return tokens.times
    far = torch.finfo(tokens.times.dtype).max
    first = torch.where(tokens.mask, tokens.times, far).amin(1, keepdim=True)
    return torch.where(tokens.mask, tokens.times - first, 0.0)


def rotation(
    times: Float[Tensor, "batch time"], dim: int, shortest: float, longest: float
) -> tuple[Float[Tensor, "batch 1 time half"], Float[Tensor, "batch 1 time half"]]:
    """Cosine and sine of the angles at ``times`` (seconds) for ``dim / 2`` periods, geometrically spaced.

    Su et al. 2021 (RoFormer), equation 34; departure: real seconds and stated periods instead of positions and a
    base of 10000.

    >>> cos, sin = rotation(torch.tensor([[0.0, 1.0]]), 4, 1.0, 4.0)
    >>> cos.round().abs().tolist(), sin.round().abs().tolist()
    ([[[[1.0, 1.0], [1.0, 0.0]]]], [[[[0.0, 0.0], [0.0, 1.0]]]])
    """
    half = dim // 2
    # angles in float32 whatever the model's precision: float16 steps by 0.06 s at 100 s, more than the short periods
    step = torch.arange(half, device=times.device, dtype=torch.float32) / max(half - 1, 1)
    period = shortest * (longest / shortest) ** step
    angle = 2 * torch.pi * times.float()[:, None, :, None] / period
    return angle.cos(), angle.sin()


def rotate(x: Float[Tensor, "batch heads time dim"], turn: Turn | None) -> Tensor:
    """Rotate each pair (i, i + dim / 2) of ``x`` by its angle; with None, return ``x`` unchanged.

    >>> rotate(torch.tensor([[[[1.0, 0.0]]]]), (torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1))).tolist()
    [[[[0.0, 1.0]]]]
    """
    if turn is None:
        return x
    cos, sin = (t.to(x.dtype) for t in turn)
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


def causal_keys(
    query: Float[Tensor, "batch query"], times: Float[Tensor, "batch key"], mask: Bool[Tensor, "batch key"]
) -> Bool[Tensor, "batch query key"]:
    """Which keys each query may see: observed ones that are not later than the query.

    >>> t = torch.tensor([[0.0, 1.0]])
    >>> causal_keys(t, t, t >= 0).tolist()
    [[[True, False], [True, True]]]
    """
    return mask[:, None, :] & (times[:, None, :] <= query[..., None])


class AttentionLayer(nn.Module):
    """Pre-norm transformer layer (Vaswani et al. 2017; Xiong et al. 2020) with rotary positions.

    Args:
        dim: width of the tokens, a multiple of ``heads`` (of ``2 * heads`` with rotary positions).
        heads: attention heads.
        hidden: width within the feed-forward part.
        dropout: share set to 0 after attention and in the feed-forward part, in training.
        attention_dropout: share of the attention weights set to 0 in training; ``dropout`` by default. Above 0, torch
            cannot use its fused kernel for training on a CPU, and memory is quadratic in the number of tokens.
        activation: activation of the feed-forward part.

    >>> layer = AttentionLayer(8, 2, 16, 0.1)
    >>> tuple(layer(torch.ones(1, 5, 8), None, torch.ones(1, 5) > 0).shape)
    (1, 5, 8)
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        hidden: int,
        dropout: float,
        *,
        attention_dropout: float | None = None,
        activation: Callable[[], nn.Module] = nn.GELU,
    ) -> None:
        super().__init__()
        self.heads, self.rate = heads, dropout if attention_dropout is None else attention_dropout
        self.norm, self.qkv, self.out = nn.LayerNorm(dim), nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.feed = _feed(dim, hidden, dropout, activation)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "batch time dim"],
        turn: Turn | None,
        keys: Bool[Tensor, "batch time"] | Bool[Tensor, "#batch time time"] | None,
        attend: Attend | None = None,
    ) -> Float[Tensor, "batch time dim"]:
        """Self-attention, then the feed-forward part.

        Args:
            x: tokens; finite under the mask too.
            turn: angles of the tokens, from `rotation`; None for no positions.
            keys: which tokens may be seen, by all queries or by each; every query must see at least one. None: all.
            attend: replaces full attention over ``keys``.
        """
        look = attend or _attend
        q, k, v = (_heads(part, self.heads) for part in self.qkv(self.norm(x)).chunk(3, -1))
        met = look(rotate(q, turn), rotate(k, turn), v, keys, self.rate if self.training else 0.0)
        x = x + self.dropout(self.out(met))
        out: Tensor = x + self.dropout(self.feed(x))
        return out

    def weights(
        self,
        x: Float[Tensor, "batch time dim"],
        turn: Turn | None,
        keys: Bool[Tensor, "batch time"] | Bool[Tensor, "#batch time time"] | None,
    ) -> Float[Tensor, "batch time time"]:
        """The attention weights of `forward`, mean over heads."""
        q, k, _ = (_heads(part, self.heads) for part in self.qkv(self.norm(x)).chunk(3, -1))
        return _weights(rotate(q, turn), rotate(k, turn), keys)

    def one(
        self,
        x: Float[Tensor, "batch time dim"],
        place: Int[Tensor, " batch"],
        turn: Turn | None,
        keys: Bool[Tensor, "batch time"] | None,
    ) -> Float[Tensor, "batch 1 dim"]:
        """The output of `forward` at one place per row, without computing the other places.

        >>> layer, x = AttentionLayer(8, 2, 16, 0.0).eval(), torch.randn(2, 5, 8)
        >>> place = torch.tensor([4, 1])
        >>> want = layer(x, None, None)[torch.arange(2), place]
        >>> torch.allclose(layer.one(x, place, None, None)[:, 0], want, atol=1e-6)
        True
        """
        # keys and values need every token; queries, output and feed-forward only the chosen one
        met, dim = self.norm(x), x.shape[-1]
        pick = place[:, None, None].expand(-1, 1, dim)
        q = _heads(F.linear(met.gather(1, pick), self.qkv.weight[:dim], self.qkv.bias[:dim]), self.heads)
        both = F.linear(met, self.qkv.weight[dim:], self.qkv.bias[dim:]).chunk(2, -1)
        k, v = (_heads(part, self.heads) for part in both)
        if turn is not None:
            there = place[:, None, None, None].expand(-1, 1, 1, turn[0].shape[-1])
            q, k = rotate(q, (turn[0].gather(2, there), turn[1].gather(2, there))), rotate(k, turn)
        y = x.gather(1, pick) + self.dropout(self.out(_attend(q, k, v, keys, self.rate if self.training else 0.0)))
        out: Tensor = y + self.dropout(self.feed(y))
        return out


class CrossLayer(nn.Module):
    """The cross-attention form of `AttentionLayer`: queries from one sequence, keys and values from another.

    Args: as for `AttentionLayer`.

    >>> layer = CrossLayer(8, 2, 16, 0.1)
    >>> tuple(layer(torch.ones(1, 5, 8), torch.ones(1, 3, 8), keys=torch.ones(1, 3) > 0).shape)
    (1, 5, 8)
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        hidden: int,
        dropout: float,
        *,
        activation: Callable[[], nn.Module] = nn.GELU,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.norm, self.norm_source = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query, self.key_value, self.out = nn.Linear(dim, dim), nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)
        self.feed = _feed(dim, hidden, dropout, activation)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Float[Tensor, "batch time dim"],
        source: Float[Tensor, "batch key dim"],
        *,
        keys: Bool[Tensor, "batch key"] | Bool[Tensor, "#batch time key"] | None,
        turn: Turn | None = None,
        turn_source: Turn | None = None,
    ) -> Float[Tensor, "batch time dim"]:
        """Cross-attention to ``source``, then the feed-forward part. A query without any key gets only the latter.

        Args:
            x: tokens; finite under the mask too.
            source: tokens of the other sequence; finite under the mask too.
            keys: which tokens of ``source`` may be seen, by all queries or by each. None: all.
            turn: angles of ``x``, from `rotation`; None for no positions.
            turn_source: angles of ``source``.
        """
        if source.shape[1]:
            x = x + self.dropout(self._look(x, source, keys, turn, turn_source))
        out: Tensor = x + self.dropout(self.feed(x))
        return out

    def weights(
        self,
        x: Float[Tensor, "batch time dim"],
        source: Float[Tensor, "batch key dim"],
        *,
        keys: Bool[Tensor, "batch key"] | Bool[Tensor, "#batch time key"] | None,
        turn: Turn | None = None,
        turn_source: Turn | None = None,
    ) -> Float[Tensor, "batch time key"]:
        """The attention weights of `forward`, mean over heads; zeros for a query without any key."""
        q, k, _ = self._parts(x, source, turn, turn_source)
        return _weights(q, k, keys)

    def _parts(
        self, x: Tensor, source: Tensor, turn: Turn | None, turn_source: Turn | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, the first two turned."""
        q = _heads(self.query(self.norm(x)), self.heads)
        k, v = (_heads(part, self.heads) for part in self.key_value(self.norm_source(source)).chunk(2, -1))
        return rotate(q, turn), rotate(k, turn_source), v

    def _look(
        self, x: Tensor, source: Tensor, keys: Tensor | None, turn: Turn | None, turn_source: Turn | None
    ) -> Float[Tensor, "batch time dim"]:
        q, k, v = self._parts(x, source, turn, turn_source)
        if keys is None:
            met: Tensor = self.out(_attend(q, k, v, None, 0.0))
            return met
        # a softmax over no key at all is NaN, and so is its gradient: such a query sees all keys, then is set to 0
        some = keys.any(-1, keepdim=True)
        met = self.out(_attend(q, k, v, keys | ~some, 0.0))
        return torch.where(some if keys.ndim == 3 else some[:, None], met, 0.0)


def _heads(x: Float[Tensor, "batch time dim"], heads: int) -> Float[Tensor, "batch heads time width"]:
    return rearrange(x, "b t (h d) -> b h t d", h=heads)


def _attend(q: Tensor, k: Tensor, v: Tensor, keys: Tensor | None, dropout: float) -> Float[Tensor, "batch time dim"]:
    """Scaled dot-product attention; queries, keys and values are [batch, heads, time, width]."""
    if keys is not None:
        keys = keys[:, None, None, :] if keys.ndim == 2 else keys[:, None]
    met = F.scaled_dot_product_attention(q, k, v, attn_mask=keys, dropout_p=dropout)
    return rearrange(met, "b h t d -> b t (h d)")


def _weights(q: Tensor, k: Tensor, keys: Tensor | None) -> Float[Tensor, "batch time key"]:
    """What `_attend` multiplies its values by, mean over heads."""
    logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    if keys is not None:
        keys = keys[:, None, None, :] if keys.ndim == 2 else keys[:, None]
        logits = logits.masked_fill(~keys, -torch.inf)
    found: Tensor = logits.softmax(-1).nan_to_num(0.0).mean(1)
    return found


def _feed(dim: int, hidden: int, dropout: float, activation: Callable[[], nn.Module]) -> nn.Sequential:
    return nn.Sequential(
        nn.LayerNorm(dim), nn.Linear(dim, hidden), activation(), nn.Dropout(dropout), nn.Linear(hidden, dim)
    )
