"""Early fusion: all modalities concatenated at the ticks of one of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.options import Few
from plait.fusion import Hybrid
from plait.tokens import Tokens, cat
from plait.tokens.attention import AttentionLayer, relative, rotation

__all__ = ["Nearest", "side_by_side", "tick_source"]

SLACK = 1e-4
"""Seconds by which a later observation must be nearer than an earlier one, so that rounding does not decide."""

PERIODS = (0.05, 100.0)


class Nearest(Hybrid):
    """At each tick of one modality, take the nearest observation of every other; project; then self-attention.

    The ticks are those of the modality that ``to`` names, or of the one with the fewest (``slowest``) or the most
    (``fastest``) tokens in the item. If the named modality is missing, the slowest gives the ticks. A flag per modality
    tells whether it had an observation within reach. Then one transformer layer, with positions in seconds, runs over
    the ticks.

    Args:
        modalities: their names.
        dim: width of their tokens, and of the result.
        to: ``slowest``, ``fastest``, or the name of a modality.
        within: largest distance of an observation from a tick, in seconds; None for no limit.
        heads: attention heads.
        dropout: share set to 0 in training.
        unimodal_heads: see `Hybrid`.

    Raises:
        ConfigError: an unknown ``to``, ``within`` is not above 0, ``2 * heads`` does not divide the width, or an
            unknown ``unimodal_heads``.

    >>> fusion = Nearest(["a", "b"], 8, to="a", heads=2)
    >>> t = Tokens(torch.ones(1, 6, 8), torch.arange(6.0)[None], torch.ones(1, 6) > 0)
    >>> tuple(fusion({"a": t}).values.shape)
    (1, 6, 8)
    """

    family = "early"

    def __init__(
        self,
        modalities: list[str],
        dim: int,
        *,
        to: str = "slowest",
        within: float | None = None,
        heads: Few = 4,
        dropout: float = 0.2,
        unimodal_heads: str = "mean",
    ) -> None:
        super().__init__(modalities, dim, unimodal_heads)
        if dim % (2 * heads) or (within is not None and not within > 0):
            raise ConfigError(
                f"nearest: width {dim} with {heads} heads, within {within} s; expected a width that 2 * heads "
                "divides, and a time above 0 or null."
            )
        self.source, self.within, self.heads = tick_source("nearest", self.modalities, to), within, heads
        self.project, self.norm = nn.Linear(len(self.modalities) * (dim + 1), dim), nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self.layer = AttentionLayer(dim, heads, 2 * dim, dropout, attention_dropout=0.0)

    def forward(self, tokens: dict[str, Tokens]) -> Tokens:
        parts = list(self.complete(tokens).values())
        beside, seen, ticks = side_by_side(parts, self.source, self.within)
        columns = torch.cat([beside, seen[..., None].to(beside.dtype)], -1).flatten(2)
        x = self.dropout(F.gelu(self.norm(self.project(columns))))
        if x.shape[1]:
            turn = rotation(relative(ticks), self.dim // self.heads, *PERIODS)
            x = self.layer(x, turn, ticks.mask | ~ticks.present[:, None])
        return ticks.with_values(x).clean()


def tick_source(part: str, modalities: Sequence[str], to: str) -> int | str:
    """The index of the modality that ``to`` names, or ``to`` itself if it is ``slowest`` or ``fastest``.

    Raises:
        ConfigError: ``to`` is none of them.
    """
    if to in modalities:
        return list(modalities).index(to)
    if to not in ("slowest", "fastest"):
        raise ConfigError(f"{part}: to is {to!r}; expected 'slowest', 'fastest' or one of {list(modalities)}.")
    return to


def side_by_side(
    parts: Sequence[Tokens], source: int | str, within: float | None = None
) -> tuple[Float[Tensor, "batch ticks modalities dim"], Bool[Tensor, "batch ticks modalities"], Tokens]:
    """All modalities at the ticks of one of them.

    Memory is linear in the number of tokens: each tick is looked up in the sorted times.

    Args:
        parts: clean tokens of each modality, all of the same width.
        source: whose ticks, from `tick_source`.
        within: largest distance of an observation from a tick, in seconds.

    Returns:
        The values (zeros where no observation is near), whether one is near, and the ticks in order of time (with
        values of width 0), at the front of their row.

    >>> def at(*times):
    ...     when = torch.tensor([times])
    ...     return Tokens(when[..., None], when, when >= 0)
    >>> values, seen, ticks = side_by_side([at(0.0, 1.0, 2.0), at(0.4, 1.9)], "slowest", 0.3)
    >>> values[0, :2, 0, 0].tolist(), seen[0, :2].tolist(), ticks.mask.tolist()
    ([0.0, 2.0], [[False, True], [True, True]], [[True, True, False]])
    """
    ticks = _ticks(parts, source)
    found = [_near(part, ticks, within) for part in parts]
    return torch.stack([v for v, _ in found], 2), torch.stack([s for _, s in found], 2), ticks


def _ticks(parts: Sequence[Tokens], source: int | str) -> Tokens:
    """The times of each row's source, sorted, at the front of the row."""
    every = cat([t.with_values(t.values[..., :0]) for t in parts])
    owner = torch.cat([torch.full_like(t.times[0], i) for i, t in enumerate(parts)])
    mine = every.mask & (owner == _owner(parts, source)[:, None])
    times, order = torch.where(mine, every.times, torch.inf).sort(dim=1, stable=True)
    # rows may take their ticks from different modalities, so there are as many places as the longest has
    longest = max(t.mask.shape[1] for t in parts)
    mask = mine.gather(1, order)[:, :longest]
    return Tokens(every.values[:, :longest], torch.where(mask, times[:, :longest], 0.0), mask)


def _owner(parts: Sequence[Tokens], source: int | str) -> Int[Tensor, " batch"]:
    """Index of the modality whose ticks each row takes."""
    count = torch.stack([t.mask.sum(1) for t in parts], 1)
    if source == "fastest":
        return count.argmax(1)
    slowest = torch.where(count > 0, count, torch.iinfo(count.dtype).max).argmin(1)
    if isinstance(source, str):
        return slowest
    return torch.where(count[:, source] > 0, source, slowest)


def _near(part: Tokens, ticks: Tokens, within: float | None) -> tuple[Tensor, Tensor]:
    """The value of the nearest token at each tick [batch, ticks, dim], and whether one is within reach."""
    rows, size = part.mask.shape
    if not size:
        return part.values.new_zeros(rows, ticks.mask.shape[1], part.dim), ticks.mask & False
    # stable: which of several tokens at one time is taken must not depend on the padding
    times, order = torch.where(part.mask, part.times, torch.inf).sort(dim=1, stable=True)
    after = torch.searchsorted(times, ticks.times.contiguous()).clamp(max=size - 1)
    before = (after - 1).clamp(min=0)
    late, early = (times.gather(1, place) - ticks.times for place in (after, before))
    place = torch.where(late.abs() < early.abs() - SLACK, after, before)
    # masked tokens sort to infinity: an infinite gap means that the row has no observation
    gap = (times.gather(1, place) - ticks.times).abs()
    seen = ticks.mask & gap.isfinite() & (gap <= (torch.inf if within is None else within + SLACK))
    pick = order.gather(1, place)[..., None].expand(-1, -1, part.dim)
    return torch.where(seen[..., None], part.values.gather(1, pick), 0.0), seen
