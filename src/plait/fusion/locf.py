"""Early fusion that never looks ahead: last observation carried forward."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.fusion import Hybrid
from plait.tokens import Instants, Tokens, cat
from plait.tokens.instants import at_instants

__all__ = ["Locf"]


class Locf(Hybrid):
    """At every observation of any modality: the last observation of each, concatenated and projected to ``dim``.

    The causal counterpart of `Concat`. Each modality also has a flag that tells whether it was observed so far, and the
    age of its last observation, ``log(1 + seconds)``.

    Args:
        modalities: their names.
        dim: width of their tokens, and of the result.
        recurrent: whether to add the output of a forward GRU over the observations.
        dropout: share set to 0 after the projection, in training.
        unimodal_heads: see `Hybrid`.

    Raises:
        ConfigError: ``dropout`` is not from 0 to below 1, or an unknown ``unimodal_heads``.

    >>> fusion = Locf(["a", "b"], 4)
    >>> a = Tokens(torch.ones(1, 2, 4), torch.tensor([[0.0, 2.0]]), torch.ones(1, 2) > 0)
    >>> b = Tokens(torch.ones(1, 1, 4), torch.tensor([[1.0]]), torch.ones(1, 1) > 0)
    >>> fusion({"a": a, "b": b}).times.tolist()
    [[0.0, 1.0, 2.0]]
    """

    family = "early"
    causal = True

    def __init__(
        self,
        modalities: list[str],
        dim: int,
        *,
        recurrent: bool = True,
        dropout: float = 0.2,
        unimodal_heads: str = "mean",
    ) -> None:
        super().__init__(modalities, dim, unimodal_heads)
        if not 0 <= dropout < 1:
            raise ConfigError(f"locf: dropout is {dropout}; expected 0 or more, below 1.")
        self.project = nn.Linear(len(self.modalities) * (dim + 2), dim)
        self.norm, self.dropout = nn.LayerNorm(dim), nn.Dropout(dropout)
        self.gru = nn.GRU(dim, dim, batch_first=True) if recurrent else None

    def forward(self, tokens: dict[str, Tokens]) -> Tokens:
        parts = list(self.complete(tokens).values())
        ticks = _in_order(cat(parts))
        x = F.gelu(self.norm(self.project(torch.cat([_last(part, ticks) for part in parts], -1))))
        out = ticks.with_values(self.dropout(x)).clean()
        if self.gru is None or out.mask.shape[1] == 0:  # torch's GRU takes no empty sequence
            return out
        # padding comes last, so a forward GRU cannot carry it to an observation
        return out.with_values(out.values + self.gru(out.values)[0]).clean()


def _in_order(tokens: Tokens) -> Tokens:
    """Tokens without values, sorted by time, the observed ones first."""
    far = torch.finfo(tokens.times.dtype).max
    order = torch.where(tokens.mask, tokens.times, far).argsort(dim=1, stable=True)
    times, mask = tokens.times.gather(1, order), tokens.mask.gather(1, order)
    return Tokens(tokens.values[:, :, :0], times, mask)


def _last(part: Tokens, ticks: Tokens) -> Tensor:
    """The last observation at or before each tick, whether there is any, and its age, [batch, ticks, dim + 2]."""
    # time and mask travel as two more features, so that one look-up finds value, age and flag of the same token
    clock = torch.stack([part.times, part.mask.to(part.times)], -1)
    known = part.with_values(torch.cat([part.values, clock], -1))
    found = at_instants(known, Instants(ticks.times, ticks.mask), causal=True)
    values, times, seen = found[..., :-2], found[..., -2], found[..., -1]
    # a logarithm, since streams of different rates have ages of milliseconds and of minutes
    age = torch.log1p((ticks.times - times).clamp(min=0)) * seen
    return torch.cat([values, seen[..., None], age[..., None]], -1)
