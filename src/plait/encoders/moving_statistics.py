"""Moving means and deviations over windows of several lengths, mapped linearly: how the quick model sees an instant."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from plait.core.errors import ConfigError
from plait.encoders.fixed import Fixed
from plait.tokens import Instants, Tokens
from plait.tokens.instants import at_instants, in_time

__all__ = ["MovingStatistics", "windows_for"]

MOST_WINDOWS = 6
STEP = 3
"""Each window is so many times as long as the one before."""

ROOM = 2**24
"""Numbers that are held at once."""


class MovingStatistics(Fixed):
    """Mean and standard deviation of each column over windows of several lengths around every token.

    One token out for each token in, in order of time. Where a window holds one observation its deviation is 0.

    Args:
        dim_in: width of the incoming tokens.
        dim: width of the outgoing tokens.
        windows: their lengths, seconds.
        causal: whether a window ends at its token; if not, the token stands in its middle.

    Raises:
        ConfigError: no window, or one whose length is not above 0.

    >>> tokens = Tokens(torch.randn(2, 50, 3), torch.arange(50.0).expand(2, 50) / 25, torch.ones(2, 50) > 0)
    >>> encoder = MovingStatistics(3, 8, windows=[0.1, 0.5])
    >>> at = Instants(torch.ones(2, 4), torch.ones(2, 4) > 0)
    >>> tuple(encoder.fit([(tokens, at)]).shape), tuple(encoder(tokens).values.shape)
    ((8, 12), (2, 50, 8))
    """

    timed = True
    trial = (5, {"windows": [0.13, 0.57]})

    def __init__(self, dim_in: int, dim: int, *, windows: Sequence[float] = (1.0,), causal: bool = False) -> None:
        super().__init__()
        if not windows or not all(0 < w < math.inf for w in windows):
            raise ConfigError(f"moving_statistics.windows: got {list(windows)}; expected lengths above 0, in seconds.")
        self.windows, self.causal = list(windows), causal  # type: ignore[misc]
        self._ready(dim_in, dim, [len(windows) * dim_in] * 2)

    def settle(self, tokens: Iterable[Tokens]) -> None:
        """Nothing is free."""

    def raw(self, tokens: Tokens) -> Float[Tensor, "batch time features"]:
        """Means of all windows, then their deviations, [batch, time, 2 * windows * dim_in]; tokens in order of time."""
        # sums up to each token, in double precision: a window is the difference of two of them
        own = tokens.mask[..., None].to(torch.float64)
        values = tokens.values.double()
        sums = torch.cat([own, own * values, own * values.square()], -1).cumsum(1)
        sums = torch.cat([torch.zeros_like(sums[:, :1]), sums], 1)
        far = torch.where(tokens.mask, tokens.times, torch.finfo(tokens.times.dtype).max).contiguous()
        means, deviations = [], []
        for window in self.windows:
            back, ahead = (window, 0.0) if self.causal else (window / 2, window / 2)
            low = torch.searchsorted(far, (tokens.times - back).contiguous(), right=True)
            high = torch.searchsorted(far, (tokens.times + ahead).contiguous(), right=True)
            parts = [sums.gather(1, at[..., None].expand(-1, -1, sums.shape[-1])) for at in (low, high)]
            count, total, squares = (parts[1] - parts[0]).split([1, self.dim_in, self.dim_in], -1)
            mean = total / count.clamp(min=1)
            means.append(mean)
            # a root has no slope at 0, so it ends a little above
            deviations.append((squares / count.clamp(min=1) - mean.square()).clamp(min=1e-6).sqrt())
        return torch.cat([*means, *deviations], -1).to(tokens.values.dtype)

    def at(self, tokens: Tokens, at: Instants | None) -> Float[Tensor, "rows features"]:
        if at is None:
            raise ConfigError("moving_statistics: an item as a whole has no instants. Fit it for a task over time.")
        tokens = ordered(tokens)
        found = tokens.with_values(self.raw(tokens))
        return at_instants(found, at, causal=self.causal)[at.mask]

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = ordered(tokens.clean())
        if torch.compiler.is_compiling():  # a graph has no number of parts that depends on sizes
            return tokens.with_values(self.readout(self.described(tokens)))
        rows = max(ROOM // max(tokens.mask.shape[1] * sum(self.sizes), 1), 1)
        parts = zip(*(part.split(rows) for part in tokens))
        return tokens.with_values(torch.cat([self.readout(self.described(Tokens(*part))) for part in parts]))


def ordered(tokens: Tokens) -> Tokens:
    """The same in order of time, what is masked at the end."""
    _, order = in_time(tokens)
    index = order[..., None].expand(-1, -1, tokens.dim)
    return Tokens(tokens.values.gather(1, index), tokens.times.gather(1, order), tokens.mask.gather(1, order))


def windows_for(rows: float, seconds: float, *, causal: bool) -> list[float]:
    """Windows for items of so many rows in so many seconds: one row, then three times as many, up to the item.

    Their ends lie between rows of an even stream, so that rounding moves no row in or out.

    >>> windows_for(20, 300.0, causal=True), windows_for(20, 300.0, causal=False)
    ([7.5, 37.5, 127.5], [15.0, 45.0, 135.0])
    """
    step = seconds / max(rows, 1.0)
    counts = [STEP**i for i in range(MOST_WINDOWS) if STEP**i <= max(rows, 1)]
    return [round((count - 0.5 * causal) * step, 9) for count in counts]
