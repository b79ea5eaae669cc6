"""Heads: linear maps of tokens, with one output per item or per instant."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.tokens import Instants, Tokens, masked_mean_max
from plait.tokens.attention import rotation
from plait.tokens.instants import at_instants, in_time

__all__ = ["AheadLinear", "Places", "PooledLinear", "StateHead", "TimedLinear"]


class PooledLinear(nn.Module):
    """Mean and maximum over an item's tokens, dropout, one linear layer.

    An item without tokens gets the bias alone: the answer when nothing is known.

    Args:
        dim: width of the tokens.
        width: numbers per item in the output.
        dropout: share of the pooled numbers set to 0 in training.

    >>> import torch
    >>> tuple(PooledLinear(4, 3)(Tokens(torch.ones(2, 5, 4), torch.zeros(2, 5), torch.ones(2, 5) > 0)).shape)
    (2, 3)
    """

    def __init__(self, dim: int, width: int, dropout: float = 0.4) -> None:
        super().__init__()
        self.dropout, self.linear = nn.Dropout(dropout), nn.Linear(2 * dim, width)

    def forward(self, tokens: Tokens) -> Float[Tensor, "batch width"]:
        """[batch, time, dim] -> [batch, width]."""
        out: Tensor = self.linear(self.dropout(masked_mean_max(tokens)))
        return out

    def each(self, tokens: Tokens) -> Float[Tensor, "batch time width"]:
        """The output for each token as if it were an item's only one."""
        out: Tensor = self.linear(self.dropout(torch.cat([tokens.values, tokens.values], -1)))
        return out


class StateHead(nn.Module):
    """What earlier or later segments say of the present one: a GRU over another head's answers to their tokens.

    Each token is answered by itself: for classes its probabilities, for values the values. The last state of a GRU over
    them in the order of time, dropout, one linear layer. An item without tokens gets the bias alone.

    Args:
        head: answers for single tokens; shared with the modality whose context this is, and trained there.
        width: numbers per item in the output.
        state: numbers in the state.
        numeric: whether the answers are values; else logits of classes.
        later: whether the tokens come after the present segment: then they are read backward, the nearest last.
        dropout: share of the state set to 0 in training.

    >>> head = StateHead(PooledLinear(4, 3), 3, 5, numeric=False)
    >>> tuple(head(Tokens(torch.ones(2, 6, 4), torch.arange(6.0).expand(2, 6), torch.ones(2, 6) > 0)).shape)
    (2, 3)
    """

    def __init__(
        self, head: PooledLinear, width: int, state: int, *, numeric: bool, later: bool = False, dropout: float = 0.4
    ) -> None:
        super().__init__()
        self.head, self.numeric, self.later = head, numeric, later
        self.gru = nn.GRU(width, state, batch_first=True)
        self.dropout, self.linear = nn.Dropout(dropout), nn.Linear(state, width)

    def forward(self, tokens: Tokens) -> Float[Tensor, "batch width"]:
        """[batch, time, dim] -> [batch, width]."""
        out: Tensor = self.linear(self.dropout(self._state(tokens.clean())))
        return out

    def _state(self, tokens: Tokens) -> Float[Tensor, "batch state"]:
        if tokens.mask.shape[1] == 0:  # torch's GRU takes no empty sequence
            return tokens.values.new_zeros(tokens.values.shape[0], self.gru.hidden_size)
        # without gradient: the answers stay what they were trained to be, and need not serve the state
        said = self.head.each(tokens).detach()
        said = said if self.numeric else said.softmax(-1)
        far = torch.finfo(tokens.times.dtype).max
        times = -tokens.times if self.later else tokens.times
        order = torch.where(tokens.mask, times, far).argsort(dim=1, stable=True)
        states = self.gru(said.gather(1, order[..., None].expand_as(said)))[0]
        # padding comes last, so it cannot change the state after the last observation
        last = (tokens.mask.sum(1) - 1).clamp(min=0)[:, None, None].expand(-1, 1, states.shape[-1])
        return torch.where(tokens.present[:, None], states.gather(1, last)[:, 0], 0.0)


class TimedLinear(nn.Module):
    """The tokens at each instant (`plait.tokens.instants.at_instants`), dropout, one linear layer.

    An item without tokens gets the bias alone at all its instants.

    Args:
        dim: width of the tokens.
        width: numbers per instant in the output.
        dropout: share of the numbers set to 0 in training.
        causal: whether an instant sees only what was observed until then.

    >>> import torch
    >>> tokens = Tokens(torch.ones(2, 5, 4), torch.arange(5.0).expand(2, 5), torch.ones(2, 5) > 0)
    >>> at = Instants(torch.tensor([[0.5, 1.5, 2.5]]).expand(2, 3), torch.ones(2, 3) > 0)
    >>> tuple(TimedLinear(4, 7)(tokens, at).shape)
    (2, 3, 7)
    """

    def __init__(self, dim: int, width: int, dropout: float = 0.4, *, causal: bool = False) -> None:
        super().__init__()
        self.dropout, self.linear, self.causal = nn.Dropout(dropout), nn.Linear(dim, width), causal

    def forward(self, tokens: Tokens, at: Instants) -> Float[Tensor, "batch steps width"]:
        """[batch, time, dim] -> [batch, steps, width]."""
        out: Tensor = self.linear(self.dropout(at_instants(tokens, at, causal=self.causal)))
        return out


class AheadLinear(nn.Module):
    """Mean, maximum and last of an item's tokens, dropout, and one linear layer for each horizon.

    Between two horizons the output is interpolated; before the first and after the last it is held. An item without
    tokens gets the biases alone.

    Args:
        dim: width of the tokens.
        width: numbers per horizon in the output.
        horizons: seconds after the end of what is observed, in order.
        dropout: share of the pooled numbers set to 0 in training.

    >>> tokens = Tokens(torch.ones(2, 5, 4), torch.arange(5.0).expand(2, 5), torch.ones(2, 5) > 0)
    >>> at = Instants(torch.tensor([[1.0, 1.5]]).expand(2, 2), torch.ones(2, 2) > 0)
    >>> tuple(AheadLinear(4, 7, [1.0, 2.0, 3.0])(tokens, at).shape)
    (2, 2, 7)
    """

    horizons: Tensor

    def __init__(self, dim: int, width: int, horizons: Sequence[float], dropout: float = 0.4) -> None:
        super().__init__()
        self.width, self.dropout = width, nn.Dropout(dropout)
        self.linear = nn.Linear(3 * dim, len(horizons) * width)
        # Without this, random forecasts would be worse than the reference that they are added to.
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.register_buffer("horizons", torch.tensor(list(horizons)), persistent=False)

    def forward(self, tokens: Tokens, at: Instants) -> Float[Tensor, "batch steps width"]:
        """[batch, time, dim] -> [batch, steps, width]; instants without a reference count from the item's end."""
        pooled = torch.cat([masked_mean_max(tokens), _last(tokens)], -1)
        every = self.linear(self.dropout(pooled)).unflatten(-1, (-1, self.width))
        ahead = at.times if at.reference is None else at.reference.ahead
        found: Tensor = self._shares(ahead.to(every.dtype)) @ every
        return found

    def _shares(self, ahead: Tensor) -> Float[Tensor, "batch steps horizons"]:
        """How much each horizon counts at each instant: linear interpolation."""
        own = self.horizons.to(ahead)
        if len(own) == 1:
            return torch.ones_like(ahead)[..., None]
        ahead = ahead.clamp(own[0], own[-1])[..., None]
        width = own.diff()
        rising = ((ahead - own[:-1]) / width).clamp(0, 1)
        # Each horizon gains what the step up to it gives and loses what the next one takes.
        ones, zeros = torch.ones_like(rising[..., :1]), torch.zeros_like(rising[..., :1])
        return torch.cat([ones, rising], -1) - torch.cat([rising, zeros], -1)


SHORTEST, LONGEST, PERIODS = 0.5, 100.0, 8
"""Periods, in seconds, by which a place knows its time."""


class Places(nn.Module):
    """Each token as a place that a decoder reads (`plait.tasks.places`): dropout, a linear layer of the token and its
    time in the item (sinusoids of `PERIODS` periods), a layer norm.

    Args:
        dim: width of the tokens.
        width: numbers per place that are read.
        dropout: share of the tokens' numbers set to 0 in training.

    >>> tokens = Tokens(torch.ones(2, 5, 4), torch.arange(5.0).expand(2, 5), torch.ones(2, 5) > 0)
    >>> tuple(Places(4, 7)(tokens).shape)
    (2, 5, 10)
    """

    def __init__(self, dim: int, width: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.dropout, self.linear, self.norm = nn.Dropout(dropout), nn.Linear(dim, width), nn.LayerNorm(width)
        self.when = nn.Linear(2 * PERIODS, width, bias=False)

    def forward(self, tokens: Tokens) -> Float[Tensor, "batch time columns"]:
        """[batch, time, dim] -> [batch, time, 3 + width]: whether it is absent, its time, its source, and the rest."""
        tokens = tokens.clean()
        cos, sin = rotation(tokens.times, 2 * PERIODS, SHORTEST, LONGEST)
        when = self.when(torch.cat([cos, sin], -1)[:, 0].to(tokens.values.dtype))
        values = self.norm(self.linear(self.dropout(tokens.values)) + when)
        there = tokens.mask[..., None]
        absent, times = 1.0 - there.to(values.dtype), tokens.times[..., None].to(values.dtype)
        return torch.cat([absent, times, torch.zeros_like(times), torch.where(there, values, 0.0)], -1)


def _last(tokens: Tokens) -> Float[Tensor, "batch dim"]:
    """The last observation, [batch, dim]; zeros where there is none."""
    if tokens.values.shape[1] == 0:
        return tokens.values.new_zeros(tokens.values.shape[0], tokens.dim)
    _, order = in_time(tokens)
    place = order.gather(1, (tokens.mask.sum(1, keepdim=True) - 1).clamp(min=0))
    last = tokens.values.gather(1, place[..., None].expand(-1, -1, tokens.dim))[:, 0]
    return torch.where(tokens.present[:, None], last, 0.0)
