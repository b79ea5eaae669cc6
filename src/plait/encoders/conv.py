"""Temporal convolutions with masks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Bool, Float
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.options import Few, Fews
from plait.encoders import Encoder
from plait.tokens import Tokens
from plait.tokens.tokens import whole

__all__ = ["Conv", "MaskedBatchNorm"]


class Conv(Encoder):
    """Strided convolutions along the sequence, each followed by a norm, GELU and dropout.

    The convolution runs over positions, so it is meant for streams with a regular rate; a gap in the mask keeps its
    place and counts as zeros. Output token j stands for inputs ``j * stride`` to ``j * stride + stride - 1``. It is
    observed if any of them is, and its time is the mean time of the observed ones. A causal convolution sees nothing
    after that window, and its token's time is the last time in it.

    Args:
        dim_in: width of the incoming tokens.
        dim: width of the outgoing tokens.
        strides: one convolution per stride; (2, 2) leaves a quarter of the tokens.
        kernel: positions that a convolution sees; at least its stride.
        dropout: share of the outputs set to 0 in training.
        norm: ``layer`` (over the width, each token by itself) or ``batch`` (see `MaskedBatchNorm`; in
            training only, the items of a batch depend on each other through its statistics).
        causal: whether no token sees a later one.

    Raises:
        ConfigError: no stride, a stride above the kernel, or an unknown norm.

    >>> times = torch.arange(10.0).expand(2, 10)
    >>> out = Conv(3, 8)(Tokens(torch.ones(2, 10, 3), times, times >= 0))
    >>> tuple(out.values.shape), out.times[0].tolist()
    ((2, 3, 8), [1.5, 5.5, 8.5])
    """

    def __init__(
        self,
        dim_in: int,
        dim: int,
        *,
        strides: Fews = (2, 2),
        kernel: Few = 5,
        dropout: float = 0.2,
        norm: str = "batch",
        causal: bool = False,
    ) -> None:
        super().__init__()
        if not strides or min(strides) < 1 or max(strides) > kernel:
            raise ConfigError(f"conv: strides {list(strides)} with kernel {kernel}; expected 1 <= stride <= kernel.")
        if norm not in ("layer", "batch"):
            raise ConfigError(f"conv: norm is {norm!r}; expected 'layer' or 'batch'.")
        self.dim_in, self.dim, self.causal = dim_in, dim, causal  # type: ignore[misc]
        widths = [dim_in] + [dim] * len(strides)
        self.layers = nn.ModuleList(
            _ConvLayer(a, dim, s, kernel=kernel, dropout=dropout, norm=norm, causal=causal)
            for a, s in zip(widths, strides)
        )

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens.clean()
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens


class _ConvLayer(nn.Module):
    """One convolution with norm, GELU and dropout; takes and returns clean tokens."""

    def __init__(
        self, dim_in: int, dim: int, stride: int, *, kernel: int, dropout: float, norm: str, causal: bool
    ) -> None:
        super().__init__()
        self.conv = nn.Conv1d(dim_in, dim, kernel, stride)
        self.norm = MaskedBatchNorm(dim) if norm == "batch" else _TokenNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self.causal = causal
        # centred on the stride window, or ending with it
        self.left = kernel - stride if causal else (kernel - stride + 1) // 2

    def forward(self, tokens: Tokens) -> Tokens:
        out = stride_windows(tokens, self.conv.stride[0], last=self.causal)
        if out.mask.shape[1] == 0:
            return out.with_values(tokens.values.new_zeros(*out.mask.shape, self.conv.out_channels))
        n, (kernel,), (stride,) = tokens.values.shape[1], self.conv.kernel_size, self.conv.stride
        # also enough zeros that a last, incomplete window gives a token
        right = (out.mask.shape[1] - 1) * stride + kernel - n - self.left
        x = F.pad(rearrange(tokens.values, "b t d -> b d t"), (self.left, right))
        x = self.norm(rearrange(self.conv(x), "b d t -> b t d"), out.mask)
        return out.with_values(self.dropout(F.gelu(x))).clean()


def stride_windows(tokens: Tokens, stride: int, *, last: bool = False) -> Tokens:
    """Times and mask of windows of ``stride`` tokens (values of width 0); ``tokens`` must be clean.

    >>> t = Tokens(torch.zeros(1, 3, 1), torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[True, True, True]]))
    >>> stride_windows(t, 2).times.tolist()
    [[1.5, 3.0]]
    """
    short = -tokens.mask.shape[1] % stride
    times = rearrange(F.pad(tokens.times, (0, short)), "b (t s) -> b t s", s=stride)
    valid = rearrange(F.pad(tokens.mask, (0, short)), "b (t s) -> b t s", s=stride)
    mask = valid.any(-1)
    if last:
        low = torch.finfo(times.dtype).min
        when = torch.where(valid, times, low).amax(-1)
    else:
        when = reduce(times, "b t s -> b t", "sum") / valid.sum(-1).clamp(min=1)
    return Tokens(times.new_zeros(*mask.shape, 0), torch.where(mask, when, 0.0), mask)


class _TokenNorm(nn.Module):
    """Layer norm with the signature of `MaskedBatchNorm`; ignores the mask."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)

    def forward(self, values: Tensor, mask: Tensor) -> Tensor:
        normed: Tensor = self.norm(values)
        return normed


class MaskedBatchNorm(nn.Module):
    """Batch norm with statistics over the observed tokens only.

    Ioffe and Szegedy 2015, algorithm 1, over the tokens under a True mask, so that padding does not pull the mean
    towards zero. Otherwise as `torch.nn.BatchNorm1d` (biased variance for normalising, unbiased in the running
    average), except that a batch with fewer than two tokens does not change the running averages. Values under a False
    mask must be finite.

    >>> norm = MaskedBatchNorm(1)
    >>> x = torch.tensor([[[1.0], [3.0], [99.0]]])
    >>> [round(v, 2) for v in norm(x, torch.tensor([[True, True, False]]))[0, :2, 0].tolist()]
    [-1.0, 1.0]
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, dim: int, *, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight, self.bias = nn.Parameter(torch.ones(dim)), nn.Parameter(torch.zeros(dim))
        self.register_buffer("running_mean", torch.zeros(dim))
        self.register_buffer("running_var", torch.ones(dim))

    def forward(
        self, values: Float[Tensor, "batch time dim"], mask: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time dim"]:
        if not self.training:
            # folded into one product and one sum: one pass over the tokens less
            scale = torch.rsqrt(self.running_var + self.eps) * self.weight
            return values * scale + (self.bias - self.running_mean * scale)
        if mask.numel() > 1 and whole(mask):
            # copies: autograd keeps what is given, and a layer used twice in a step would change it
            mean, var = self.running_mean.clone(), self.running_var.clone()
            moved = (mean, var, self.weight, self.bias, True, self.momentum, self.eps)
            out = F.batch_norm(values.transpose(1, 2), *moved).transpose(1, 2)
            self.running_mean.copy_(mean)
            self.running_var.copy_(var)
            return out
        # masked sums as matrix products: several times faster than `where` and `sum`
        flat, seen = values.flatten(0, 1), mask.flatten().to(values.dtype)
        count = seen.sum().clamp(min=1)
        mean = seen @ flat / count
        centred = flat - mean
        var = seen @ centred.square() / count
        self._move(mean.detach(), var.detach(), count)
        normed: Tensor = (centred * (torch.rsqrt(var + self.eps) * self.weight) + self.bias).unflatten(0, mask.shape)
        return normed

    def _move(self, mean: Tensor, var: Tensor, count: Tensor) -> None:
        # a factor and not an `if`: export and GPUs must not branch on the count
        move = self.momentum * (count > 1)
        self.running_mean += move * (mean - self.running_mean)
        self.running_var += move * (var * count / (count - 1).clamp(min=1) - self.running_var)
