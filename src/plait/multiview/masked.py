"""Masked reconstruction: spans of streams are hidden, and predicted from the rest and from the other streams."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.tokens import Tokens, cat
from plait.tokens.attention import CrossLayer, rotation

__all__ = ["Reconstruct", "hide_spans"]

ASKED = 32
"""Hidden observations per item and modality that are predicted in one step, drawn at random: a bound on memory."""


def hide_spans(batch: Mapping[str, Tokens], share: float, span: float) -> dict[str, Tokens]:
    """The batch with spans of time hidden (masked), different ones in each modality.

    Time is cut into cells of ``span`` times the item's length, from a random phase; each cell of each modality is
    hidden with probability ``share``. Hidden observations are masked out. Encoders accept gaps, so no "masked" token is
    learnt that never occurs later (as in MAE, He et al. 2022, whose encoder sees visible patches only).

    Args:
        batch: features by modality.
        share: share of the cells to hide, 0 to 1.
        span: length of a cell, as a share of the time from the item's first observation to its last.

    >>> t = torch.arange(100.0)[None]
    >>> with torch.random.fork_rng():
    ...     _ = torch.manual_seed(0)
    ...     kept = hide_spans({"a": Tokens(torch.ones(1, 100, 1), t, t >= 0)}, 0.5, 0.1)["a"].mask
    >>> int((kept[:, 1:] != kept[:, :-1]).sum()) < 12
    True
    """
    first, length = _extent(list(batch.values()))
    cells = int(1 / span) + 2  # the phase shifts the last one by up to a cell, and the end itself belongs to one
    hidden = {}
    for m, t in batch.items():
        phase, drawn = torch.rand(len(t.mask), 1), torch.rand(len(t.mask), cells) < share
        place = (torch.where(t.mask, t.times, first) - first) / (length * span) + phase
        cell = place.long().clamp(0, cells - 1)
        hidden[m] = Tokens(t.values, t.times, t.mask & ~drawn.to(t.mask.device).gather(1, cell))
    return hidden


def _extent(parts: list[Tokens]) -> tuple[Float[Tensor, "batch 1"], Float[Tensor, "batch 1"]]:
    """The first instant of an item over all its modalities, and the seconds from there to the last."""
    # Times only: the widths of the values differ between modalities, and are not needed.
    every = cat([p.with_values(p.values[..., :0]) for p in parts])
    far = torch.finfo(every.times.dtype).max
    first = torch.where(every.mask, every.times, far).amin(1, keepdim=True)
    last = torch.where(every.mask, every.times, -far).amax(1, keepdim=True)
    there = every.present[:, None]
    return torch.where(there, first, 0.0), torch.where(there, last - first, 1.0).clamp(min=1e-6)


class Reconstruct(nn.Module):
    """Predicts a modality's features at given instants from an item's tokens; the loss counts hidden observations.

    Each hidden observation has a query: a learnt vector of the modality, at the observation's time. It attends to all
    tokens of the item in one layer of cross-attention (as the decoders of MultiMAE, Bachmann et al. 2022, section 3.3),
    with rotary positions in seconds; one linear layer per modality gives the features. The loss is the mean squared
    error of the standardised features (He et al. 2022, equation of section 3, hidden places only). As a query names an
    instant, encoders may give fewer tokens than there are observations, at any rate.

    Args:
        dims: width of the features by modality.
        dim: width of the tokens, a multiple of ``2 * heads``.
        heads: of attention.
        periods: shortest and longest of the rotary positions, seconds.

    Raises:
        ConfigError: the width does not fit the heads.

    >>> ask = Reconstruct({"a": 3}, 8)
    >>> t = torch.arange(5.0)[None]
    >>> tuple(ask.at("a", t[:, 1:3], Tokens(torch.ones(1, 5, 8), t, t != 1)).shape)
    (1, 2, 3)
    """

    def __init__(
        self, dims: Mapping[str, int], dim: int, *, heads: int = 4, periods: tuple[float, float] = (0.05, 100.0)
    ) -> None:
        super().__init__()
        if dim % (2 * heads):
            raise ConfigError(f"pretrain: width {dim} with {heads} heads; expected a width that 2 * heads divides.")
        self.modalities, self.periods, self.turned = list(dims), periods, dim // heads
        self.query = nn.Parameter(torch.randn(len(dims), dim) * 0.02)
        self.look = CrossLayer(dim, heads, 2 * dim, 0.0)
        self.norm = nn.LayerNorm(dim)
        self.leave = nn.ModuleList(nn.Linear(dim, width) for width in dims.values())

    def at(
        self, modality: str, times: Float[Tensor, "batch asked"], tokens: Tokens
    ) -> Float[Tensor, "batch asked dim"]:
        """Features of a modality at ``times``, predicted from an item's tokens."""
        index, source = self.modalities.index(modality), tokens.clean()
        asked = self.query[index].expand(*times.shape, -1)
        # Only differences of times count; relative to the first token they are small, and keep their digits in float32.
        first = _extent([source])[0]
        turn = rotation(times - first, self.turned, *self.periods)
        turn_source = rotation(source.times - first, self.turned, *self.periods)
        x = self.look(asked, source.values, keys=source.mask, turn=turn, turn_source=turn_source)
        rebuilt: Tensor = self.leave[index](self.norm(x))
        return rebuilt

    def forward(self, truth: Mapping[str, Tokens], shown: Mapping[str, Tokens], tokens: Tokens) -> Float[Tensor, ""]:
        """Mean squared error of the hidden observations, averaged over the modalities that have any.

        Args:
            truth: standardised features by modality, finite.
            shown: the same, with the hidden observations masked.
            tokens: the encoders' tokens of ``shown``, all modalities together.
        """
        found = [self._one(m, truth[m], shown[m].mask, tokens) for m in self.modalities if m in truth]
        losses = [loss for loss in found if loss is not None]
        # Nothing hidden: a zero that depends on the tokens, so that backward() has something to go through.
        return torch.stack(losses).mean() if losses else tokens.clean().values.sum() * 0.0

    def _one(self, modality: str, truth: Tokens, shown: Tensor, tokens: Tokens) -> Tensor | None:
        hidden = truth.mask & ~shown & tokens.present[:, None]
        if not bool(hidden.any()):
            return None
        # The largest of random numbers: a draw without replacement, for all items at once.
        score = torch.where(hidden, torch.rand(hidden.shape, device=hidden.device), -1.0)
        pick = score.topk(min(ASKED, hidden.shape[1], int(hidden.sum(1).max())), 1).indices
        wanted = truth.values.gather(1, pick[..., None].expand(-1, -1, truth.dim))
        told = self.at(modality, torch.where(truth.mask, truth.times, 0.0).gather(1, pick), tokens)
        asked = hidden.gather(1, pick)[..., None]
        error = torch.where(asked, told - wanted, 0.0).square().mean(-1)
        return error.sum() / asked.sum()
