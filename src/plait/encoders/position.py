"""Position encoding: tells later encoders where in its item a token is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.options import Few
from plait.encoders import Encoder
from plait.tokens import Tokens

__all__ = ["Position"]


class Position(Encoder):
    """A linear map of each token, plus a linear map of sines and cosines of its time from the item's middle.

    It lets later convolutions and pooling tell the middle of an item from its edges, as windows with context need. The
    encoding is that of Vaswani et al. 2017 (section 3.5) on real seconds, with periods spaced geometrically. The origin
    is the middle between the first and the last observation, so that shifting all times changes nothing. Not causal:
    the middle is known only at the end.

    Args:
        dim_in: width of the incoming tokens.
        dim: width of the outgoing tokens.
        periods: shortest and longest, in seconds.
        waves: number of periods.
        dropout: share of the outputs set to 0 in training.

    Raises:
        ConfigError: the periods are not two rising numbers above 0.

    >>> tokens = Tokens(torch.ones(1, 5, 3), torch.arange(5.0)[None], torch.ones(1, 5) > 0)
    >>> tuple(Position(3, 8)(tokens).values.shape)
    (1, 5, 8)
    """

    period: Tensor

    def __init__(
        self,
        dim_in: int,
        dim: int,
        *,
        periods: Sequence[float] = (1.0, 1000.0),
        waves: Few = 8,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if len(periods) != 2 or not 0 < periods[0] < periods[1] or waves < 1:
            raise ConfigError(f"position: periods {list(periods)} s and {waves} waves; expected two rising periods.")
        self.dim_in, self.dim = dim_in, dim
        # powers 0 to 1 of the ratio, so that the periods are geometric from the shortest to the longest
        self.register_buffer("period", torch.logspace(0, 1, waves, periods[1] / periods[0]) * periods[0])
        self.values = nn.Linear(dim_in, dim)
        self.place = nn.Linear(2 * waves, dim, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens.clean()
        angle = 2 * torch.pi * _from_middle(tokens)[..., None] / self.period
        place = self.place(torch.cat([angle.sin(), angle.cos()], -1))
        return tokens.with_values(self.dropout(self.values(tokens.values) + place)).clean()


def _from_middle(tokens: Tokens) -> Tensor:
    """Seconds from the middle between the first and the last observation, [batch, time]."""
    if tokens.mask.shape[1] == 0:
        return tokens.times
    far = torch.finfo(tokens.times.dtype).max
    first = torch.where(tokens.mask, tokens.times, far).amin(1, keepdim=True)
    last = torch.where(tokens.mask, tokens.times, -far).amax(1, keepdim=True)
    return torch.where(tokens.mask, tokens.times - first - (last - first) / 2, 0.0)
