"""Skeleton graphs: layouts, the order of the rows, gaps, options."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plait.core.errors import ConfigError
from plait.encoders.joints import LINKS, JointBlocks, JointGraph, axes_of
from plait.encoders.st_gcn import StGcn
from plait.encoders.st_gcn_pp import StGcnPp
from plait.features.skeleton import Pose
from plait.streams.stream import Stream
from plait.testing.inputs import difference, sample
from plait.tokens import Tokens
from plait.transforms.layouts import LAYOUTS

BOTH = pytest.mark.parametrize("cls", [StGcn, StGcnPp])


def test_every_layout_has_links():
    assert set(LINKS) == set(LAYOUTS)


@pytest.mark.parametrize("layout", LINKS)
def test_a_layout_hangs_together_and_is_the_same_on_both_sides(layout):
    joints = LAYOUTS[layout].joints
    graph = JointGraph.of("test", layout, None, len(joints))
    assert graph.hops().max() < len(joints)
    mirror = {"left": "right", "right": "left"}
    flipped = ["_".join(mirror.get(word, word) for word in name.split("_")) for name in joints]
    links = {frozenset(pair) for pair in graph.edges}
    place = {name: i for i, name in enumerate(joints)}
    assert {frozenset(place[flipped[j]] for j in pair) for pair in links} == links
    assert len(links) == len(graph.edges), "a link named twice"


@pytest.mark.parametrize("layout", ["common", "kinect20", "utd_mhad", "kinect25", "openpose25"])
def test_these_layouts_are_trees(layout):
    graph = JointGraph.of("test", layout, None, len(LAYOUTS[layout].joints))
    assert len(graph.edges) == graph.joints - 1
    assert sum(parent == j for j, parent in enumerate(graph.parents())) == 1


def test_the_middle_of_the_body_is_the_centre():
    names = {layout: LAYOUTS[layout].joints for layout in LINKS}
    found = {m: names[m][JointGraph.of("test", m, None, len(names[m])).centre] for m in ("kinect20", "kinect25")}
    assert found == {"kinect20": "spine", "kinect25": "spine_shoulder"}


def test_rows_of_the_feature_of_poses_are_read_as_joints():
    path = np.random.default_rng(0).normal(size=(9, 4, 3)).astype(np.float32)
    feature = Pose(centre=None)
    rows, clock = feature.compute(Stream.of(path, rate=30, kind="pose"))
    graph = JointGraph(4, ((0, 1), (1, 2), (1, 3)), 1)
    blocks = JointBlocks(graph, [], (6, 6), 8, axes=3, bones=True, weighted=False, causal=False).eval()
    tokens = Tokens(torch.from_numpy(rows)[None], torch.from_numpy(clock.times).float()[None], torch.ones(1, 9) > 0)
    found = blocks.read(tokens)[0].detach().numpy() * np.sqrt(1 + 1e-5)  # the norm at its start
    np.testing.assert_allclose(found[:, :, :3], path, atol=1e-5)
    np.testing.assert_allclose(found[1:, :, 3:6], np.diff(path, axis=0) * 30, atol=1e-3)
    np.testing.assert_allclose(found[:, 3, 6:9], path[:, 3] - path[:, 1], atol=1e-5)
    np.testing.assert_allclose(found[:, 1, 6:9], 0, atol=1e-6)


@BOTH
def test_a_gap_keeps_its_place_and_counts_as_zeros(cls):
    torch.manual_seed(0)
    encoder = cls(16, 8, **cls.trial[1]).eval()
    tokens = sample(16, time=9)
    out = encoder(tokens)
    times = stride_times(tokens)
    torch.testing.assert_close(out.times[out.mask], times[out.mask])
    # only windows that see the changed token change
    other = tokens.values.clone()
    other[0, 8] += 1.0
    assert not torch.equal(encoder(tokens._replace(values=other)).values[0, -1], out.values[0, -1])


def stride_times(tokens: Tokens) -> torch.Tensor:
    pairs = [[float(t) for t, m in zip(*row) if m] for row in _pairs(tokens)]
    found = torch.tensor([sum(p) / len(p) if p else 0.0 for p in pairs])
    return found.reshape(len(tokens.mask), -1)


def _pairs(tokens: Tokens) -> list[tuple[list[float], list[bool]]]:
    found = []
    for times, mask in zip(tokens.times.tolist(), tokens.mask.tolist()):
        found += [(times[i : i + 2], mask[i : i + 2]) for i in range(0, len(times), 2)]
    return found


@BOTH
def test_padding_moves_no_running_average(cls):
    torch.manual_seed(0)
    encoder = cls(16, 8, dropout=0.0, **cls.trial[1]).train()
    tokens = sample(16, time=6)
    first = encoder(tokens)
    padded = Tokens(
        torch.cat([tokens.values, torch.full((4, 20, 16), 1e6)], 1),
        torch.cat([tokens.times, torch.zeros(4, 20)], 1),
        torch.cat([tokens.mask, torch.zeros(4, 20, dtype=torch.bool)], 1),
    )
    assert not difference(first, encoder(padded))


@BOTH
@pytest.mark.parametrize(
    ("dim_in", "options", "message"),
    [
        (120, {}, "Rows of 120 numbers fit: kinect20, utd_mhad"),
        (120, {"layout": "kinct20"}, "kinect20"),
        (120, {"layout": "coco17"}, "120 numbers are not a multiple of 17"),
        (100, {"layout": "kinect20"}, "5 numbers per joint"),
        (100, {"layout": "kinect20", "axes": 2}, "divisor"),
        (120, {"layout": "kinect20", "centre": 20}, "0 to 19"),
        (120, {"layout": [[0, 1, 2]]}, "two joints"),
        (120, {"layout": [[0, -1]]}, "two joints"),
        (120, {"layout": []}, "empty list"),
        (120, {"layout": "kinect20", "widths": [8]}, "one of each per block"),
        (120, {"layout": "kinect20", "widths": [8], "strides": [10]}, "strides"),
    ],
)
def test_what_cannot_be_joints_is_refused(cls, dim_in, options, message):
    with pytest.raises(ConfigError, match=message):
        cls(dim_in, 8, **options)


def test_branches_need_a_channel_each():
    with pytest.raises(ConfigError, match="6 or more"):
        StGcnPp(120, 8, layout="kinect20", widths=[5], strides=[1])


def test_an_unknown_partition_is_refused():
    with pytest.raises(ConfigError, match="spatial"):
        StGcn(120, 8, layout="kinect20", partition="spacial")


@pytest.mark.parametrize(("each", "axes"), [(2, 2), (3, 3), (4, 2), (6, 3)])
def test_axes_are_told_by_the_width_where_it_leaves_no_doubt(each, axes):
    assert axes_of("test", each * 17, 17, None) == axes


@pytest.mark.parametrize("each", [1, 5, 8, 9, 12])
def test_they_are_asked_for_where_it_does(each):
    with pytest.raises(ConfigError, match="ambiguous"):
        axes_of("test", each * 17, 17, None)
