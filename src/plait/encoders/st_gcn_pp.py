"""ST-GCN++: ST-GCN with learned links and a multi-branch temporal convolution."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from plait.encoders import Encoder
from plait.encoders.joints import (
    JointBlocks,
    JointGraph,
    JointNorm,
    JointSteps,
    JointTokens,
    Padded,
    axes_of,
    check_blocks,
    partitions,
    temporal_pad,
    zeroed,
)
from plait.encoders.st_gcn import Later, Mask, Shortcut, mixed
from plait.tokens import Tokens
from plait.tokens.stepwise import reach_of

__all__ = ["StGcnPp"]

DILATIONS = (1, 2, 3, 4)
BRANCHES = len(DILATIONS) + 2
KERNEL = 3


class StGcnPp(Encoder):
    """ST-GCN++: Duan, Wang, Chen and Lin, "PYSKL: Towards Good Practices for Skeleton Action Recognition", 2022.

    Differs from `StGcn` as described in section 3 of the paper: the weights between joints are learned freely, starting
    from the links of the skeleton (``spatial`` partition), so any two joints may become linked; the graph convolution
    has its own residual link; and the convolution over time has six branches, each on a sixth of the channels: kernels
    of 3 with dilations 1 to 4, max pooling over 3, and the identity. Tokens, gaps and times are as in `StGcn`.

    Departures from the paper: fewer and narrower blocks by default (it has ten, of 64, 128 and 256 channels).

    Args:
        dim_in: width of the rows: joints times axes times kinds (positions, velocities ...).
        dim: width of the outgoing tokens.
        layout, axes, centre, bones, weighted: as for `StGcn`.
        widths: channels after each block; at least 6.
        strides: stride of each block's convolution over time; at most 3.
        dropout: share set to 0 after each convolution over time, in training.
        causal: whether no token sees a later one.

    Raises:
        ConfigError: rows do not fit the joints, or an option is out of range.

    >>> tokens = Tokens(torch.randn(2, 16, 68), torch.arange(16.0).expand(2, 16) / 30, torch.ones(2, 16) > 0)
    >>> tuple(StGcnPp(68, 8, layout="coco17")(tokens).values.shape)
    (2, 4, 8)
    """

    trial: ClassVar[tuple[int, dict[str, object]]] = (
        16,
        {"layout": [[0, 1], [1, 2], [1, 3]], "widths": [7, 12], "strides": [1, 2]},
    )

    def __init__(
        self,
        dim_in: int,
        dim: int,
        *,
        layout: str | Sequence[Sequence[int]] | None = None,
        axes: int | None = None,
        centre: int | None = None,
        bones: bool = False,
        weighted: bool = False,
        widths: Sequence[int] = (24, 48, 96),
        strides: Sequence[int] = (2, 2, 1),
        dropout: float = 0.2,
        causal: bool = False,
    ) -> None:
        graph = JointGraph.of("st_gcn_pp", layout, centre, dim_in)
        check_blocks("st_gcn_pp", widths, strides, most=KERNEL, least=BRANCHES)
        axes = axes_of("st_gcn_pp", dim_in, graph.joints, axes)
        super().__init__()
        self.dim_in, self.dim, self.causal = dim_in, dim, causal  # type: ignore[misc]
        if causal:
            span = (KERNEL - 1) * max(DILATIONS) + 1
            self.reach, self.stride = reach_of([span] * len(strides), strides)
        weights, channels = partitions(graph, "spatial"), dim_in // graph.joints
        sizes = [channels * (2 if bones else 1), *widths]
        blocks = [
            (s, _Block(a, b, weights, stride=s, dropout=dropout, causal=causal))
            for (a, b), s in zip(pairwise(sizes), strides)
        ]
        self.joints = JointBlocks(
            graph, blocks, (channels, widths[-1]), dim, axes=axes, bones=bones, weighted=weighted, causal=causal
        )

    def forward(self, tokens: Tokens) -> Tokens:
        out: Tokens = self.joints(tokens)
        return out


class _Block(nn.Module):
    """Adaptive graph convolution, temporal branches, dropout; residual link; ReLU."""

    def __init__(
        self, width_in: int, width: int, weights: Tensor, *, stride: int, dropout: float, causal: bool
    ) -> None:
        super().__init__()
        self.spatial = AdaptiveGraphConv(width_in, width, weights)
        self.temporal = Branches(width, stride=stride, causal=causal)
        self.dropout = nn.Dropout(dropout)
        self.shortcut = Shortcut(width_in, width, stride=stride, causal=causal)

    def forward(self, x: JointTokens, before: Mask, after: Later) -> JointSteps:
        y = self.dropout(self.temporal(self.spatial(x, before), before, after))
        return F.relu(y + self.shortcut(x, after))


class AdaptiveGraphConv(nn.Module):
    """`plait.encoders.st_gcn.GraphConv` with freely learned weights, a norm and a residual link."""

    def __init__(self, width_in: int, width: int, weights: Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights.clone())
        self.linear = nn.Linear(len(weights) * width_in, width, bias=False)
        self.norm = JointNorm(width)
        self.shortcut = Shortcut(width_in, width, stride=1, causal=False)

    def forward(self, x: JointTokens, before: Mask) -> JointSteps:
        y = F.relu(self.norm(mixed(x, self.weights, self.linear), before) + self.shortcut(x, before))
        return zeroed(y, before)


class Branches(nn.Module):
    """Multi-branch temporal convolution: mix the channels, six branches, mix their outputs."""

    def __init__(self, width: int, *, stride: int, causal: bool) -> None:
        super().__init__()
        part = width // BRANCHES
        # the first branch takes the remainder, as in PYSKL
        self.parts = [width - part * (BRANCHES - 1), *[part] * (BRANCHES - 1)]
        self.enter, self.leave = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.norms = nn.ModuleList(JointNorm(width) for _ in range(3))
        self.convs = nn.ModuleList(
            nn.Conv2d(n, n, (KERNEL, 1), (stride, 1), dilation=(d, 1), bias=False)
            for n, d in zip(self.parts, DILATIONS)
        )
        self.stride, self.causal = stride, causal

    def forward(self, x: JointTokens, before: Mask, after: Later) -> JointSteps:
        x = zeroed(F.relu(self.norms[0](self.enter(x), before)), before)
        *parts, highest, plain = x.split(self.parts, -1)
        found = [self._convolved(conv, part, after) for conv, part in zip(self.convs, parts)]
        # nothing is below 0 after the ReLU, so the zeros of gaps and edges never exceed an observed value
        windows = self._padded(highest, after, KERNEL).unfold(1, KERNEL, self.stride)
        found += [windows.amax(-1), self._padded(plain, after, 1)[:, :: self.stride]]
        out: Tensor = self.norms[2](self.leave(F.relu(self.norms[1](torch.cat(found, -1), after))), after)
        return out

    def _convolved(self, conv: nn.Module, x: JointTokens, after: Later) -> JointSteps:
        x = self._padded(x, after, (KERNEL - 1) * cast("nn.Conv2d", conv).dilation[0] + 1)
        out: Tensor = rearrange(conv(rearrange(x, "b t j c -> b c t j")), "b c t j -> b t j c")
        return out

    def _padded(self, x: JointTokens, after: Later, span: int) -> Padded:
        return temporal_pad(x, after.shape[1], span=span, stride=self.stride, causal=self.causal)
