"""Intermediate fusion: an LSTM per modality, and a memory of interactions between them."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from plait.fusion import Hybrid
from plait.fusion.nearest import side_by_side, tick_source
from plait.tokens import Tokens
from plait.tokens.loop import over_time
from plait.tokens.pooling import one_token

__all__ = ["Memory"]


class Memory(Hybrid):
    """Memory fusion network (Zadeh et al. 2018).

    All modalities are aligned to the ticks of one (as `Nearest` does), and one LSTM per modality runs over the ticks.
    At every tick, attention over all cell states before and after the tick picks what changed together (delta-memory
    attention), and gates write that into a memory (multi-view gated memory). The result is one token, a linear map of
    the last hidden states and the last memory. If a modality has no observation near a tick, its state is kept. The
    state of a missing modality stays zero and gets no attention. The loop over ticks is slow for long streams: shorten
    them in their encoders.

    Args:
        modalities: their names.
        dim: width of their tokens, of the memory and of the result; each LSTM has half that width.
        to: ``slowest``, ``fastest``, or the name of a modality: whose ticks.
        dropout: share set to 0 within the attention and gate networks, in training.
        unimodal_heads: see `Hybrid`.

    Raises:
        ConfigError: an unknown ``to``.

    >>> t = Tokens(torch.ones(2, 6, 16), torch.arange(6.0).expand(2, 6), torch.ones(2, 6) > 0)
    >>> tuple(Memory(["a", "b"], 16)({"a": t}).values.shape)
    (2, 1, 16)
    """

    def __init__(
        self,
        modalities: list[str],
        dim: int,
        *,
        to: str = "slowest",
        dropout: float = 0.2,
        unimodal_heads: str = "mean",
    ) -> None:
        super().__init__(modalities, dim, unimodal_heads)
        self.source, count = tick_source("memory", self.modalities, to), len(self.modalities)
        self.hidden = half = max(dim // 2, 1)
        self.inner = nn.ModuleList(nn.Linear(dim, 4 * half) for _ in range(count))
        self.again = nn.Parameter(torch.empty(count, half, 4 * half).uniform_(-(half**-0.5), half**-0.5))
        cells = 2 * count * half
        self.look = _two_layers(cells, dim, cells, dropout)
        self.propose = _two_layers(cells, dim, dim, dropout)
        self.keep = _two_layers(cells + dim, dim, dim, dropout)
        self.write = _two_layers(cells + dim, dim, dim, dropout)
        self.leave = nn.Linear(count * half + dim, dim)

    def forward(self, tokens: dict[str, Tokens]) -> Tokens:
        parts = list(self.complete(tokens).values())
        values, seen, ticks = side_by_side(parts, self.source)
        hidden, cells = self.recur(values, seen)
        there = torch.stack([t.present for t in parts], 1)
        return one_token(parts, self.leave(torch.cat([hidden, self.remember(cells, there, ticks.mask)], -1)))

    def recur(
        self, values: Float[Tensor, "batch ticks modalities dim"], seen: Bool[Tensor, "batch ticks modalities"]
    ) -> tuple[Float[Tensor, "batch hidden"], Float[Tensor, "batch ticks_and_one cells"]]:
        """The LSTMs of all modalities at once: last hidden states, and the cell states before and after every tick."""
        enter = torch.stack([inner(values[:, :, i]) for i, inner in enumerate(self.inner)])
        # by hand, not nn.LSTM: a state must stay where nothing is near, and every cell state is needed
        first = values.new_zeros(len(self.inner), values.shape[0], self.hidden)
        rows = [enter.permute(2, 0, 1, 3), seen.permute(1, 2, 0)[..., None]]
        (state, _), (_, cells) = over_time(self._tick, (first, first.clone()), rows)
        every = torch.cat([first[None], cells]).permute(2, 0, 1, 3).flatten(2)
        return _beside(state), every

    def remember(
        self,
        cells: Float[Tensor, "batch ticks_and_one cells"],
        there: Bool[Tensor, "batch modalities"],
        ticks: Bool[Tensor, "batch ticks"],
    ) -> Float[Tensor, "batch dim"]:
        """The memory after the last tick."""
        both = torch.cat([cells[:, :-1], cells[:, 1:]], -1)
        # a row without any modality attends to its zeros: finite, and masked on the way out
        known = (there | ~there.any(1, keepdim=True)).repeat_interleave(self.hidden, 1).repeat(1, 2)[:, None]
        scores = torch.where(known, self.look(both), torch.finfo(both.dtype).min)
        attended = scores.softmax(-1) * both
        # the proposal depends on the cells alone, so it is computed for all ticks at once
        proposed, memory = self.propose(attended).tanh(), cells.new_zeros(cells.shape[0], self.dim)
        rows = [attended.transpose(0, 1), proposed.transpose(0, 1), ticks.T[..., None]]
        return over_time(self._write, (memory,), rows)[0][0]

    def _tick(self, states: tuple[Tensor, ...], row: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Hidden and cell states of all LSTMs after a tick, [modalities, batch, hidden] each."""
        (state, cell), (entering, here) = states, row
        i, f, g, o = (entering + torch.bmm(state, self.again)).chunk(4, -1)
        new = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        return torch.where(here, o.sigmoid() * new.tanh(), state), torch.where(here, new, cell)

    def _write(self, states: tuple[Tensor, ...], row: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The memory after a tick, [batch, dim]."""
        (memory,), (seen, offered, here) = states, row
        beside = torch.cat([seen, memory], -1)
        new = self.keep(beside).sigmoid() * memory + self.write(beside).sigmoid() * offered
        return (torch.where(here, new, memory),)


def _two_layers(wide: int, hidden: int, out: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(wide, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, out))


def _beside(states: Float[Tensor, "modalities batch hidden"]) -> Float[Tensor, "batch all_hidden"]:
    return states.transpose(0, 1).flatten(1)
