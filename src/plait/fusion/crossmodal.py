"""Intermediate fusion: every modality attends to every other one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import ClassVar, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.options import Few
from plait.fusion import Hybrid
from plait.tokens import Tokens, cat
from plait.tokens.attention import AttentionLayer, CrossLayer, Turn, causal_keys, relative, rotation
from plait.tokens.pooling import one_token, summed
from plait.tokens.rollout import attended, even, rolled, shares, unit
from plait.tokens.tokens import whole

__all__ = ["Crossmodal"]


class Crossmodal(Hybrid):
    """Multimodal transformer, MulT (Tsai et al. 2019): streams need no alignment.

    For every ordered pair of modalities, a transformer lets the tokens of one (the target) attend to the encoder's
    tokens of the other (the source). A target's results from all sources are concatenated and go through a second
    transformer. The result is one token: the sum over the present modalities of a linear map of the mean and maximum of
    those outputs, or of the last output as in the paper. The number of pairs grows with the square of the number of
    modalities. If a pair's source is missing, only the feed-forward parts act on the target.

    Departures from the paper: rotary positions in real seconds, and mean and maximum unless ``last``; no dropout on
    the attention weights, so that the fused kernel is used in training too. With ``positions`` set to ``index`` (sines
    of the place among the observed tokens) or ``none``, all else is as in the authors' code: tokens are scaled by the
    square root of the width and, if ``causal``, the mask is by place.

    Args:
        modalities: their names.
        dim: width of the tokens.
        layers: layers of each pair's transformer.
        memory: layers of each target's second transformer.
        heads: attention heads. ``2 * heads`` must divide the width if positions are ``seconds``, else ``heads`` must.
        dropout: share set to 0 in training.
        causal: whether no token sees a later one (by place: at most the difference of the two lengths ahead).
        positions: ``seconds``, ``index`` or ``none``.
        periods: shortest and longest, in seconds; see `Shared`.
        last: whether to pool each modality by its last token, instead of by mean and maximum.
        unimodal_heads: see `Hybrid`.

    Raises:
        ConfigError: an impossible width, number of layers, period or kind of positions.

    >>> t = Tokens(torch.ones(2, 6, 16), torch.arange(6.0).expand(2, 6), torch.ones(2, 6) > 0)
    >>> tuple(Crossmodal(["a", "b"], 16)({"a": t}).values.shape)
    (2, 1, 16)
    """

    trial: ClassVar[dict[str, object]] = {"layers": 1}

    def __init__(
        self,
        modalities: list[str],
        dim: int,
        *,
        layers: Few = 2,
        memory: int = 1,
        heads: Few = 4,
        dropout: float = 0.1,
        causal: bool = False,
        positions: str = "seconds",
        periods: Sequence[float] = (0.05, 100.0),
        last: bool = False,
        unimodal_heads: str = "mean",
    ) -> None:
        super().__init__(modalities, dim, unimodal_heads)
        _check(dim, heads, min(layers, memory), positions, periods)
        self.heads, self.positions, self.last = heads, positions, last
        self.causal = causal  # type: ignore[misc]  # an instance may override the class's value
        self.periods = float(periods[0]), float(periods[1])
        count = len(self.modalities)
        # a single modality has no source: it has only its second transformer
        self.sources = [[j for j in range(count) if j != i] for i in range(count)]
        wide = max(count - 1, 1) * dim
        self.pairs = nn.ModuleList(
            nn.ModuleList(_stack(CrossLayer, layers, dim, heads, dropout) for _ in range(count - 1))
            for _ in range(count)
        )
        self.norms = nn.ModuleList(nn.ModuleList(nn.LayerNorm(dim) for _ in range(count - 1)) for _ in range(count))
        self.memory = nn.ModuleList(_stack(AttentionLayer, memory, wide, heads, dropout) for _ in range(count))
        self.leave = nn.ModuleList(nn.LayerNorm(wide) for _ in range(count))
        self.pool = nn.ModuleList(nn.Linear(wide if last else 2 * wide, dim) for _ in range(count))
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: dict[str, Tokens]) -> Tokens:
        if not self.last:
            return summed(self.pool, self.streams(tokens))
        parts = list(self.complete(tokens).values())
        ends = zip(parts, self.pool, self.ends(tokens))
        each = [torch.where(t.present[:, None], pool(end), 0.0) for t, pool, end in ends]
        return one_token(parts, torch.stack(each).sum(0))

    def flow(self, tokens: dict[str, Tokens]) -> dict[str, Tensor] | None:
        if self.last:
            return None
        parts = list(self.complete(tokens).values())
        own = unit(parts)
        with attended(self) as seen:
            self.streams(tokens)
        queue, met = iter(seen), list[Tensor]()
        for i, pairs in enumerate(self.pairs):
            ends = [own[i]] if not self.sources[i] else []
            for j, layers in zip(self.sources[i], cast("Iterable[nn.ModuleList]", pairs)):
                came = own[i]
                for _ in layers:
                    came = rolled(next(queue), own[j], came)
                ends.append(came)
            met.append(torch.stack(ends).mean(0))
        for i, layers in enumerate(cast("Iterable[nn.ModuleList]", self.memory)):
            for _ in layers if parts[i].mask.shape[1] else ():
                met[i] = rolled(next(queue), met[i])
        last = torch.stack([w @ x for w, x in zip(even(parts), met)]).sum(0)
        return dict(zip(self.modalities, shares(parts, last)))

    def streams(self, tokens: dict[str, Tokens]) -> list[Tokens]:
        """Each modality's tokens after its last transformer, [batch, time_m, (modalities - 1) * dim] each."""
        parts = list(self.complete(tokens).values())
        found = [self.leave[i](self._remember(t, self.memory[i].children())) for i, t in enumerate(self._met(parts))]
        return [t.with_values(x).clean() for t, x in zip(parts, found)]

    def ends(self, tokens: dict[str, Tokens]) -> list[Float[Tensor, "batch wide"]]:
        """The last token of each of the `streams`. The last layer computes nothing else.

        Where a modality is missing, the numbers are finite but meaningless.
        """
        found = []
        for i, t in enumerate(self._met(list(self.complete(tokens).values()))):
            *layers, final = cast("Iterable[AttentionLayer]", self.memory[i])
            x = self._remember(t, layers)
            if x.shape[1]:
                # the latest by time: tokens need not be sorted, and `_timed` leaves no time below 0
                place = torch.where(t.mask, t.times, -1.0).argmax(1)
                keys = None if whole(t.mask) else t.mask | ~t.present[:, None]
                x = final.one(x, place, self._turn(t, t.dim), keys)
                found.append(self.leave[i](x)[:, 0])
            else:
                found.append(x.new_zeros(x.shape[0], t.dim))
        return found

    def _met(self, parts: list[Tokens]) -> list[Tokens]:
        ready = [t.with_values(self._enter(t)) for t in self._timed(parts)]
        return [self._meet(i, ready) for i in range(len(ready))]

    def _timed(self, parts: list[Tokens]) -> list[Tokens]:
        """Times since the row's first observation of any modality; or places among the observed tokens."""
        if self.positions != "seconds":
            return [t._replace(times=(t.mask.cumsum(1) - 1).clamp(min=0).to(t.times.dtype)) for t in parts]
        since = relative(cat(parts)).split([t.mask.shape[1] for t in parts], 1)
        return [t._replace(times=when) for t, when in zip(parts, since)]

    def _enter(self, tokens: Tokens) -> Float[Tensor, "batch time dim"]:
        x = tokens.values if self.positions == "seconds" else self.dim**0.5 * tokens.values
        entered: Tensor = self.dropout(x + _sines(tokens.times, self.dim) if self.positions == "index" else x)
        return entered

    def _turn(self, tokens: Tokens, dim: int) -> Turn | None:
        return rotation(tokens.times, dim // self.heads, *self.periods) if self.positions == "seconds" else None

    def _meet(self, target: int, parts: list[Tokens]) -> Tokens:
        """A target's results from all its sources, concatenated."""
        mine, found = parts[target], []
        pairs, norms = self.pairs[target].children(), self.norms[target].children()
        for source, layers, norm in zip(self.sources[target], pairs, norms):
            x, other = mine.values, parts[source]
            turns = self._turn(mine, self.dim), self._turn(other, self.dim)
            keys = self._keys(mine, other)
            for layer in layers.children():
                x = layer(x, other.values, keys=keys, turn=turns[0], turn_source=turns[1])
            found.append(norm(x))
        return mine.with_values(torch.cat(found, -1)) if found else mine

    def _remember(self, tokens: Tokens, layers: Iterable[nn.Module]) -> Float[Tensor, "batch time wide"]:
        x = tokens.values if self.positions == "seconds" else tokens.dim**0.5 * tokens.values
        keys, turn = self._keys(tokens, tokens), self._turn(tokens, tokens.dim)
        if keys is not None:
            keys = keys | ~keys.any(-1, keepdim=True)  # such a query is masked itself
        for layer in layers if x.shape[1] else ():
            x = layer(x, turn, keys)
        return x

    def _keys(
        self, mine: Tokens, other: Tokens
    ) -> Bool[Tensor, "batch other_time"] | Bool[Tensor, "#batch time other_time"] | None:
        if whole(mine.mask) and whole(other.mask):
            # no mask, or one for all rows (places are the same in each): the same result with a third of the memory
            if not self.causal:
                return None
            if self.positions != "seconds":
                mine, other = (Tokens(*(x[:1] for x in t)) for t in (mine, other))
        if not self.causal:
            return other.mask
        if self.positions == "seconds":
            return causal_keys(mine.times, other.times, other.mask)
        ahead = (mine.mask.sum(1, keepdim=True) - other.mask.sum(1, keepdim=True)).abs()
        return causal_keys(mine.times + ahead, other.times, other.mask)


def _check(dim: int, heads: int, layers: int, positions: str, periods: Sequence[float]) -> None:
    if positions not in ("seconds", "index", "none"):
        raise ConfigError(f"crossmodal: positions is {positions!r}; expected 'seconds', 'index' or 'none'.")
    parts = 2 * heads if positions == "seconds" else heads
    if dim % parts or layers < 1 or len(periods) != 2 or not 0 < periods[0] < periods[1]:
        raise ConfigError(
            f"crossmodal: width {dim} with {heads} heads, {layers} layers, periods {list(periods)} s; expected a "
            f"width that {parts} divides, 1 layer or more, and two rising periods above 0."
        )


def _stack(
    kind: type[CrossLayer] | type[AttentionLayer], layers: int, dim: int, heads: int, dropout: float
) -> nn.ModuleList:
    # ReLU and a hidden width of 4 * dim, as in the authors' code
    more = {"attention_dropout": 0.0} if kind is AttentionLayer else {}
    relu = partial(nn.ReLU, inplace=True)
    return nn.ModuleList(kind(dim, heads, 4 * dim, dropout, activation=relu, **more) for _ in range(layers))


def _sines(place: Float[Tensor, "batch time"], dim: int) -> Float[Tensor, "batch time dim"]:
    """Sines, then cosines, of the place counted from 1 (Vaswani et al. 2017, as in the authors' code)."""
    half = dim // 2
    rate = 10000.0 ** (-torch.arange(half, dtype=place.dtype, device=place.device) / max(half - 1, 1))
    angle = (place[..., None] + 1) * rate
    found = torch.cat([angle.sin(), angle.cos()], -1)
    return torch.nn.functional.pad(found, (0, dim - 2 * half))
