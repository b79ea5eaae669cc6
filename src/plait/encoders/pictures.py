"""Shared by the encoders of pictures and clips: rows of pixels to pictures, masked norms, convolutional blocks.

The blocks have two forms: for pictures ``[n, channels, height, width]`` (``depth`` 0), and for clips
``[batch, channels, time, height, width]`` with kernels that see ``depth`` frames. Weights have the same names in both,
so that those of a picture network can be inflated into a clip network. ``seen`` is 1 where there is a picture and 0
where there is none, in a shape that broadcasts, or None where all are there. Every block gives zeros where there is
none.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from plait.core.errors import ConfigError, raise_all
from plait.core.parts import part_name
from plait.encoders import Encoder
from plait.encoders.conv import stride_windows
from plait.tokens import Tokens

__all__ = [
    "BLOCKS",
    "NORMS",
    "PictureEncoder",
    "Tower",
    "Unit",
    "by_place",
    "check_tower",
    "pooled",
    "pooled_tokens",
    "seen_frames",
]


See = Callable[[Tensor, Tensor | None], Tensor]
"""Pictures [n, channels, height, width] and ``seen`` -> features [n, width]."""


class PictureEncoder(Encoder):
    """Base class of the encoders whose rows are pictures: checks the shape, cleans and unflattens.

    A row holds ``height * width * channels`` numbers in that order, as the features `frames` and `optical_flow` flatten
    them. A row of several pictures (`frames` with ``differences: true`` gives two) is stacked as channels.

    Args:
        dim_in: width of the incoming tokens.
        dim: width of the outgoing tokens.
        shape: [height, width] or [height, width, channels]; None for [24, 32], the default of `frames`.

    Raises:
        ConfigError: the shape is not two or three numbers above 0, or does not divide ``dim_in``.
    """

    def __init__(self, dim_in: int, dim: int, shape: Sequence[int] | None) -> None:
        super().__init__()
        self.dim_in, self.dim = dim_in, dim
        given, name = list(shape or (24, 32)), part_name(type(self))
        if len(given) not in (2, 3) or min(given) < 1:
            raise ConfigError(f"{name}: shape {given}; expected [height, width] or [height, width, channels].")
        self.height, self.width, self.colours = (*given, 1)[:3]
        if dim_in % math.prod(given):
            raise ConfigError(
                f"{name}: rows of {dim_in} numbers are not pictures of shape {given}, which have {math.prod(given)}. "
                "Give the option shape: [height, width, channels] of the feature (frames: its height and width, "
                "channels 1, or 3 with grey: false; optical_flow: its rows and columns, channels 3)."
            )
        self.channels = self.colours * (dim_in // math.prod(given))

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens.clean()
        if tokens.mask.shape[1] == 0:
            return tokens.with_values(tokens.values.new_zeros(tokens.values.shape[0], 0, self.dim))
        form = {"h": self.height, "w": self.width, "c": self.colours}
        return self.see(rearrange(tokens.values, "b t (k h w c) -> b t (k c) h w", **form), tokens).clean()

    def by_frame(self, pictures: Float[Tensor, "batch time channels height width"], tokens: Tokens, see: See) -> Tensor:
        """Apply ``see`` to each observed picture by itself; returns [batch, time, features]."""
        mask = tokens.mask.flatten()
        # a graph cannot select frames by data; and ``see`` must not get an empty batch
        if torch.compiler.is_compiling() or not bool(mask.any()):
            values = see(pictures.flatten(0, 1), rearrange(mask, "n -> n 1 1 1").to(pictures.dtype))
        else:
            there = see(pictures.flatten(0, 1)[mask], None)
            values = there.new_zeros(len(mask), there.shape[1]).index_put((mask.nonzero()[:, 0],), there)
        out: Tensor = values.unflatten(0, tokens.mask.shape)
        return out

    @abstractmethod
    def see(self, pictures: Float[Tensor, "batch time channels height width"], tokens: Tokens) -> Tokens:
        """Pictures (zeros where there is none), one or more frames, to tokens of width ``dim``."""


class _BatchNorm(nn.Module):
    """Batch norm over channels with statistics over the observed pictures only.

    Ioffe and Szegedy 2015, algorithm 1. Otherwise as `torch.nn.BatchNorm2d` and `BatchNorm3d`, with the same names of
    weights, except that a batch with fewer than two numbers per channel does not change the running averages.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, *, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor, seen: Tensor | None) -> Tensor:
        whole = not self.training or (seen is None and x.numel() > x.shape[1])
        if whole:
            running = (self.running_mean, self.running_var, self.weight, self.bias)
            return F.batch_norm(x, *running, self.training, self.momentum, self.eps)
        # torch refuses to train on one number per channel, so that case is computed here too
        seen = x.new_ones(1) if seen is None else seen
        others = [0, *range(2, x.ndim)]
        # `seen` only broadcasts: the number of pixels of the observed frames needs the full shape
        count = torch.ones_like(x[:, :1]).mul(seen).sum().clamp(min=1)
        mean = (x * seen).sum(others) / count
        centred = x - _by_channel(mean, x)
        var = (centred.square() * seen).sum(others) / count
        self._move(mean.detach(), var.detach(), count)
        return centred * _by_channel(torch.rsqrt(var + self.eps) * self.weight, x) + _by_channel(self.bias, x)

    def _move(self, mean: Tensor, var: Tensor, count: Tensor) -> None:
        move = self.momentum * (count > 1)
        self.running_mean += move * (mean - self.running_mean)
        self.running_var += move * (var * count / (count - 1).clamp(min=1) - self.running_var)


class _FrameNorm(nn.Module):
    """Group norm (Wu and He 2018) of each frame by itself: groups of 8 channels, or of one if 8 does not divide them.

    In a clip too, statistics are over the group's channels and the picture, never over time: frames stay independent.
    """

    def __init__(self, channels: int, *, eps: float = 1e-5) -> None:
        super().__init__()
        self.groups, self.eps = channels // 8 if channels % 8 == 0 else channels, eps
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, seen: Tensor | None) -> Tensor:
        parts = x.unflatten(1, (self.groups, -1))
        var, mean = torch.var_mean(parts, (2, -2, -1), correction=0, keepdim=True)
        flat: Tensor = ((parts - mean) * torch.rsqrt(var + self.eps)).flatten(1, 2)
        return flat * _by_channel(self.weight, x) + _by_channel(self.bias, x)


LAYOUT = {4: torch.channels_last, 5: torch.channels_last_3d}
NORMS = {"batch": _BatchNorm, "group": _FrameNorm}


def _by_channel(vector: Tensor, like: Tensor) -> Tensor:
    return vector.reshape(-1, *[1] * (like.ndim - 2))


class Unit(nn.Module):
    """A convolution that keeps the size, a norm, and a ReLU.

    Args:
        before: channels in.
        after: channels out.
        size: pixels per side of the kernel; odd.
        depth: frames that the kernel sees; odd; 0 for pictures without time.
        norm: ``batch`` or ``group``.
        relu: whether to apply the ReLU.
    """

    def __init__(self, before: int, after: int, size: int, *, depth: int, norm: str, relu: bool = True) -> None:
        super().__init__()
        half = size // 2
        # no bias: the norm that follows would remove it
        if depth:
            self.conv: nn.Module = nn.Conv3d(
                before, after, (depth, size, size), padding=(depth // 2, half, half), bias=False
            )
        else:
            self.conv = nn.Conv2d(before, after, size, padding=half, bias=False)
        self.norm, self.relu = NORMS[norm](after), relu

    def forward(self, x: Tensor, seen: Tensor | None) -> Tensor:
        # channels last: convolutions and max pooling are up to twice as fast on a CPU
        y = self.norm(self.conv(x).contiguous(memory_format=LAYOUT[x.ndim]), seen)
        y = F.relu(y) if self.relu else y
        # the norm's bias has filled the gaps
        return y if seen is None else y * seen


class _Residual(nn.Module):
    """Two 3 x 3 convolutions, added to the input (He et al. 2016, figure 2)."""

    def __init__(self, before: int, after: int, *, depth: int, norm: str) -> None:
        super().__init__()
        self.first = Unit(before, after, 3, depth=depth, norm=norm)
        self.second = Unit(after, after, 3, depth=depth, norm=norm, relu=False)
        skip = before != after
        self.skip = Unit(before, after, 1, depth=min(depth, 1), norm=norm, relu=False) if skip else None

    def forward(self, x: Tensor, seen: Tensor | None) -> Tensor:
        y = self.second(self.first(x, seen), seen)
        return F.relu(y + (x if self.skip is None else self.skip(x, seen)))


class _Inception(nn.Module):
    """Four branches side by side (Szegedy et al. 2015, figure 2b; Carreira and Zisserman 2017, figure 3).

    A quarter of the channels comes from 1 x 1; half from 1 x 1, then 3 x 3; an eighth from a narrower 1 x 1, then
    3 x 3; an eighth from 3 x 3 max pooling, then 1 x 1: the shares of the paper's module 3a.
    """

    def __init__(self, before: int, after: int, *, depth: int, norm: str) -> None:
        super().__init__()
        small, wide = (partial(Unit, depth=frames, norm=norm) for frames in (min(depth, 1), depth))
        part = after // 8
        self.point = small(before, 2 * part, 1)
        self.middle = nn.ModuleList([small(before, 3 * part, 1), wide(3 * part, 4 * part, 3)])
        self.narrow = nn.ModuleList([small(before, max(part // 2, 1), 1)])
        self.narrow.append(wide(max(part // 2, 1), part, 3))
        self.pool = nn.MaxPool3d((depth, 3, 3), 1, (depth // 2, 1, 1)) if depth else nn.MaxPool2d(3, 1, 1)
        self.top = small(before, part, 1)

    def forward(self, x: Tensor, seen: Tensor | None) -> Tensor:
        branches = [self.point(x, seen)]
        for first, second in (self.middle, self.narrow):
            branches.append(second(first(x, seen), seen))
        # the input is not below 0 (after a ReLU), so the zeros of a gap never exceed an observed value
        return torch.cat([*branches, self.top(self.pool(x), seen)], 1)


BLOCKS = {"residual": _Residual, "inception": _Inception}


class Tower(nn.Module):
    """A 3 x 3 convolution, then blocks, each after max pooling over 2 x 2 pixels (and some frames).

    Args:
        channels: channels of the pictures.
        widths: channels of the convolution and of each block.
        block: ``residual`` or ``inception``.
        depth: frames that a kernel sees; 0 for pictures without time.
        norm: ``batch`` or ``group``.
        strides: frames pooled into one before each block, for clips.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], *, block: str, depth: int, norm: str, strides: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.strides = list(strides) or [1] * (len(widths) - 1)
        self.stem = Unit(channels, widths[0], 3, depth=depth, norm=norm)
        self.blocks = nn.ModuleList(BLOCKS[block](a, b, depth=depth, norm=norm) for a, b in pairwise(widths))

    def forward(self, x: Tensor, seen: Tensor | None) -> Tensor:
        """Pictures or clips to feature maps, not below 0."""
        x = self.stem(x, seen)
        for stride, block in zip(self.strides, self.blocks):
            x, seen = pooled(x, seen, stride)
            x = block(x, seen)
        return x


def pooled(x: Tensor, seen: Tensor | None, stride: int) -> tuple[Tensor, Tensor | None]:
    """Max pooling over 2 x 2 pixels, and over ``stride`` frames of a clip; incomplete windows at the edge count too.

    >>> x, seen = pooled(torch.ones(1, 2, 5, 4, 3), torch.ones(1, 1, 5, 1, 1), 2)
    >>> tuple(x.shape), tuple(seen.shape)
    ((1, 2, 3, 2, 2), (1, 1, 3, 1, 1))
    """
    if x.ndim == 4:
        return F.max_pool2d(x, 2, ceil_mode=True), seen
    there = seen if seen is None or stride == 1 else F.max_pool3d(seen, (stride, 1, 1), ceil_mode=True)
    return F.max_pool3d(x, (stride, 2, 2), ceil_mode=True), there


def seen_frames(tokens: Tokens) -> Float[Tensor, "batch 1 time 1 1"] | None:
    """Which frames of the clips are observed, as a factor; None where all are."""
    if not torch.compiler.is_compiling() and bool(tokens.mask.all()):
        return None
    return rearrange(tokens.mask, "b t -> b 1 t 1 1").to(tokens.values.dtype)


def pooled_tokens(tokens: Tokens, strides: Sequence[int]) -> Tokens:
    """Times and mask of ``tokens`` (clean) after pooling over frames by ``strides``."""
    for stride in strides:
        tokens = stride_windows(tokens, stride) if stride > 1 else tokens
    return tokens


def by_place(maps: Float[Tensor, "n channels *space"], grid: int) -> Float[Tensor, "n features"]:
    """Means over ``grid`` x ``grid`` parts of the picture, flattened: a coarse map.

    >>> tuple(by_place(torch.ones(7, 3, 6, 8), 2).shape)
    (7, 12)
    """
    return F.adaptive_avg_pool2d(maps, grid).flatten(1)


def check_tower(
    name: str,
    widths: Sequence[int],
    *,
    norm: str,
    grid: int,
    block: str = "residual",
    strides: Sequence[int] | None = None,
    stages: int | None = None,
) -> None:
    """Check the options that the convolutional encoders share; ``stages`` is the number of strides (default: blocks).

    Raises:
        ConfigError: all problems at once.
    """
    wrong = []
    if not widths or min(widths) < 1 or (block == "inception" and any(w % 8 for w in widths[1:])):
        wrong.append(
            f"widths {list(widths)}; expected 1 channel or more each (inception: multiples of 8 after the first)"
        )
    if block not in BLOCKS:
        wrong.append(f"block {block!r}; expected one of {', '.join(BLOCKS)}")
    if norm not in NORMS:
        wrong.append(f"norm {norm!r}; expected one of {', '.join(NORMS)}")
    if grid < 1:
        wrong.append(f"grid {grid}; expected 1 or more")
    count = len(widths) - 1 if stages is None else stages
    if strides is not None and (len(strides) != count or min(strides, default=1) < 1):
        wrong.append(f"strides {list(strides)}; expected {count} of them, 1 or more each")
    raise_all(ConfigError, [f"{name}: {one}." for one in wrong])
