"""An item's recent past as one token: lags, moving means and deviations, then a small network."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.options import Whole
from plait.encoders import Encoder
from plait.tokens import Instants, Tokens
from plait.tokens.instants import at_instants, in_time

__all__ = ["Lags"]

LARGEST = 6.0
SMALL = 0.05
"""Added to deviations, in units of the training deviation: a column that stands still has no scale of its own."""


class Lags(Encoder):
    """The last observations of an item, on its own clock and scale, as one token; for forecasts.

    Each column is told relative to its last value, in units of its deviation within the item (``rescale``): the values
    ``step, 2 step ...`` seconds before the last observation (interpolated; held where there is none), and the means
    over the last ``windows`` seconds. Besides, the logarithms of its deviations over these windows and over the item,
    and its last value. A stream of any level and size so looks alike (reversible instance normalisation, Kim et al.
    2022, keeps less of it). Then hidden layers, if any, and a linear one.

    Args:
        dim_in: width of the incoming tokens.
        dim: width of the outgoing token.
        step: seconds from one lag to the next.
        count: number of lags.
        windows: seconds, of the means and deviations.
        rescale: whether to divide by the item's own deviation; not for features that are on a scale of the item
            already, such as those of a stream to forecast.
        hidden: width of two hidden layers; 0: none.
        dropout: share of a hidden layer's numbers set to 0 in training.

    Raises:
        ConfigError: a step or window that is not above 0, or nothing to see.

    >>> tokens = Tokens(torch.randn(2, 50, 3), torch.arange(50.0).expand(2, 50), torch.ones(2, 50) > 0)
    >>> tuple(Lags(3, 8, step=1.0, count=20, windows=[5, 30])(tokens).values.shape)
    (2, 1, 8)
    """

    causal = True
    trial = (5, {"step": 0.1, "count": 4, "windows": [0.3, 0.8], "hidden": 6})

    def __init__(
        self,
        dim_in: int,
        dim: int,
        *,
        step: float = 1.0,
        count: Whole = 30,
        windows: Sequence[float] = (),
        rescale: bool = True,
        hidden: Whole = 0,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if not all(0 < x < math.inf for x in (step, *windows)) or not (count or windows):
            raise ConfigError(
                f"lags: step {step}, count {count}, windows {list(windows)}; expected seconds above 0, and a lag or a "
                "window."
            )
        self.dim_in, self.dim, self.spacing, self.count, self.windows = dim_in, dim, step, count, list(windows)
        self.rescale = rescale
        width = dim_in * (count + 2 * len(self.windows) + 2)
        layers: list[nn.Module] = []
        for _ in range(2 if hidden else 0):
            layers += [nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout)]
            width = hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, dim))

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens.clean()
        values = self.layers(self.described(tokens))[:, None]
        return Tokens(values, _end(tokens), tokens.present[:, None]).clean()

    def described(self, tokens: Tokens) -> Float[Tensor, "batch features"]:
        """What the network sees of an item; zeros for one without observations. ``tokens`` must be clean."""
        batch = tokens.mask.shape[0]
        if tokens.values.shape[1] == 0:
            return tokens.values.new_zeros(batch, self.dim_in * (self.count + 2 * len(self.windows) + 2))
        end = _end(tokens)
        back = self.spacing * torch.arange(self.count, -1, -1, device=end.device)
        lags = at_instants(tokens, Instants(end - back, torch.ones_like(end - back, dtype=torch.bool)))
        last = lags[:, -1:]
        means, deviations = self._windows(tokens, end, last)
        own = deviations[:, :1] + SMALL
        scale = own if self.rescale else torch.ones_like(own)
        near = torch.cat([lags[:, :-1] - last, means[:, 1:]], 1)
        ratios = ((deviations[:, 1:] + SMALL * scale) / scale).log()
        found = torch.cat([near / scale, ratios, own.log(), last], 1).clamp(-LARGEST, LARGEST)
        return torch.where(tokens.present[:, None], found.flatten(1), 0.0)

    def _windows(self, tokens: Tokens, end: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """Mean since the last value, and deviation, of the item and of each window, [batch, 1 + windows, dim_in]."""
        # A thousandth more: a time on the border must not fall in or out by rounding.
        reach = 1.001 * torch.tensor([math.inf, *self.windows], device=end.device)
        inside = tokens.mask[:, None] & (tokens.times[:, None] >= (end - reach)[..., None])
        share = inside.to(last.dtype)
        share = share / share.sum(2, keepdim=True).clamp(min=1)
        # Since the last value: squares of a high level would drown what varies.
        since = torch.where(tokens.mask[..., None], tokens.values - last, 0.0)
        mean = share @ since
        # from the mean, window by window: a difference of two squares would leave rounding where nothing varies
        apart = (since[:, None] - mean[:, :, None]).square()
        # A root has no slope at 0.
        return mean, ((share[..., None] * apart).sum(2) + 1e-8).sqrt()


def _end(tokens: Tokens) -> Float[Tensor, "batch 1"]:
    """Time of the last observation; 0 where there is none."""
    if tokens.values.shape[1] == 0:
        return tokens.times.new_zeros(tokens.times.shape[0], 1)
    times, _ = in_time(tokens)
    end = times.gather(1, (tokens.mask.sum(1, keepdim=True) - 1).clamp(min=0))
    return torch.where(tokens.present[:, None], end, 0.0)
