"""Intermediate fusion: recurrent networks side by side, and a memory of what goes on between them."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from plait.fusion import Hybrid
from plait.fusion.nearest import side_by_side, tick_source
from plait.tokens import Tokens
from plait.tokens.pooling import one_token

__all__ = ["Memory"]


class Memory(Hybrid):
    """Memory fusion network (Zadeh et al. 2018).

    All modalities are brought to the ticks of one (as `Nearest` does), and an LSTM each runs over them. At every
    tick an attention over all their cells, before and after it, picks what changed together (delta-memory
    attention), and gates write that into a memory (multi-view gated memory). The token is a linear map of the last
    hidden states and the last memory. Where a modality has nothing near a tick, its state stays; one that is missing
    keeps its zeros, and attention does not look at them. It goes tick by tick: for streams that their encoders
    have shortened.

    Args:
        modalities: their names.
        dim: width of their tokens, of the memory and of the result; each LSTM has half of it.
        to: ``slowest``, ``fastest``, or the name of a modality: whose ticks.
        dropout: share set to 0 within the networks of attention and gates, in training.
        unimodal_heads: see `Hybrid`.

    Raises:
        ConfigError: ``to`` names nothing.

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
        """The LSTMs of all modalities at once: last hidden states, and the cells before and after every tick."""
        enter = torch.stack([inner(values[:, :, i]) for i, inner in enumerate(self.inner)])
        state = cell = values.new_zeros(len(self.inner), len(values), self.hidden)
        cells = [cell]
        for t in range(values.shape[1]):
            i, f, g, o = (enter[:, :, t] + torch.bmm(state, self.again)).chunk(4, -1)
            new = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            here = seen[:, t].T[..., None]
            state, cell = torch.where(here, o.sigmoid() * new.tanh(), state), torch.where(here, new, cell)
            cells.append(cell)
        return _beside(state), torch.stack([_beside(one) for one in cells], 1)

    def remember(
        self,
        cells: Float[Tensor, "batch ticks_and_one cells"],
        there: Bool[Tensor, "batch modalities"],
        ticks: Bool[Tensor, "batch ticks"],
    ) -> Float[Tensor, "batch dim"]:
        """The memory after the last tick."""
        both = torch.cat([cells[:, :-1], cells[:, 1:]], -1)
        known = (there | ~there.any(1, keepdim=True)).repeat_interleave(self.hidden, 1).repeat(1, 2)[:, None]
        scores = torch.where(known, self.look(both), torch.finfo(both.dtype).min)
        attended = scores.softmax(-1) * both
        proposed, memory = self.propose(attended).tanh(), cells.new_zeros(len(cells), self.dim)
        for t in range(ticks.shape[1]):
            beside = torch.cat([attended[:, t], memory], -1)
            new = self.keep(beside).sigmoid() * memory + self.write(beside).sigmoid() * proposed[:, t]
            memory = torch.where(ticks[:, t, None], new, memory)
        return memory


def _two_layers(wide: int, hidden: int, out: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(wide, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, out))


def _beside(states: Float[Tensor, "modalities batch hidden"]) -> Float[Tensor, "batch all_hidden"]:
    return states.transpose(0, 1).flatten(1)
