"""Transformer with rotary positions in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.options import Count, Few
from plait.encoders import Encoder
from plait.tokens import Tokens
from plait.tokens.attention import Attend, AttentionLayer, relative, rotation

__all__ = ["Transformer"]


class Transformer(Encoder):
    """Pre-norm transformer layers over the observed tokens, with rotary positions on real seconds.

    A linear layer, then ``layers`` times attention and feed-forward (Vaswani et al. 2017; layer norms first, Xiong et
    al. 2020), then a layer norm. Rotary positions (Su et al. 2021, equation 34) rotate by ``2 pi * seconds / period``,
    with periods spaced geometrically (departure from the paper: it counts positions, with a base of 10000). So rates
    may differ, pauses keep their length, and gaps need no tokens.

    Attention uses torch's fused kernel, without dropout on its weights, so memory is linear in length. Time is
    quadratic, unless ``window`` is given: then a token sees itself and exactly the ``window`` observed tokens before it
    (and, unless ``causal``, after it), computed in blocks of ``window`` (local attention as in Beltagy et al. 2020,
    "Longformer", section 3.1); ``layers`` layers reach ``layers`` times as far.

    Args:
        dim_in: width of the incoming tokens.
        dim: width of the outgoing tokens, a multiple of ``2 * heads``.
        layers: transformer layers.
        heads: attention heads per layer.
        dropout: share set to 0 in training.
        periods: shortest and longest, in seconds. Time differences far below the shortest are not resolved; beyond
            the longest, all angles repeat.
        causal: whether no token sees a later one.
        window: how many observed tokens away attention reaches; None for no limit.

    Raises:
        ConfigError: no layer, a width that ``2 * heads`` does not divide, periods that are not two rising numbers
            above 0, or a window below 1.

    >>> tokens = Tokens(torch.ones(2, 50, 3), torch.arange(50.0).expand(2, 50), torch.ones(2, 50) > 0)
    >>> tuple(Transformer(3, 16, window=8)(tokens).values.shape)
    (2, 50, 16)
    """

    def __init__(
        self,
        dim_in: int,
        dim: int,
        *,
        layers: Few = 2,
        heads: Few = 4,
        dropout: float = 0.2,
        periods: Sequence[float] = (0.05, 100.0),
        causal: bool = False,
        window: Count | None = None,
    ) -> None:
        super().__init__()
        if layers < 1 or heads < 1 or dim % (2 * heads):
            raise ConfigError(
                f"transformer: {layers} layers and {heads} heads at width {dim}; expected 1 layer or more and a width "
                "that 2 * heads divides. Change heads, or the model's dim."
            )
        if len(periods) != 2 or not 0 < periods[0] < periods[1]:
            raise ConfigError(f"transformer: periods {list(periods)} s; expected two rising numbers above 0.")
        if window is not None and window < 1:
            raise ConfigError(f"transformer: window {window}; expected 1 token or more, or null for all.")
        self.dim_in, self.dim, self.causal = dim_in, dim, causal  # type: ignore[misc]
        self.periods, self.heads, self.window = (float(periods[0]), float(periods[1])), heads, window
        self.reach = layers * window if causal and window is not None else None
        self.enter = nn.Linear(dim_in, dim)
        # no dropout on the attention weights: torch's fused kernel cannot be used with it
        self.layers = nn.ModuleList(
            AttentionLayer(dim, heads, 2 * dim, dropout, attention_dropout=0.0) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(dim)

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens.clean()
        x = self.enter(tokens.values)
        if x.shape[1] == 0:
            return tokens.with_values(x)
        if self.window is None and not self.causal:
            # a row without any token attends to its zeros: finite, and masked on the way out
            x = self._layers(x, relative(tokens), tokens.mask | ~tokens.present[:, None], None)
        else:
            x = self._in_order(x, tokens)
        return tokens.with_values(self.norm(x)).clean()

    def kept(self, rows: Tokens, whole: int) -> Tokens:
        """The last observed rows: masked ones are not within the reach of ``window`` tokens."""
        order = torch.argsort(rows.mask.to(torch.uint8), dim=1, stable=True)[:, -(self.reach or 0) :]
        index = order[..., None].expand(-1, -1, self.dim_in)
        return Tokens(rows.values.gather(1, index), rows.times.gather(1, order), rows.mask.gather(1, order))

    def _in_order(self, x: Tensor, tokens: Tokens) -> Float[Tensor, "batch time dim"]:
        """Run the layers with the observed tokens moved to the front."""
        # then a causal or local mask by place hides the padding too, and ``window`` counts observed tokens
        order = torch.argsort((~tokens.mask).to(torch.uint8), dim=1, stable=True)
        front, seconds = _take(x, order), relative(tokens).gather(1, order)
        attend = (
            _attend_before if self.window is None else partial(_attend_near, window=self.window, causal=self.causal)
        )
        return _take(self._layers(front, seconds, tokens.mask.gather(1, order), attend), torch.argsort(order, dim=1))

    def _layers(self, x: Tensor, seconds: Tensor, keys: Tensor, attend: Attend | None) -> Tensor:
        turn = rotation(seconds, self.dim // self.heads, *self.periods)
        for layer in self.layers:
            x = layer(x, turn, keys, attend)
        return x


def _take(values: Float[Tensor, "batch time dim"], index: Tensor) -> Float[Tensor, "batch time dim"]:
    return values.gather(1, index[..., None].expand_as(values))


def _attend_before(q: Tensor, k: Tensor, v: Tensor, keys: Tensor | None, dropout: float) -> Tensor:
    """Attention of each place to itself and earlier places; padding comes last, so it is never seen."""
    # the flag instead of a mask: the fused kernel then stores no matrix of time x time
    met = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=dropout)
    return rearrange(met, "b h t d -> b t (h d)")


def _attend_near(
    q: Float[Tensor, "batch heads time width"],
    k: Float[Tensor, "batch heads time width"],
    v: Float[Tensor, "batch heads time width"],
    keys: Bool[Tensor, "batch time"],
    dropout: float,
    *,
    window: int,
    causal: bool,
) -> Float[Tensor, "batch time dim"]:
    """Attention to places at most ``window`` away: blocks of queries against their own and the neighbouring blocks."""
    batch, time = keys.shape
    short = -time % window
    q, k, v = (F.pad(x, (0, 0, 0, short)) for x in (q, k, v))
    after = 0 if causal else window
    near = [_windows(x, window, after) for x in (k, v)]
    seen = rearrange(_windows(F.pad(keys, (0, short))[:, None, :, None], window, after), "b 1 k 1 -> b 1 1 k")
    # places of the keys, counted from the block's first query
    places = torch.arange(2 * window + after, device=q.device) - window
    apart = places - torch.arange(window, device=q.device)[:, None]
    # each place sees at least itself, so that padding stays finite
    seen = (seen & (apart.abs() <= window) & (apart <= after)) | (apart == 0)
    blocks = rearrange(q, "b h (n w) d -> (b n) h w d", w=window)
    met = F.scaled_dot_product_attention(blocks, near[0], near[1], attn_mask=seen, dropout_p=dropout)
    return rearrange(met, "(b n) h w d -> b (n w) (h d)", b=batch)[:, :time]


def _windows(x: Tensor, window: int, after: int) -> Tensor:
    """[batch, heads, n * window, d] -> [batch * n, heads, window before + window + after, d], zeros beyond the ends."""
    wide = F.pad(x, (0, 0, window, after)).unfold(2, 2 * window + after, window)
    return rearrange(wide, "b h n d w -> (b n) h w d")
