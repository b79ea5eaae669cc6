"""ST-GCN and ST-GCN++ against naive loops, and against plain implementations in the layout of the papers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from plait.encoders.joints import JointGraph, JointNorm, partitions
from plait.encoders.st_gcn import GraphConv, StGcn
from plait.encoders.st_gcn_pp import BRANCHES, StGcnPp
from plait.testing.inputs import sample
from plait.tokens import Tokens

STRATEGIES = ("uniform", "distance", "spatial")
TREE = JointGraph(5, ((0, 1), (1, 2), (1, 3), (3, 4)), 1)


def full(rows: int, time: int, dim: int, seed: int = 0) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(rows, time, dim, generator=generator)
    return Tokens(values, torch.arange(time).expand(rows, time) / 30, torch.ones(rows, time, dtype=torch.bool))


def hops_by_search(graph: JointGraph, start: int) -> dict[int, int]:
    """Links from one joint to the others, wave by wave."""
    found, wave = {start: 0}, [start]
    while wave:
        joint = wave.pop(0)
        for a, b in graph.edges:
            for here, there in ((a, b), (b, a)):
                if here == joint and there not in found:
                    found[there] = found[joint] + 1
                    wave.append(there)
    return found


def label(graph: JointGraph, strategy: str, root: int, other: int) -> int:
    """Section 3.3 of the paper: which subset a neighbour is in, equation 8 among them."""
    if strategy == "uniform":
        return 0
    if strategy == "distance":
        return hops_by_search(graph, root)[other]
    depth = hops_by_search(graph, graph.centre)
    return 0 if depth[other] == depth[root] else 1 if depth[other] < depth[root] else 2


def naive_conv(graph: JointGraph, strategy: str, weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Equation 5, joint by joint and neighbour by neighbour; ``weight`` [subset, out, in], ``x`` [joint, in]."""
    out = np.zeros((graph.joints, weight.shape[1]))
    for i in range(graph.joints):
        near = [j for j, hops in hops_by_search(graph, i).items() if hops <= 1]
        for j in near:
            subset = label(graph, strategy, i, j)
            size = sum(label(graph, strategy, i, k) == subset for k in near)
            out[i] += weight[subset] @ x[j] / size
    return out


@settings(max_examples=30)
@given(
    links=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=9),
    strategy=st.sampled_from(STRATEGIES),
    centre=st.integers(0, 5),
    seed=st.integers(0, 99),
)
def test_graph_convolution_is_the_naive_loop(links, strategy, centre, seed):
    spine = [(j, j + 1) for j in range(5)]  # so that all hang together
    graph = JointGraph(6, (*spine, *links), centre)
    torch.manual_seed(seed)
    conv = GraphConv(3, 4, partitions(graph, strategy), importance=True)
    x = torch.randn(2, 3, 6, 3)
    weight = conv.linear.weight.detach().unflatten(1, (-1, 3)).transpose(0, 1).numpy()
    out = conv(x).detach().numpy()
    for b in range(2):
        for t in range(3):
            np.testing.assert_allclose(
                out[b, t], naive_conv(graph, strategy, weight, x[b, t].numpy()), atol=1e-5, rtol=1e-4
            )


def test_partitions_are_those_of_the_paper():
    # figure 3 of the paper: the red joint, with one neighbour nearer to the centre (the cross) and others further
    subsets = {name: partitions(TREE, name)[:, 3] for name in STRATEGIES}
    third = 1 / 3
    torch.testing.assert_close(subsets["uniform"], torch.tensor([[0, third, 0, third, third]]))
    torch.testing.assert_close(subsets["distance"], torch.tensor([[0, 0, 0, 1.0, 0], [0, 0.5, 0, 0, 0.5]]))
    torch.testing.assert_close(
        subsets["spatial"], torch.tensor([[0, 0, 0, 1.0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 1.0]])
    )
    triangle = JointGraph(3, ((0, 1), (0, 2), (1, 2)), 0)
    torch.testing.assert_close(partitions(triangle, "spatial")[0, 1], torch.tensor([0, 0.5, 0.5]))  # as far as itself


def test_importance_weighs_each_link():
    conv = GraphConv(2, 3, partitions(TREE, "uniform"), importance=True)
    with torch.no_grad():
        conv.importance[0, 1, 3] = 0.0
    x = torch.randn(1, 1, 5, 2)
    other = x.clone()
    other[0, 0, 3] += 1.0
    apart = (conv(x) - conv(other)).abs().amax((0, 1, 3))
    assert apart[1] == 0
    assert (apart[3:] > 0).all()


class Plain(nn.Module):
    """One block as the papers draw it, [batch, channel, time, joint], with torch's own layers."""

    def __init__(self, block: nn.Module, kind: type) -> None:
        super().__init__()
        self.block, self.kind = block, kind

    def conv(self, x, layer, stride=1):
        kernel = layer.conv.kernel_size[0]
        found = F.conv2d(x, layer.conv.weight, stride=(stride, 1), padding=(kernel // 2, 0))
        return self.normed(found, layer.norm)

    def normed(self, x, norm):
        ours, theirs = norm.norm, nn.BatchNorm2d(x.shape[1])
        with torch.no_grad():
            theirs.weight.copy_(ours.weight)
            theirs.bias.copy_(ours.bias)
            theirs.running_mean.copy_(ours.running_mean)
            theirs.running_var.copy_(ours.running_var)
        return theirs.train(ours.training)(x)

    def linear(self, x, layer):
        return F.conv2d(x, layer.weight[..., None, None])

    def short(self, x, layer, stride):
        return x if layer.conv is None else self.conv(x, layer.conv, stride)

    def mixed(self, x, weights, layer):
        parts = layer.weight.unflatten(1, (len(weights), -1)).unbind(1)
        return sum(
            F.conv2d(torch.einsum("nctv,wv->nctw", x, a), part[..., None, None]) for a, part in zip(weights, parts)
        )

    def forward(self, x, stride):
        return self.first(x, stride) if self.kind is StGcn else self.second(x, stride)

    def first(self, x, stride):
        b = self.block
        y = F.relu(self.normed(self.mixed(x, b.spatial.weights * b.spatial.importance, b.spatial.linear), b.norm))
        return F.relu(self.conv(y, b.temporal, stride) + self.short(x, b.shortcut, stride))

    def second(self, x, stride):
        g, t = self.block.spatial, self.block.temporal
        y = F.relu(self.normed(self.mixed(x, g.weights, g.linear), g.norm) + self.short(x, g.shortcut, 1))
        parts = F.relu(self.normed(self.linear(y, t.enter), t.norms[0])).split(t.parts, 1)
        out = [
            F.conv2d(part, conv.weight, stride=(stride, 1), padding=(d, 0), dilation=(d, 1))
            for d, (part, conv) in enumerate(zip(parts, t.convs), 1)
        ]
        out.append(F.max_pool2d(parts[4], (3, 1), (stride, 1), (1, 0)))
        out.append(parts[5][:, :, ::stride])
        y = self.normed(self.linear(F.relu(self.normed(torch.cat(out, 1), t.norms[1])), t.leave), t.norms[2])
        return F.relu(y + self.short(x, self.block.shortcut, stride))


def reference(encoder: nn.Module, values: torch.Tensor, joints: int, axes: int) -> torch.Tensor:
    """The whole encoder over rows without gaps, by reshaping as the papers' code does."""
    own = encoder.joints
    kinds = values.shape[2] // (joints * axes)
    x = values.reshape(*values.shape[:2], kinds, joints, axes).permute(0, 2, 4, 1, 3)  # batch kind axis time joint
    x = x.reshape(len(x), -1, *x.shape[-2:])
    n, c, t, v = x.shape
    flat = x.permute(0, 3, 1, 2).reshape(n, v * c, t)
    norm = nn.BatchNorm1d(v * c)
    with torch.no_grad():
        norm.weight.copy_(own.norm.weight)
        norm.bias.copy_(own.norm.bias)
        norm.running_mean.copy_(own.norm.running_mean)
        norm.running_var.copy_(own.norm.running_var)
    x = norm.train(encoder.training)(flat).reshape(n, v, c, t).permute(0, 2, 3, 1)
    for block, stride in zip(own.blocks, own.strides):
        x = Plain(block, type(encoder))(x, stride)
    return F.linear(x.mean(3).transpose(1, 2), own.out.weight, own.out.bias)


@pytest.mark.parametrize("cls", [StGcn, StGcnPp])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("time", [11, 12])
def test_the_encoder_is_the_plain_one(cls, training, time):
    torch.manual_seed(0)
    encoder = cls(5 * 6, 8, layout=TREE.edges, widths=[12, 12, 18], strides=[1, 2, 1], dropout=0.0)
    for seed in range(3):  # so that the running averages are not at their start
        encoder(full(3, 12, 30, seed))
    encoder.train(training)
    tokens = full(3, time, 30, 9)
    want = reference(encoder, tokens.values, 5, 3)  # first: in training the averages move
    torch.testing.assert_close(encoder(tokens).values, want, atol=2e-5, rtol=1e-4)


def test_joint_norm_in_training_is_that_of_what_is_there():
    ours, theirs = JointNorm(4), torch.nn.BatchNorm1d(4)
    x, mask = torch.randn(3, 7, 5, 4) * 3 + 1, sample(3, time=7).mask[:3]
    got = ours(torch.where(mask[..., None, None], x, 1e3), mask)
    torch.testing.assert_close(got[mask].flatten(0, 1), theirs(x[mask].flatten(0, 1)), atol=1e-5, rtol=1e-5)
    assert (got[~mask] == 0).all()
    torch.testing.assert_close(ours.norm.running_var, theirs.running_var)
    slow = JointNorm(4)
    torch.testing.assert_close(slow._masked(x, mask)[mask], got[mask], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(slow.norm.running_mean, theirs.running_mean)


def test_there_are_six_branches_as_wide_as_each_other():
    encoder = StGcnPp(30, 8, layout=TREE.edges, widths=[20], strides=[1])
    assert encoder.joints.blocks[0].temporal.parts == [5, 3, 3, 3, 3, 3]
    assert BRANCHES == 6
