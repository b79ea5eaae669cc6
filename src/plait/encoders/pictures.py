"""What the encoders of pictures and clips share: rows of pixels to pictures, masked norms, blocks of convolutions.

A network here is made of the same blocks in two forms: for pictures ``[n, channels, height, width]`` (``depth`` 0), and
for clips ``[batch, channels, time, height, width]`` with kernels that see ``depth`` frames. Their weights bear the same
names, so that those of the one can be inflated into the other. ``seen`` is 1 where there is a picture and 0 where there
is none, of a shape that broadcasts, or None where all are there; every block gives zeros where there is none.
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
"""Pictures [n, channels, height, width] and which are there -> features [n, width]."""


class PictureEncoder(Encoder):
    """Base of the encoders whose rows are pictures: checks the shape, cleans and unflattens.

    A row holds ``height * width * channels`` numbers in that order, as the features `frames` and `optical_flow` flatten
    them; or several such pictures, one after the other (`frames` with ``differences: true`` gives two): then they are
    stacked as channels.

    Args:
        dim_in: width of the incoming tokens.
        dim: width of the outgoing tokens.
        shape: [height, width] or [height, width, channels]; None for [24, 32], what `frames` gives by default.

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
                f"{name}: rows of {dim_in} numbers are no pictures of shape {given}, which have {math.prod(given)}. "
                "Give the option shape: [height, width, channels] of the feature (frames: its height and width, "
                "channels 1, or 3 with grey: false; optical_flow: its rows and columns, channels 3)."
            )
        self.channels = self.colours * (dim_in // math.prod(given))

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens.clean()
        if tokens.mask.shape[1] == 0:
            return tokens.with_values(tokens.values.new_zeros(len(tokens.values), 0, self.dim))
        form = {"h": self.height, "w": self.width, "c": self.colours}
        return self.see(rearrange(tokens.values, "b t (k h w c) -> b t (k c) h w", **form), tokens).clean()

    def by_frame(self, pictures: Float[Tensor, "batch time channels height width"], tokens: Tokens, see: See) -> Tensor:
        """[batch, time, features] of a function that sees each picture by itself, of the pictures that are there."""
        mask = tokens.mask.flatten()
        # a graph cannot choose frames; nor is there anything to choose where there is none
        if torch.compiler.is_compiling() or not bool(mask.any()):
            values = see(pictures.flatten(0, 1), rearrange(mask, "n -> n 1 1 1").to(pictures.dtype))
        else:
            there = see(pictures.flatten(0, 1)[mask], None)
            values = there.new_zeros(len(mask), there.shape[1]).index_put((mask.nonzero()[:, 0],), there)
        out: Tensor = values.unflatten(0, tokens.mask.shape)
        return out

    @abstractmethod
    def see(self, pictures: Float[Tensor, "batch time channels height width"], tokens: Tokens) -> Tokens:
        """Pictures (zeros where there is none) to tokens of width ``dim``; one or more frames come in."""


class _BatchNorm(nn.Module):
    """Batch norm over channels whose statistics are taken over what is seen only.

    Ioffe and Szegedy 2015, algorithm 1, as `torch.nn.BatchNorm2d` and `BatchNorm3d` in all else, their names of weights
    included; a batch with fewer than two numbers a channel does not move the running averages.
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
        seen = x.new_ones(1) if seen is None else seen
        others = [0, *range(2, x.ndim)]
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
    """Group norm (Wu and He 2018) of each frame by itself: groups of 8 channels or, if they do not divide, of one.

    In a clip too the mean is over the group's channels and the picture, never over time: so no frame sees another.
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
    """Convolution that keeps the size, norm, and a ReLU.

    Args:
        before: channels in.
        after: channels out.
        size: pixels that a kernel sees each way, odd.
        depth: frames that it sees, odd; 0 for pictures without time.
        norm: ``batch`` or ``group``.
        relu: whether the ReLU comes.
    """

    def __init__(self, before: int, after: int, size: int, *, depth: int, norm: str, relu: bool = True) -> None:
        super().__init__()
        half = size // 2
        if depth:
            self.conv: nn.Module = nn.Conv3d(
                before, after, (depth, size, size), padding=(depth // 2, half, half), bias=False
            )
        else:
            self.conv = nn.Conv2d(before, after, size, padding=half, bias=False)
        self.norm, self.relu = NORMS[norm](after), relu

    def forward(self, x: Tensor, seen: Tensor | None) -> Tensor:
        # channels last: convolutions and maxima are up to twice as fast on a processor
        y = self.norm(self.conv(x).contiguous(memory_format=LAYOUT[x.ndim]), seen)
        y = F.relu(y) if self.relu else y
        return y if seen is None else y * seen


class _Residual(nn.Module):
    """Two convolutions of 3 x 3, added to what came in (He et al. 2016, figure 2)."""

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

    A quarter of the channels from 1 x 1, half from 1 x 1 then 3 x 3, an eighth from a narrower 1 x 1 then 3 x 3, an
    eighth from a maximum over 3 x 3 then 1 x 1: the shares of the paper's module 3a.
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
        # what comes in is not below 0, so that the zeros of a gap are never the maximum of what is there
        return torch.cat([*branches, self.top(self.pool(x), seen)], 1)


BLOCKS = {"residual": _Residual, "inception": _Inception}


class Tower(nn.Module):
    """A convolution of 3 x 3, then blocks, each behind a maximum over 2 x 2 pixels (and some frames).

    Args:
        channels: of the pictures.
        widths: channels of the convolution and of each block.
        block: ``residual`` or ``inception``.
        depth: frames that a kernel sees; 0 for pictures without time.
        norm: ``batch`` or ``group``.
        strides: frames that become one before each block, for clips.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], *, block: str, depth: int, norm: str, strides: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.strides = list(strides) or [1] * (len(widths) - 1)
        self.stem = Unit(channels, widths[0], 3, depth=depth, norm=norm)
        self.blocks = nn.ModuleList(BLOCKS[block](a, b, depth=depth, norm=norm) for a, b in pairwise(widths))

    def forward(self, x: Tensor, seen: Tensor | None) -> Tensor:
        """Pictures or clips to maps of features, not below 0."""
        x = self.stem(x, seen)
        for stride, block in zip(self.strides, self.blocks):
            x, seen = pooled(x, seen, stride)
            x = block(x, seen)
        return x


def pooled(x: Tensor, seen: Tensor | None, stride: int) -> tuple[Tensor, Tensor | None]:
    """Maximum over 2 x 2 pixels, and over ``stride`` frames of a clip; what remains at an edge counts too.

    >>> x, seen = pooled(torch.ones(1, 2, 5, 4, 3), torch.ones(1, 1, 5, 1, 1), 2)
    >>> tuple(x.shape), tuple(seen.shape)
    ((1, 2, 3, 2, 2), (1, 1, 3, 1, 1))
    """
    if x.ndim == 4:
        return F.max_pool2d(x, 2, ceil_mode=True), seen
    there = seen if seen is None or stride == 1 else F.max_pool3d(seen, (stride, 1, 1), ceil_mode=True)
    return F.max_pool3d(x, (stride, 2, 2), ceil_mode=True), there


def seen_frames(tokens: Tokens) -> Float[Tensor, "batch 1 time 1 1"] | None:
    """Which frames of the clips are there, as a factor; None where all are."""
    if not torch.compiler.is_compiling() and bool(tokens.mask.all()):
        return None
    return rearrange(tokens.mask, "b t -> b 1 t 1 1").to(tokens.values.dtype)


def pooled_tokens(tokens: Tokens, strides: Sequence[int]) -> Tokens:
    """Times and mask of what is left of ``tokens`` (clean) after pooling over frames by ``strides``."""
    for stride in strides:
        tokens = stride_windows(tokens, stride) if stride > 1 else tokens
    return tokens


def by_place(maps: Float[Tensor, "n channels *space"], grid: int) -> Float[Tensor, "n features"]:
    """Means over ``grid`` x ``grid`` parts of the picture, in a row: what is where, coarsely.

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
    """Check the options that the convolutional encoders share; ``stages`` are those that ``strides`` are for.

    Raises:
        ConfigError: all that is wrong, in one go.
    """
    wrong = []
    if not widths or min(widths) < 1 or (block == "inception" and any(w % 8 for w in widths[1:])):
        wrong.append(
            f"widths {list(widths)}; expected one channel or more each (inception: multiples of 8 behind the first)"
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
