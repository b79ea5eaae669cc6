"""Simple statistics of an item's tokens, per column."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.tokens import Tokens

__all__ = ["Summary"]

QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
TINY = 1e-6


class Summary(nn.Module):
    """Per column: mean, standard deviation, slope, mean step, and quantiles from minimum to maximum.

    The slope is that of the least-squares line over time, multiplied by the standard deviation of the times, so that it
    is in the column's own units at any rate. The step is the mean absolute change between consecutive observations.
    With ``mean_only`` there is only the mean: for items of one token, the others would be 0 or the mean again.

    >>> tokens = Tokens(torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[0.0, 0.1, 0.2]]), torch.ones(1, 3) > 0)
    >>> [round(x, 2) for x in Summary(1, mean_only=False)(tokens)[0].tolist()]
    [2.0, 0.82, 0.82, 1.0, 1.0, 1.2, 1.5, 2.0, 2.5, 2.8, 3.0]
    """

    quantiles: Tensor

    def __init__(self, dim_in: int, *, mean_only: bool) -> None:
        super().__init__()
        self.mean_only = mean_only
        self.size = dim_in if mean_only else dim_in * (4 + len(QUANTILES))
        self.register_buffer("quantiles", torch.tensor(QUANTILES), persistent=False)

    def forward(self, tokens: Tokens) -> Float[Tensor, "batch numbers"]:
        """[batch, time, dim] -> [batch, numbers]; zeros for an item without tokens. ``tokens`` must be clean."""
        values, times, mask = tokens
        if mask.shape[1] == 0:
            return values.new_zeros(values.shape[0], self.size)
        seen = mask[..., None].to(values.dtype)
        count = seen.sum(1).clamp(min=1)
        mean = values.sum(1) / count
        if self.mean_only:
            return mean
        centred = (values - mean[:, None]) * seen
        # the root's slope is infinite at 0, so a constant column gets a tiny variance; an empty row stays at 0
        spread = (centred.square().sum(1) / count + TINY**2).sqrt() * mask.any(1)[:, None]
        lines = (_moments(centred, times, mask, count), _steps(values, mask), self._ordered(values, mask))
        return torch.cat([mean, spread, *lines], -1)

    def _ordered(self, values: Tensor, mask: Tensor) -> Float[Tensor, "batch quantiles_dim"]:
        """Quantiles with linear interpolation, NumPy's default."""
        # not torch.quantile: rows of a batch have different numbers of observations
        far = torch.finfo(values.dtype).max
        ordered = torch.where(mask[..., None], values, far).sort(1).values
        place = self.quantiles * (mask.sum(1, keepdim=True) - 1).clamp(min=0)
        low = place.floor().long()
        part = (place - low)[..., None]
        high = (low + 1).clamp(max=mask.shape[1] - 1)
        below, above = (ordered.gather(1, at[..., None].expand(-1, -1, values.shape[-1])) for at in (low, high))
        # at an exact place `above` may be padding (`far`), and 0 * (far - below) may overflow to NaN
        between = below + torch.where(part > 0, part * (above - below), 0.0)
        return torch.where(mask.any(1)[:, None, None], between, 0.0).flatten(1)


def _moments(centred: Tensor, times: Tensor, mask: Tensor, count: Tensor) -> Float[Tensor, "batch dim"]:
    """Covariance with time, divided by the standard deviation of the times: the slope in the column's units."""
    seen = mask.to(times.dtype)
    apart = (times - (times * seen).sum(1, keepdim=True) / count) * seen
    spread = (apart.square().sum(1, keepdim=True) / count).sqrt()
    return (centred * apart[..., None]).sum(1) / count / spread.clamp(min=TINY)


def _steps(values: Tensor, mask: Tensor) -> Float[Tensor, "batch dim"]:
    """Mean absolute change between neighbouring tokens that are both observed."""
    both = (mask[:, 1:] & mask[:, :-1])[..., None].to(values.dtype)
    return ((values[:, 1:] - values[:, :-1]).abs() * both).sum(1) / both.sum(1).clamp(min=1)
