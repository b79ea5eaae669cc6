"""Convolutions over time and columns together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.options import Counts, Few, Fews
from plait.encoders import Encoder
from plait.encoders.conv import stride_windows
from plait.encoders.pictures import NORMS, seen_frames
from plait.tokens import Tokens
from plait.tokens.stepwise import reach_of

__all__ = ["Conv2d"]


class Conv2d(Encoder):
    """Strided convolutions over time and columns, for rows whose neighbouring columns are alike: bands of a spectrum.

    One kernel serves all columns, so a pattern learnt in some bands is known in all others. With a recurrent encoder
    after it, this is the CRNN of sound event detection (Cakir et al. 2017, "Convolutional recurrent neural networks for
    polyphonic sound event detection", IEEE/ACM TASLP 25(6), section III). Each stage is a convolution, batch norm over
    the observed rows, a ReLU, and max pooling over columns; then one linear layer. Departure: time is reduced by the
    strides of the convolutions, which costs less than pooling after them. Times, gaps and ``causal`` are those of
    `plait.encoders.conv.Conv`.

    Args:
        dim_in: number of columns.
        dim: width of the outgoing tokens.
        widths: channels of each stage.
        strides: rows of each stage's input per row of its output; (2, 2, 1) leaves a quarter of the rows.
        pools: columns that each stage pools into one.
        kernel: rows and columns that a convolution sees; odd, and at least the largest stride.
        dropout: share of the outputs of each stage set to 0 in training.
        causal: whether no token sees a later row.

    Raises:
        ConfigError: not one stride and pool per stage, an even kernel, or one below a stride.

    >>> times = torch.arange(10.0).expand(2, 10)
    >>> out = Conv2d(40, 8)(Tokens(torch.ones(2, 10, 40), times, times >= 0))
    >>> tuple(out.values.shape), out.times[0].tolist()
    ((2, 3, 8), [1.5, 5.5, 8.5])
    """

    trial: ClassVar[tuple[int, dict[str, object]]] = (7, {"widths": [4, 6], "strides": [2, 1], "pools": [2, 3]})

    def __init__(
        self,
        dim_in: int,
        dim: int,
        *,
        widths: Counts = (16, 32, 64),
        strides: Fews = (2, 2, 1),
        pools: Fews = (4, 4, 2),
        kernel: Few = 3,
        dropout: float = 0.2,
        causal: bool = False,
    ) -> None:
        super().__init__()
        if not widths or not len(widths) == len(strides) == len(pools):
            raise ConfigError(
                f"conv2d: widths {list(widths)}, strides {list(strides)}, pools {list(pools)}; expected one of each "
                "per stage."
            )
        if kernel % 2 == 0 or max(strides) > kernel:
            raise ConfigError(f"conv2d: strides {list(strides)} with kernel {kernel}; expected an odd kernel >= all.")
        self.dim_in, self.dim, self.causal = dim_in, dim, causal  # type: ignore[misc]
        if causal:
            self.reach, self.stride = reach_of([kernel] * len(strides), strides)
        self.dropout, self.pools = nn.Dropout(dropout), list(pools)
        before = [1, *widths[:-1]]
        # No bias: the norm that follows would remove it.
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, kernel, (stride, 1), bias=False) for a, b, stride in zip(before, widths, strides)
        )
        self.norms = nn.ModuleList(NORMS["batch"](width) for width in widths)
        columns = dim_in
        for pool in pools:
            columns = -(-columns // pool)  # the last columns may be fewer than a pool
        self.leave = nn.Linear(widths[-1] * columns, dim)

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens.clean()
        if tokens.mask.shape[1] == 0:
            return tokens.with_values(tokens.values.new_zeros(tokens.values.shape[0], 0, self.dim))
        x = rearrange(tokens.values, "b t f -> b 1 t f")
        for conv, norm, pool in zip(cast("Iterable[nn.Conv2d]", self.convs), self.norms, self.pools):
            out = stride_windows(tokens, conv.stride[0], last=self.causal)
            # Channels last: convolutions and max pooling are up to twice as fast on a CPU.
            x = conv(self._padded(x, conv, out.mask.shape[1])).contiguous(memory_format=torch.channels_last)
            seen = seen_frames(out)
            seen = seen if seen is None else seen.squeeze(-1)
            x = F.relu(norm(x, seen))
            x = F.max_pool2d(x, (1, pool), ceil_mode=True)
            # The norm's bias has filled the gaps.
            x, tokens = self.dropout(x if seen is None else x * seen), out
        return tokens.with_values(self.leave(rearrange(x, "b c t f -> b t (c f)"))).clean()

    def _padded(self, x: Tensor, conv: nn.Conv2d, rows: int) -> Tensor:
        """Zeros around ``x`` for ``rows`` rows of output, and as many columns as there are."""
        (kernel, _), (stride, _) = conv.kernel_size, conv.stride
        before = kernel - stride if self.causal else (kernel - stride + 1) // 2
        # Also enough zeros that a last, incomplete window gives a row.
        after = (rows - 1) * stride + kernel - x.shape[2] - before
        return F.pad(x, (kernel // 2, kernel // 2, before, after))
