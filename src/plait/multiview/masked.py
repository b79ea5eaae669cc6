"""Masked reconstruction: spans of streams are hidden, and told from what is left of them and from the others."""

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
"""Hidden observations of one item and modality that are asked for in one step, drawn at random: a bound on memory."""


def hide_spans(batch: Mapping[str, Tokens], share: float, span: float) -> dict[str, Tokens]:
    """The batch with spans of time hidden (masked), in each modality others.

    Time is cut into cells of ``span`` times the item's length, from a random phase; each cell of each modality is
    hidden with probability ``share``. What is hidden is simply not there: encoders take gaps as they come, so no token
    that says "masked" is learnt which later never occurs (as in MAE, He et al. 2022, whose encoder sees visible
    patches only).

    Args:
        batch: features by modality.
        share: of the cells to hide, 0 to 1.
        span: length of a cell, as a share of the time from the item's first observation to its last.

    >>> t = torch.arange(100.0)[None]
    >>> with torch.random.fork_rng():
    ...     _ = torch.manual_seed(0)
    ...     kept = hide_spans({"a": Tokens(torch.ones(1, 100, 1), t, t >= 0)}, 0.5, 0.1)["a"].mask
    >>> int((kept[:, 1:] != kept[:, :-1]).sum()) < 12
    True
    """
    first, length = _extent(list(batch.values()))
    cells = int(1 / span) + 2
    hidden = {}
    for m, t in batch.items():
        phase, drawn = torch.rand(len(t.mask), 1), torch.rand(len(t.mask), cells) < share
        place = (torch.where(t.mask, t.times, first) - first) / (length * span) + phase
        cell = place.long().clamp(0, cells - 1)
        hidden[m] = Tokens(t.values, t.times, t.mask & ~drawn.to(t.mask.device).gather(1, cell))
    return hidden


def _extent(parts: list[Tokens]) -> tuple[Float[Tensor, "batch 1"], Float[Tensor, "batch 1"]]:
    """First instant of an item over all its modalities, and seconds from there to the last."""
    every = cat([p.with_values(p.values[..., :0]) for p in parts])
    far = torch.finfo(every.times.dtype).max
    first = torch.where(every.mask, every.times, far).amin(1, keepdim=True)
    last = torch.where(every.mask, every.times, -far).amax(1, keepdim=True)
    there = every.present[:, None]
    return torch.where(there, first, 0.0), torch.where(there, last - first, 1.0).clamp(min=1e-6)


class Reconstruct(nn.Module):
    """What did this modality show at this instant? Told from an item's tokens, and scored where it was hidden.

    A query for each hidden observation, the modality's own vector at its seconds, looks at all tokens of the item by
    one layer of cross-attention (as the decoders of MultiMAE, Bachmann et al. 2022, section 3.3), with rotary positions
    on real seconds; one linear layer a modality gives its features. The loss is the mean squared error of the
    standardised features (He et al. 2022, equation of section 3, of hidden places only). Because a query names an
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
        """Features of a modality at ``times``, told from an item's tokens."""
        index, source = self.modalities.index(modality), tokens.clean()
        asked = self.query[index].expand(*times.shape, -1)
        # only differences of times count: from the first token on, small numbers keep their digits
        first = _extent([source])[0]
        turn = rotation(times - first, self.turned, *self.periods)
        turn_source = rotation(source.times - first, self.turned, *self.periods)
        x = self.look(asked, source.values, keys=source.mask, turn=turn, turn_source=turn_source)
        rebuilt: Tensor = self.leave[index](self.norm(x))
        return rebuilt

    def forward(self, truth: Mapping[str, Tokens], shown: Mapping[str, Tokens], tokens: Tokens) -> Float[Tensor, ""]:
        """Mean squared error of what was hidden, the mean over the modalities that had anything hidden.

        Args:
            truth: standardised features by modality, finite.
            shown: the same with what was hidden masked.
            tokens: what the encoders made of ``shown``, all modalities together.
        """
        found = [self._one(m, truth[m], shown[m].mask, tokens) for m in self.modalities if m in truth]
        losses = [loss for loss in found if loss is not None]
        return torch.stack(losses).mean() if losses else tokens.clean().values.sum() * 0.0

    def _one(self, modality: str, truth: Tokens, shown: Tensor, tokens: Tokens) -> Tensor | None:
        hidden = truth.mask & ~shown & tokens.present[:, None]
        if not bool(hidden.any()):
            return None
        score = torch.where(hidden, torch.rand(hidden.shape, device=hidden.device), -1.0)
        pick = score.topk(min(ASKED, hidden.shape[1], int(hidden.sum(1).max())), 1).indices
        wanted = truth.values.gather(1, pick[..., None].expand(-1, -1, truth.dim))
        told = self.at(modality, torch.where(truth.mask, truth.times, 0.0).gather(1, pick), tokens)
        asked = hidden.gather(1, pick)[..., None]
        error = torch.where(asked, told - wanted, 0.0).square().mean(-1)
        return error.sum() / asked.sum()
