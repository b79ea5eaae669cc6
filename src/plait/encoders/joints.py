"""Skeletons as graphs: links between joints, neighbourhoods, and rows of features as joints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor, nn

from plait.core.errors import ConfigError
from plait.core.parts import suggest
from plait.encoders.conv import MaskedBatchNorm, stride_windows
from plait.tokens import Tokens
from plait.transforms.layouts import BONES, LAYOUTS

__all__ = [
    "LINKS",
    "JointBlocks",
    "JointGraph",
    "JointNorm",
    "JointSteps",
    "JointTokens",
    "Padded",
    "axes_of",
    "check_blocks",
    "partitions",
    "temporal_pad",
    "zeroed",
]

JointTokens = Float[Tensor, "batch time joint channel"]
Padded = Float[Tensor, "batch padded joint channel"]
JointSteps = Float[Tensor, "batch steps joint width"]
"""A layer's output: it may have fewer time steps and another number of channels."""
Links = tuple[tuple[str, str], ...]


def _both(*chain: str) -> Links:
    """A chain of joints on each side of the body; ``*`` in a name stands for the side."""
    sides = ("left", "right")
    return tuple((a.replace("*", s), b.replace("*", s)) for s in sides for a, b in pairwise(chain))


def _limbs(chest: str, pelvis: str) -> Links:
    arms = _both(chest, "*_shoulder", "*_elbow", "*_wrist", "*_hand")
    return arms + _both(pelvis, "*_hip", "*_knee", "*_ankle", "*_foot")


_KINECT1: Links = (
    *pairwise(("hip_centre", "spine", "shoulder_centre", "head")),
    *_limbs("shoulder_centre", "hip_centre"),
)

LINKS: dict[str, Links] = {
    "common": tuple((a, b) for a, b, _ in BONES),
    "kinect20": _KINECT1,
    "utd_mhad": _KINECT1,
    "kinect25": (
        *pairwise(("spine_base", "spine_mid", "spine_shoulder", "spine_neck", "head")),
        *_limbs("spine_shoulder", "spine_base"),
        *_both("*_hand", "*_hand_tip"),
        *_both("*_hand", "*_thumb"),
    ),
    "coco17": _both("*_ear", "*_eye", "nose", "*_shoulder", "*_elbow", "*_wrist")
    + _both("*_shoulder", "*_hip", "*_knee", "*_ankle"),
    "openpose25": (
        *_both("*_ear", "*_eye", "nose"),
        *pairwise(("nose", "throat", "mid_hip")),
        *_both("throat", "*_shoulder", "*_elbow", "*_wrist"),
        *_both("mid_hip", "*_hip", "*_knee", "*_ankle", "*_big_toe", "*_small_toe"),
        *_both("*_ankle", "*_heel"),
    ),
    "mediapipe33": (
        *_both("*_ear", "*_eye_outer", "*_eye", "*_eye_inner", "nose", "mouth_*"),
        *_both("nose", "*_shoulder", "*_elbow", "*_wrist", "*_index", "*_pinky", "*_wrist"),
        *_both("*_wrist", "*_thumb"),
        *_both("*_shoulder", "*_hip", "*_knee", "*_ankle", "*_heel", "*_foot_index", "*_ankle"),
        *pairwise(("mouth_left", "mouth_right")),
        *pairwise(("left_shoulder", "right_shoulder")),
        *pairwise(("left_hip", "right_hip")),
    ),
}
"""The bones of each of `plait.transforms.layouts.LAYOUTS`. COCO's are a tree, without COCO's links across the body.
MediaPipe's ``POSE_CONNECTIONS`` do not connect the face to the body: four links between nose, mouth and shoulders are
added."""


@dataclass(frozen=True)
class JointGraph:
    """The number of joints, the linked pairs, and the centre joint of the body."""

    joints: int
    edges: tuple[tuple[int, int], ...]
    centre: int

    @classmethod
    def of(cls, part: str, layout: str | Sequence[Sequence[int]] | None, centre: int | None, dim_in: int) -> JointGraph:
        """The graph of a named layout, or of linked pairs of joints.

        Args:
            part: name of the part, for errors.
            layout: one of `LINKS`, or pairs of joints, by index from 0; the largest index is the last joint.
            centre: a joint; None: the joint with the smallest sum of distances, in links, to all others.
            dim_in: width of a row of features.

        Raises:
            ConfigError: an unknown layout, no pairs of joints, or an unknown joint.

        >>> JointGraph.of("st_gcn", "utd_mhad", None, 60).centre
        1
        """
        if layout is None or isinstance(layout, str):
            joints, edges = _known_layout(part, layout, dim_in)
        else:
            edges = tuple(_pair(part, pair) for pair in layout)
            joints = 1 + max((j for pair in edges for j in pair), default=-1)
        if not joints:
            raise ConfigError(f"{part}.layout: an empty list; expected pairs of joints that are linked.")
        if centre is not None and not 0 <= centre < joints:
            raise ConfigError(f"{part}.centre: got {centre}; expected a joint, 0 to {joints - 1}.")
        away = cls(joints, edges, 0).hops().sum(1)
        return cls(joints, edges, int(away.argmin()) if centre is None else centre)

    def hops(self) -> NDArray[np.int64]:
        """[joints, joints]: number of links between two joints; the number of joints where they are not connected."""
        near = np.eye(self.joints, dtype=bool)
        links = near.copy()
        for a, b in self.edges:
            links[a, b] = links[b, a] = True
        hops = np.where(near, 0, self.joints)
        # breadth-first, one link per round: `near` holds all joints within `step` links
        for step in range(1, self.joints):
            wider = (near.astype(np.int64) @ links) > 0
            hops[wider & ~near] = step
            near = wider
        return hops

    def parents(self) -> list[int]:
        """For each joint, its neighbour nearer to the centre (the first of several), or the joint itself."""
        hops = self.hops()
        depth = hops[self.centre]
        nearer = [np.flatnonzero((hops[j] == 1) & (depth < depth[j])) for j in range(self.joints)]
        return [int(found[0]) if len(found) else j for j, found in enumerate(nearer)]


def _known_layout(part: str, layout: str | None, dim_in: int) -> tuple[int, tuple[tuple[int, int], ...]]:
    if layout not in LINKS:
        fits = [name for name in LINKS if dim_in % len(LAYOUTS[name].joints) == 0]
        hint = suggest(layout, LINKS) if layout else f"Rows of {dim_in} numbers fit: {', '.join(fits) or 'none'}."
        raise ConfigError(
            f"{part}.layout: got {layout!r}; expected a layout's name or a list of pairs of joints that are linked. "
            + hint
        )
    place = {name: i for i, name in enumerate(LAYOUTS[layout].joints)}
    return len(place), tuple((place[a], place[b]) for a, b in LINKS[layout])


def _pair(part: str, pair: Sequence[int]) -> tuple[int, int]:
    if isinstance(pair, Sequence) and len(pair) == 2 and all(isinstance(j, int) and j >= 0 for j in pair):
        return pair[0], pair[1]
    raise ConfigError(f"{part}.layout: got {pair!r} for a link; expected two joints, by their index from 0.")


def partitions(graph: JointGraph, strategy: str) -> Float[Tensor, "subset joint neighbour"]:
    """Weights of the neighbours of each joint, by subset; a joint's weights in a subset sum to 1, or 0 if it is empty.

    Yan et al. 2018, section 3.3. ``uniform``: one subset, the joint and its neighbours; ``distance``: the joint, and
    its neighbours; ``spatial``: the joint and neighbours as far from the centre as the joint, nearer neighbours,
    further neighbours. The weight is the paper's 1 / Z (eq. 4): one over the number of the joint's neighbours in the
    subset.

    Raises:
        ConfigError: an unknown strategy.

    >>> chain = JointGraph(3, ((0, 1), (1, 2)), 0)
    >>> partitions(chain, "spatial")[:, 1].tolist()  # joint 1: itself; 0 is nearer to the centre, 2 further
    [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    hops = graph.hops()
    own, next_to, depth = hops == 0, hops == 1, hops[graph.centre]
    further = depth[None] - depth[:, None]
    subsets = {
        "uniform": [own | next_to],
        "distance": [own, next_to],
        "spatial": [own | next_to & (further == 0), next_to & (further < 0), next_to & (further > 0)],
    }
    if strategy not in subsets:
        raise ConfigError(f"partition: got {strategy!r}. {suggest(strategy, subsets)}")
    chosen = np.stack(subsets[strategy]).astype(np.float32)
    return torch.from_numpy(chosen / np.maximum(chosen.sum(2, keepdims=True), 1))


def axes_of(part: str, dim_in: int, joints: int, axes: int | None) -> int:
    """Number of spatial axes of a joint, checked against the width of the rows.

    Raises:
        ConfigError: the row width is not a multiple of the joints, or the number of axes is ambiguous.

    >>> axes_of("st_gcn", 120, 20, None), axes_of("st_gcn", 68, 17, None)
    (3, 2)
    """
    each, rest = divmod(dim_in, joints)
    if rest:
        raise ConfigError(
            f"{part}: rows of {dim_in} numbers are not a multiple of {joints} joints. Set layout to that of the poses."
        )
    if axes is None:
        # the feature of poses gives positions, with or without velocities, in two or three axes
        axes = {2: 2, 3: 3, 4: 2, 6: 3}.get(each, 0)
        if not axes:
            raise ConfigError(f"{part}: {each} numbers per joint are ambiguous. Set axes to the number of coordinates.")
    if axes < 1 or each % axes:
        raise ConfigError(f"{part}.axes: got {axes}, but there are {each} numbers per joint; expected a divisor.")
    return axes


class JointNorm(nn.Module):
    """Batch norm of each channel over the joints of all observed tokens: `MaskedBatchNorm` of [batch, time, joint, c].

    >>> x = torch.tensor([[[[1.0], [3.0]], [[9.0], [9.0]]]])
    >>> [round(v, 2) for v in JointNorm(1)(x, torch.tensor([[True, False]]))[0, 0, :, 0].tolist()]
    [-1.0, 1.0]
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = MaskedBatchNorm(width)

    def forward(self, x: JointTokens, mask: Bool[Tensor, "batch time"]) -> JointTokens:
        if not self.training or torch.compiler.is_compiling():
            return self._masked(x, mask)
        # torch's own norm is several times faster: it gets the observed tokens only
        whole = bool(mask.all())
        seen = (x if whole else x[mask]).reshape(-1, x.shape[-1])
        # torch refuses to train on a single value per channel
        if len(seen) < 2:
            return self._masked(x, mask)
        own = self.norm
        y = F.batch_norm(
            seen, own.running_mean, own.running_var, own.weight, own.bias, True, own.momentum, own.eps
        ).reshape(-1, *x.shape[2:])
        return y.reshape(x.shape) if whole else torch.zeros_like(x).index_put((mask,), y)

    def _masked(self, x: JointTokens, mask: Bool[Tensor, "batch time"]) -> JointTokens:
        joints = x.shape[2]
        seen = rearrange(mask[..., None].expand(-1, -1, joints), "b t j -> b (t j)")
        normed: Tensor = self.norm(rearrange(x, "b t j c -> b (t j) c"), seen)
        return rearrange(normed, "b (t j) c -> b t j c", j=joints)


def zeroed(x: JointTokens, mask: Bool[Tensor, "batch time"]) -> JointTokens:
    """Zeros where there is no observation; values there must be finite."""
    return x * mask[..., None, None]


def temporal_pad(x: JointTokens, out: int, *, span: int, stride: int, causal: bool) -> Padded:
    """Pad with zeros, so that windows of ``span`` places with step ``stride`` give ``out`` windows.

    Each window is centred on the ``stride`` places that it stands for, or (``causal``) ends with them.

    >>> temporal_pad(torch.ones(1, 5, 1, 1), 3, span=3, stride=2, causal=False)[0, :, 0, 0].tolist()
    [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0]
    """
    left = span - stride if causal else (span - stride + 1) // 2
    x = F.pad(x, (0, 0, 0, 0, max(left, 0), (out - 1) * stride + span - x.shape[1] - left))
    # left is below 0 where a window is shorter than its stride
    return x[:, -left:] if left < 0 else x


class JointBlocks(nn.Module):
    """Rows to joints, blocks over the joints, mean over the joints, one linear layer: Tokens -> Tokens.

    Rows come from `plait.features.skeleton.Pose`: the positions of all joints, joint by joint, then other kinds, such
    as velocities, in the same layout. A joint's channels are its numbers of all kinds.

    Args:
        graph: the joints.
        blocks: per block its stride, and a module that takes joints [batch, time, joint, channel] and the masks before
            and after the block [batch, time].
        channels: channels of a joint, before the first block (without bones) and after the last block.
        dim: width of the outgoing tokens.
        axes: spatial axes of a joint.
        bones: whether to append each joint's difference from its neighbour towards the centre.
        weighted: whether the mean over the joints has learned weights, per joint and channel.
        causal: whether a token's time is the last of the times that it stands for.
    """

    def __init__(
        self,
        graph: JointGraph,
        blocks: Sequence[tuple[int, nn.Module]],
        channels: tuple[int, int],
        dim: int,
        *,
        axes: int,
        bones: bool,
        weighted: bool,
        causal: bool,
    ) -> None:
        super().__init__()
        self.joints, self.axes, self.causal = graph.joints, axes, causal
        self.parents = graph.parents() if bones else None
        self.strides = [stride for stride, _ in blocks]
        self.norm = MaskedBatchNorm(graph.joints * channels[0] * (2 if bones else 1))
        self.blocks = nn.ModuleList(block for _, block in blocks)
        even = torch.full((graph.joints, channels[1]), 1 / graph.joints)
        self.share = nn.Parameter(even) if weighted else None
        self.out = nn.Linear(channels[1], dim)

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens.clean()
        if tokens.mask.shape[1] == 0:
            return tokens.with_values(tokens.values.new_zeros(tokens.values.shape[0], 0, self.out.out_features))
        x = self.read(tokens)
        for block, stride in zip(self.blocks, self.strides):
            after = stride_windows(tokens, stride, last=self.causal)
            x = zeroed(block(x, tokens.mask, after.mask), after.mask)
            tokens = after
        x = x.mean(2) if self.share is None else torch.einsum("btjc,jc->btc", x, self.share)
        return tokens.with_values(self.out(x)).clean()

    def read(self, tokens: Tokens) -> JointTokens:
        """Clean rows as joints, with their bones if wanted, after batch norm."""
        x = rearrange(tokens.values, "b t (kind j xyz) -> b t j (kind xyz)", j=self.joints, xyz=self.axes)
        if self.parents is not None:
            x = torch.cat([x, x - x[:, :, self.parents]], -1)
        flat = self.norm(rearrange(x, "b t j c -> b t (j c)"), tokens.mask)
        # the norm's bias has moved the zeros of gaps
        flat = torch.where(tokens.mask[..., None], flat, 0.0)
        return rearrange(flat, "b t (j c) -> b t j c", j=self.joints)


def check_blocks(part: str, widths: Sequence[int], strides: Sequence[int], most: int, least: int = 1) -> None:
    """Check the widths and strides of blocks.

    Raises:
        ConfigError: widths and strides differ in number, a width is below ``least``, or a stride is above ``most``.

    >>> check_blocks("st_gcn", [32, 64], [1, 2], most=9)
    """
    if not widths or len(widths) != len(strides):
        raise ConfigError(f"{part}: widths {list(widths)} and strides {list(strides)}; expected one of each per block.")
    if min(widths) < least or not 1 <= min(strides) <= max(strides) <= most:
        raise ConfigError(
            f"{part}: widths {list(widths)}, strides {list(strides)}; expected widths of {least} or more and strides "
            f"from 1 to {most}."
        )
