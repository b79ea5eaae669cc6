"""ST-GCN: convolutions over the joints of a skeleton, and over time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.options import Counts, Few, Fews
from plait.encoders import Encoder
from plait.encoders.joints import (
    JointBlocks,
    JointGraph,
    JointNorm,
    JointSteps,
    JointTokens,
    axes_of,
    check_blocks,
    partitions,
    temporal_pad,
    zeroed,
)
from plait.tokens import Tokens
from plait.tokens.stepwise import reach_of

__all__ = ["GraphConv", "Shortcut", "StGcn", "TemporalConv", "mixed"]

Mask = Bool[Tensor, "batch time"]
Later = Bool[Tensor, "batch steps"]


class StGcn(Encoder):
    """Spatial temporal graph convolutional network: Yan, Xiong and Lin, AAAI 2018.

    Each block is a graph convolution over a joint and its neighbours (eq. 10), then a convolution over time, each with
    a batch norm, and a residual link around both (section 3.4). Strides reduce the tokens, placed in time as by
    `plait.encoders.conv.Conv`; each token is the mean over the joints, through one linear layer. Rows must have a
    regular rate; a gap keeps its place and counts as zeros.

    Departures from the paper: fewer and narrower blocks by default (it has nine, of 64, 128 and 256 channels);
    neighbours are weighted by eq. 4's Z, the size of their subset, where eq. 10 divides by the square roots of degrees;
    a joint's distance from the centre is counted in links, not measured on the training set; graph convolutions have no
    bias, since a norm follows.

    Args:
        dim_in: width of the rows: joints times axes times kinds (positions, velocities ...).
        dim: width of the outgoing tokens.
        layout: which joints are linked: ``kinect20``, ``kinect25``, ``utd_mhad``, ``coco17``, ``openpose25``,
            ``mediapipe33``, ``common`` (the output of the step ``skeleton``), or a list of pairs of joints.
        axes: spatial axes of a joint; by default 2 or 3, where the width is unambiguous.
        centre: the joint in the middle of the body; by default the one with the smallest distances to all others.
        partition: ``uniform``, ``distance`` or ``spatial``: see `plait.encoders.joints.partitions`.
        importance: whether each block learns a factor for each link (section 3.4), from 1 at the start.
        bones: whether to append each joint's difference from its neighbour towards the centre (Shi et al., CVPR 2019).
        weighted: whether the mean over the joints has learned weights per joint and channel (1 / joints at the start).
            The paper's plain mean tells left from right only as far as the blocks do.
        widths: channels after each block.
        strides: stride of each block's convolution over time.
        kernel: places that each convolution over time sees.
        dropout: share set to 0 after each convolution over time, in training.
        causal: whether no token sees a later one.

    Raises:
        ConfigError: rows do not fit the joints, or an option is out of range.

    >>> tokens = Tokens(torch.randn(2, 16, 120), torch.arange(16.0).expand(2, 16) / 30, torch.ones(2, 16) > 0)
    >>> tuple(StGcn(120, 8, layout="kinect20")(tokens).values.shape)
    (2, 4, 8)
    """

    trial: ClassVar[tuple[int, dict[str, object]]] = (
        16,
        {"layout": [[0, 1], [1, 2], [1, 3]], "widths": [6, 8], "strides": [1, 2], "kernel": 5},
    )

    def __init__(
        self,
        dim_in: int,
        dim: int,
        *,
        layout: str | Sequence[Sequence[int]] | None = None,
        axes: int | None = None,
        centre: int | None = None,
        partition: str = "spatial",
        importance: bool = True,
        bones: bool = False,
        weighted: bool = False,
        widths: Counts = (32, 64, 64),
        strides: Fews = (2, 2, 1),
        kernel: Few = 9,
        dropout: float = 0.2,
        causal: bool = False,
    ) -> None:
        graph = JointGraph.of("st_gcn", layout, centre, dim_in)
        if partition not in ("uniform", "distance", "spatial"):
            raise ConfigError(f"st_gcn.partition: got {partition!r}; expected uniform, distance or spatial.")
        check_blocks("st_gcn", widths, strides, most=kernel)
        axes = axes_of("st_gcn", dim_in, graph.joints, axes)
        super().__init__()
        self.dim_in, self.dim, self.causal = dim_in, dim, causal  # type: ignore[misc]
        if causal:
            self.reach, self.stride = reach_of([kernel] * len(strides), strides)
        weights = partitions(graph, partition)
        channels = dim_in // graph.joints
        sizes = [channels * (2 if bones else 1), *widths]
        blocks = [
            (s, _Block(a, b, weights, stride=s, kernel=kernel, importance=importance, dropout=dropout, causal=causal))
            for (a, b), s in zip(pairwise(sizes), strides)
        ]
        self.joints = JointBlocks(
            graph, blocks, (channels, widths[-1]), dim, axes=axes, bones=bones, weighted=weighted, causal=causal
        )

    def forward(self, tokens: Tokens) -> Tokens:
        out: Tokens = self.joints(tokens)
        return out


class _Block(nn.Module):
    """Graph convolution, norm, ReLU, temporal convolution, norm, dropout; residual link; ReLU."""

    def __init__(
        self,
        width_in: int,
        width: int,
        weights: Tensor,
        *,
        stride: int,
        kernel: int,
        importance: bool,
        dropout: float,
        causal: bool,
    ) -> None:
        super().__init__()
        self.spatial = GraphConv(width_in, width, weights, importance=importance)
        self.norm = JointNorm(width)
        self.temporal = TemporalConv(width, width, kernel=kernel, stride=stride, causal=causal)
        self.dropout = nn.Dropout(dropout)
        self.shortcut = Shortcut(width_in, width, stride=stride, causal=causal)

    def forward(self, x: JointTokens, before: Mask, after: Later) -> JointSteps:
        # the norm's bias would make gaps look like joints to the convolution over time
        y = zeroed(F.relu(self.norm(self.spatial(x), before)), before)
        return F.relu(self.dropout(self.temporal(y, after)) + self.shortcut(x, after))


class GraphConv(nn.Module):
    """Sum over the subsets of the neighbours' weighted mean times the subset's matrix (eq. 5).

    Args:
        width_in, width: channels.
        weights: weights of the neighbours, [subset, joint, neighbour].
        importance: whether to learn a factor for each weight, from 1 at the start.
    """

    weights: Tensor

    def __init__(self, width_in: int, width: int, weights: Tensor, *, importance: bool) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        self.importance = nn.Parameter(torch.ones_like(weights)) if importance else None
        self.linear = nn.Linear(len(weights) * width_in, width, bias=False)

    def forward(self, x: JointTokens) -> JointSteps:
        weights = self.weights if self.importance is None else self.weights * self.importance
        return mixed(x, weights, self.linear)


def mixed(
    x: JointTokens, weights: Float[Tensor, "subset joint neighbour"], linear: nn.Linear
) -> Float[Tensor, "batch time joint width"]:
    """Weighted sums of the neighbours, concatenated over the subsets, through one linear layer."""
    # one matrix for all subsets: the sum over subsets of a matrix each is a product with the concatenation
    out: Tensor = linear(rearrange(torch.einsum("kij,btjc->btikc", weights, x), "b t j k c -> b t j (k c)"))
    return out


class TemporalConv(nn.Module):
    """Convolution of each joint over time, with a norm. A window stands for ``stride`` tokens."""

    def __init__(
        self, width_in: int, width: int, *, kernel: int, stride: int = 1, dilation: int = 1, causal: bool = False
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width_in, width, (kernel, 1), (stride, 1), dilation=(dilation, 1), bias=False)
        self.norm = JointNorm(width)
        self.span, self.stride, self.causal = (kernel - 1) * dilation + 1, stride, causal

    def forward(self, x: JointTokens, after: Later) -> JointSteps:
        x = temporal_pad(x, after.shape[1], span=self.span, stride=self.stride, causal=self.causal)
        x = rearrange(self.conv(rearrange(x, "b t j c -> b c t j")), "b c t j -> b t j c")
        out: Tensor = self.norm(x, after)
        return out


class Shortcut(nn.Module):
    """The residual link: the identity, or a convolution of kernel size 1 where shapes differ."""

    def __init__(self, width_in: int, width: int, *, stride: int, causal: bool) -> None:
        super().__init__()
        same = (width_in, stride) == (width, 1)
        self.conv = None if same else TemporalConv(width_in, width, kernel=1, stride=stride, causal=causal)

    def forward(self, x: JointTokens, after: Later) -> JointSteps:
        return x if self.conv is None else self.conv(x, after)
