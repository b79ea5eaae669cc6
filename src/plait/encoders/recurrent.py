"""Recurrent encoders over the observed tokens, without gaps and padding."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.options import Few
from plait.encoders import Encoder
from plait.tokens import Tokens
from plait.tokens.stepwise import State, leaves
from plait.tokens.tokens import blank, whole

__all__ = ["Gru", "Lstm"]


class _Recurrent(Encoder):
    """Common base of `Lstm` and `Gru`.

    The observed tokens are moved to the front of their row, so gaps are skipped and padding comes last. The backward
    direction is a forward pass over each row's reversed observed tokens. No packed sequences, which do not export.
    """

    cell: type[nn.GRU] | type[nn.LSTM]

    def __init__(
        self, dim_in: int, dim: int, *, layers: Few = 1, bidirectional: bool = True, dropout: float = 0.2
    ) -> None:
        super().__init__()
        if layers < 1:
            raise ConfigError(f"recurrent encoder: {layers} layers; expected 1 or more.")
        if bidirectional and dim % 2:
            raise ConfigError(
                f"recurrent encoder: width {dim} cannot be halved for two directions; expected an even one."
            )
        self.dim_in, self.dim, self.causal = dim_in, dim, not bidirectional  # type: ignore[misc]
        width = dim // 2 if bidirectional else dim
        sizes = [dim_in] + [dim] * (layers - 1)
        # one network per layer and direction: torch's bidirectional one would start the backward pass in the padding
        self.ahead = nn.ModuleList(self.cell(n, width, batch_first=True) for n in sizes)
        self.back = nn.ModuleList(self.cell(n, width, batch_first=True) for n in sizes if bidirectional)
        self.dropout = nn.Dropout(dropout)

    @property
    def bounded(self) -> bool:
        return self.causal

    def begin(self, batch: int) -> State:
        if not self.causal:
            return super().begin(batch)
        width, many = self.dim, 1 if self.cell is nn.GRU else 2
        return tuple(tuple(torch.zeros(batch, width) for _ in range(many)) for _ in self.ahead)

    def step(self, state: State, tokens: Tokens) -> tuple[State, Tokens]:
        if not self.causal:
            return super().step(state, tokens)
        tokens = tokens.clean()
        if torch.compiler.is_compiling():
            return self._unrolled(state, tokens)
        if whole(tokens.mask):
            return self._read(state, tokens)
        # gaps are skipped: each row goes on from its own last observation
        rows = [self._observed(state, tokens, row) for row in range(len(tokens.mask))]
        states = [one for one, _ in rows]
        after = tuple(tuple(torch.cat(x) for x in zip(*own)) for own in zip(*states))
        return after, tokens.with_values(torch.cat([values for _, values in rows]))

    def _observed(self, state: State, tokens: Tokens, row: int) -> tuple[State, Tensor]:
        """One row, [1, time, dim] out."""
        seen = tokens.mask[row]
        own = tuple(tuple(x[row : row + 1] for x in leaves((layer,))) for layer in state)
        after, found = self._read(own, Tokens(*(x[row : row + 1, seen] for x in tokens)))
        out = tokens.values.new_zeros(1, len(seen), self.dim)
        out[:, seen] = found.values
        return after, out

    def _unrolled(self, state: State, tokens: Tokens) -> tuple[State, Tokens]:
        """One row after another, as matrices: a graph of a few rows, which cannot branch on what is observed."""
        states = [tuple(leaves((own,))) for own in state]
        found, width = list[Tensor](), self.dim
        for x, seen in zip(tokens.values.unbind(1), tokens.mask.unbind(1)):
            for i, cell in enumerate(self.ahead):
                after = _cell(cell, x, states[i])
                states[i] = tuple(torch.where(seen[:, None], new, old) for new, old in zip(after, states[i]))
                x = after[0]
            found.append(torch.where(seen[:, None], x, 0.0))
        out = torch.stack(found, 1) if found else tokens.values.new_zeros(tokens.mask.shape[0], 0, width)
        return tuple(states), tokens.with_values(out)

    def _read(self, state: State, tokens: Tokens) -> tuple[State, Tokens]:
        """Rows without gaps."""
        if tokens.mask.shape[1] == 0:
            return state, blank(len(tokens.mask), 0, self.dim)
        x, after = tokens.values, list[State]()
        for cell, own in zip(self.ahead, state):
            # torch wants the states of a GRU bare, and those of an LSTM as a pair, layers first
            before = tuple(one[None].contiguous() for one in leaves((own,)))
            x, last = cell(x, before if len(before) > 1 else before[0])
            after.append(tuple(one[0] for one in (last if len(before) > 1 else (last,))))
        return tuple(after), tokens.with_values(x)

    def end(self, state: State) -> Tokens:
        if not self.causal:
            return super().end(state)
        return blank(len(leaves(state)[0]), 0, self.dim)

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens.clean()
        if tokens.mask.shape[1] == 0:
            return tokens.with_values(tokens.values.new_zeros(tokens.values.shape[0], 0, self.dim))
        # stable: the observations keep their order
        order = torch.argsort((~tokens.mask).to(torch.uint8), dim=1, stable=True)
        reverse = _reversed_prefix(tokens.mask)
        x = _take(tokens.values, order)
        for i, ahead in enumerate(self.ahead):
            x = self.dropout(x) if i else x
            # the reversal is its own inverse: the same index puts the outputs back in order
            both = [ahead(x)[0]] + [_take(back(_take(x, reverse))[0], reverse) for back in self.back[i : i + 1]]
            x = torch.cat(both, -1)
        return tokens.with_values(_take(x, torch.argsort(order, dim=1))).clean()


def _cell(cell: nn.Module, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """One row through a layer of `torch.nn.GRU` or `LSTM`, by their equations."""
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    enter, again, bias, bias_again = (getattr(cell, name) for name in names)
    given, kept = F.linear(x, enter, bias), F.linear(state[0], again, bias_again)
    if len(state) == 1:
        (r, z, n), (r2, z2, n2) = given.chunk(3, -1), kept.chunk(3, -1)
        new, stay = (n + (r + r2).sigmoid() * n2).tanh(), (z + z2).sigmoid()
        return ((1 - stay) * new + stay * state[0],)
    i, f, g, o = (given + kept).chunk(4, -1)
    memory = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
    return o.sigmoid() * memory.tanh(), memory


def _take(values: Float[Tensor, "batch time dim"], index: Int[Tensor, "batch time"]) -> Tensor:
    return torch.gather(values, 1, index[..., None].expand_as(values))


def _reversed_prefix(mask: Bool[Tensor, "batch time"]) -> Int[Tensor, "batch time"]:
    """Index that reverses the first n places of a row with n observations; its own inverse."""
    place = torch.arange(mask.shape[1], device=mask.device)
    count = mask.sum(1, keepdim=True)
    return torch.where(place < count, count - 1 - place, place)


class Gru(_Recurrent):
    """Gated recurrent unit (Cho et al. 2014, as in `torch.nn.GRU`) over the observed tokens.

    It counts observations, not seconds: gaps are skipped and times do not matter.

    Args:
        dim_in: width of the incoming tokens.
        dim: width of the outgoing tokens; each direction gives half of it.
        layers: number of stacked layers.
        bidirectional: whether a second network runs backward; otherwise the encoder is causal.
        dropout: share set to 0 between layers, in training.

    Raises:
        ConfigError: fewer than one layer, or an odd width for two directions.

    >>> out = Gru(3, 8)(Tokens(torch.ones(2, 5, 3), torch.zeros(2, 5), torch.ones(2, 5) > 0))
    >>> tuple(out.values.shape)
    (2, 5, 8)
    """

    cell = nn.GRU


class Lstm(_Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; `torch.nn.LSTM`) over the observed tokens.

    Args and errors as for `Gru`.

    >>> tokens = Tokens(torch.ones(2, 5, 3), torch.zeros(2, 5), torch.ones(2, 5) > 0)
    >>> out = Lstm(3, 8, bidirectional=False)(tokens)
    >>> tuple(out.values.shape)
    (2, 5, 8)
    """

    cell = nn.LSTM
