"""Dilated temporal convolutions: a long receptive field from few layers."""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from plait.core.errors import ConfigError
from plait.core.options import Few
from plait.encoders import Encoder
from plait.encoders.conv import MaskedBatchNorm
from plait.tokens import Tokens

__all__ = ["Tcn"]

NORMS = ("weight", "layer", "batch")


class Tcn(Encoder):
    """TCN: residual blocks of dilated convolutions; one token out per token in.

    Bai, Kolter, Koltun 2018, "An empirical evaluation of generic convolutional and recurrent networks for sequence
    modeling", figure 1: block i is twice (convolution, dilation ``2 ** i``, norm, ReLU, dropout), added to its input
    (through a linear map where the widths differ), then a ReLU. The `receptive_field` of a token is
    ``1 + 2 (kernel - 1)(2 ** layers - 1)`` places: up to its own place if ``causal``, else centred on it (departure
    from the paper, which is always causal). It runs over positions, so it is meant for streams with a regular rate: a
    gap keeps its place and counts as zeros in every layer. Memory is linear in length.

    Args:
        dim_in: width of the incoming tokens.
        dim: width of the outgoing tokens.
        layers: residual blocks; each doubles the dilation.
        kernel: places that one convolution sees.
        dropout: share of the outputs set to 0 in training (departure: single values, not whole channels).
        norm: ``weight`` (weight normalisation, as in the paper), or a norm of the outputs: ``layer`` (each token by
            itself) or ``batch`` (over the observed tokens only: `plait.encoders.conv.MaskedBatchNorm`).
        causal: whether no token sees a later one.

    Raises:
        ConfigError: no layer, a kernel below 2, an even kernel without ``causal``, or an unknown norm.

    >>> import torch
    >>> encoder = Tcn(3, 8, layers=3)
    >>> out = encoder(Tokens(torch.ones(2, 50, 3), torch.arange(50.0).expand(2, 50), torch.ones(2, 50) > 0))
    >>> tuple(out.values.shape), encoder.receptive_field
    ((2, 50, 8), 29)
    """

    def __init__(
        self,
        dim_in: int,
        dim: int,
        *,
        layers: Few = 4,
        kernel: Few = 3,
        dropout: float = 0.2,
        norm: str = "batch",
        causal: bool = False,
    ) -> None:
        super().__init__()
        if layers < 1 or kernel < 2 or (not causal and kernel % 2 == 0):
            raise ConfigError(
                f"tcn: {layers} layers with kernel {kernel}, causal {causal}; expected 1 layer or more and a kernel "
                "of 2 or more, odd unless causal is true."
            )
        if norm not in NORMS:
            raise ConfigError(f"tcn: norm is {norm!r}; expected one of {', '.join(NORMS)}.")
        self.dim_in, self.dim, self.causal = dim_in, dim, causal  # type: ignore[misc]
        self.receptive_field = 1 + 2 * (kernel - 1) * (2**layers - 1)
        self.reach = self.receptive_field - 1 if causal else None
        self.blocks = nn.ModuleList(
            _Block(dim if i else dim_in, dim, 2**i, kernel=kernel, dropout=dropout, norm=norm, causal=causal)
            for i in range(layers)
        )

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens.clean()
        if tokens.mask.shape[1] == 0:
            return tokens.with_values(tokens.values.new_zeros(tokens.values.shape[0], 0, self.dim))
        x = tokens.values
        for block in self.blocks:
            x = block(x, tokens.mask)
        return tokens.with_values(x)


class _Block(nn.Module):
    """One residual block; input and output are zeros where there is no token."""

    def __init__(
        self, dim_in: int, dim: int, dilation: int, *, kernel: int, dropout: float, norm: str, causal: bool
    ) -> None:
        super().__init__()
        make = partial(_Convolution, kernel=kernel, norm=norm, causal=causal)
        self.first = make(dim_in, dim, dilation)
        self.second = make(dim, dim, dilation)
        self.dropout = nn.Dropout(dropout)
        self.skip = nn.Linear(dim_in, dim) if dim_in != dim else nn.Identity()

    def forward(
        self, x: Float[Tensor, "batch time dim_in"], mask: Bool[Tensor, "batch time"]
    ) -> Float[Tensor, "batch time dim"]:
        seen = mask[..., None].to(x.dtype)
        # zeroed between the two convolutions: biases and norms fill gaps, and padding would leak into observed tokens
        y = self.dropout(F.relu(self.first(x, mask))) * seen
        y = self.dropout(F.relu(self.second(y, mask)))
        return F.relu(y + self.skip(x)) * seen


class _Convolution(nn.Module):
    """One dilated convolution along time and its norm."""

    def __init__(self, dim_in: int, dim: int, dilation: int, *, kernel: int, norm: str, causal: bool) -> None:
        super().__init__()
        conv = nn.Conv1d(dim_in, dim, kernel, dilation=dilation)
        self.conv = weight_norm(conv) if norm == "weight" else conv
        kind = {"weight": None, "layer": nn.LayerNorm, "batch": MaskedBatchNorm}[norm]
        self.norm = kind and kind(dim)
        before = (kernel - 1) * dilation
        self.margin = (before, 0) if causal else (before // 2, before // 2)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = self.conv(F.pad(rearrange(x, "b t d -> b d t"), self.margin))
        out: Tensor = rearrange(y, "b d t -> b t d")
        if isinstance(self.norm, MaskedBatchNorm):
            out = self.norm(out, mask)
        elif self.norm is not None:
            out = self.norm(out)
        return out
