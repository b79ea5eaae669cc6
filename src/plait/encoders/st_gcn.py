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

__all__ = ["GraphConv", "Shortcut", "StGcn", "TemporalConv", "mixed"]

Mask = Bool[Tensor, "batch time"]
Later = Bool[Tensor, "batch steps"]


class StGcn(Encoder):
    """Spatial temporal graph convolutional network: Yan, Xiong and Lin, AAAI 2018.

    Each block is a graph convolution over a joint and its neighbours (eq. 10), then a convolution over time, each with
    a batch norm, and a residual link around both (section 3.4). One token comes out for every ``stride`` tokens in, as
    `plait.encoders.conv.Conv` places them: the mean over the joints, through one linear layer. The rows must tick
    regularly; a gap keeps its place and counts as zeros.

    Departures from the paper: fewer and narrower blocks by default (it has nine, of 64, 128 and 256 channels); a
    neighbour counts by eq. 4's Z, the size of its subset, where eq. 10 divides by the roots of degrees; a joint's
    distance from the centre is counted in links, not measured on the training set; graph convolutions have no bias,
    since a norm follows.

    Args:
        dim_in: width of the rows: joints times axes, once or (positions, velocities ...) several times.
        dim: width of the outgoing tokens.
        layout: which joints are linked: ``kinect20``, ``kinect25``, ``utd_mhad``, ``coco17``, ``openpose25``,
            ``mediapipe33``, ``common`` (what the step ``skeleton`` gives), or a list of pairs of joints.
        axes: numbers of a joint that stand together; by default 2 or 3, where the width leaves no doubt.
        centre: the joint in the middle of the body; by default that from which all others are nearest.
        partition: ``uniform``, ``distance`` or ``spatial``: see `plait.encoders.joints.partitions`.
        importance: whether each block learns how much each link matters (section 3.4), from 1 on.
        bones: append to each joint its difference from its neighbour towards the centre (Shi et al., CVPR 2019).
        weighted: learn how much each joint counts, by channel, in the mean over the joints (1 / joints at first). The
            paper's mean does not; it tells left from right only as far as the blocks do.
        widths: channels after each block.
        strides: of each block's convolution over time.
        kernel: places that it sees.
        dropout: share set to 0 after it, in training.
        causal: whether no token sees a later one.

    Raises:
        ConfigError: rows that are not such joints, or an option out of its range.

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
    """Graph convolution, norm, ReLU, temporal convolution, norm, dropout; the residual; ReLU."""

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
        y = zeroed(F.relu(self.norm(self.spatial(x), before)), before)
        return F.relu(self.dropout(self.temporal(y, after)) + self.shortcut(x, after))


class GraphConv(nn.Module):
    """Sum over the subsets of neighbours of their weighted mean times a matrix of the subset's own (eq. 5).

    Args:
        width_in, width: channels.
        weights: of each neighbour, by subset, [subset, joint, neighbour].
        importance: whether a factor for each weight is learned, from 1 on.
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
    """Neighbours gathered by their weights, the subsets side by side, through one linear layer."""
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
    """The residual link: the block's input as it is, or through a convolution of one place where shapes differ."""

    def __init__(self, width_in: int, width: int, *, stride: int, causal: bool) -> None:
        super().__init__()
        same = (width_in, stride) == (width, 1)
        self.conv = None if same else TemporalConv(width_in, width, kernel=1, stride=stride, causal=causal)

    def forward(self, x: JointTokens, after: Later) -> JointSteps:
        return x if self.conv is None else self.conv(x, after)
