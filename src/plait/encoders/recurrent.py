"""Recurrent encoders over the observed tokens, without gaps and padding."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.options import Few
from plait.encoders import Encoder
from plait.tokens import Tokens

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
