"""Skeletons of every layout as one: the table against the makers' documents, and what must not change the result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.errors import ConfigError, DataError
from plait.readers import open_streams
from plait.streams.stream import Stream
from plait.transforms.layouts import BONES, COMMON, LAYOUTS, common_joints, layout_of
from plait.transforms.skeleton import Skeleton

AT = {name: i for i, name in enumerate(COMMON)}
seeds = st.integers(0, 2**32 - 1)


def person(rng: np.random.Generator, n: int = 6, scale: float = 1.0) -> np.ndarray:
    """A standing body with bones of any length and some swing, common joints [n, 19, 3], facing somewhere."""
    way = {"neck": (0, 1, 0), "head": (0, 1, 0.1), "shoulder": (1, 0, 0), "hip": (1, 0, 0), "foot": (0, -0.2, 1)}
    out = np.zeros((n, 19, 3))
    for a, b, length in BONES:
        direction = np.array(way.get(b.rpartition("_")[2], (0.1, -1, 0.2)), float)
        sway = 0.0 if b.endswith(("shoulder", "hip")) else 0.2
        direction = direction * [-1 if b.startswith("right") else 1, 1, 1] + rng.normal(0, sway, (n, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        stretch = 1.0 if b.endswith(("shoulder", "hip")) else rng.uniform(0.7, 1.3)
        out[:, AT[b]] = out[:, AT[a]] + direction * length * stretch * scale
    return out


def as_layout(body: np.ndarray, name: str) -> np.ndarray:
    """A body in a layout: its joints where they are, those that only the layout has anywhere, axes as it has them."""
    layout = LAYOUTS[name]
    out = np.random.default_rng(1).normal(size=(len(body), len(layout.joints), body.shape[2]))
    stand_in = {"left_ear": (AT["head"], 0.1), "right_ear": (AT["head"], -0.1)}
    for side in ("left", "right"):
        stand_in |= {f"{side}_index": (AT[f"{side}_hand"], 0.05), f"{side}_pinky": (AT[f"{side}_hand"], -0.05)}
        stand_in |= {f"{side}_{toe}": (AT[f"{side}_foot"], 0.0) for toe in ("foot_index", "big_toe")}
    for i, joint in enumerate(layout.joints):
        at, aside = stand_in.get(joint, (AT.get(joint, -1), 0.0))
        if at >= 0:
            out[:, i] = body[:, at] + aside
    flip = np.array([1.0, -1, -1] if layout.up == "-y" else [1.0, 1, 1])
    return out * flip[: body.shape[2]]


@pytest.mark.parametrize(
    ("layout", "index", "joint"),
    [
        ("kinect20", 0, "hip_centre"), ("kinect20", 4, "left_shoulder"), ("kinect20", 19, "right_foot"),
        ("utd_mhad", 0, "head"), ("utd_mhad", 3, "hip_centre"), ("utd_mhad", 16, "right_hip"),
        ("kinect25", 7, "left_hand"), ("kinect25", 16, "right_hip"), ("kinect25", 20, "spine_shoulder"),
        ("kinect25", 22, "left_thumb"), ("coco17", 5, "left_shoulder"), ("coco17", 10, "right_wrist"),
        ("coco17", 16, "right_ankle"), ("openpose25", 2, "right_shoulder"), ("openpose25", 8, "mid_hip"),
        ("openpose25", 14, "left_ankle"), ("openpose25", 19, "left_big_toe"), ("openpose25", 24, "right_heel"),
        ("mediapipe33", 7, "left_ear"), ("mediapipe33", 12, "right_shoulder"), ("mediapipe33", 19, "left_index"),
        ("mediapipe33", 23, "left_hip"), ("mediapipe33", 32, "right_foot_index"),
    ],
)  # fmt: skip
def test_joints_stand_where_the_makers_say(layout: str, index: int, joint: str) -> None:
    assert LAYOUTS[layout].joints[index] == joint
    assert len(LAYOUTS[layout].joints) == int("".join(c for c in layout if c.isdigit()) or {"utd_mhad": 20}[layout])


@pytest.mark.parametrize("name", LAYOUTS)
@given(seed=seeds)
@settings(max_examples=8)
def test_every_layout_gives_the_same_body(name: str, seed: int) -> None:
    body = person(np.random.default_rng(seed))
    got = Skeleton(layout=name)(Stream.of(as_layout(body, name), rate=30)).read()
    want = Skeleton(layout="common")(Stream.of(body, rate=30)).read()
    lacking = {"coco17": ["hand", "foot"], "openpose25": ["hand"]}.get(name, [])
    for joint, i in AT.items():
        if joint.rpartition("_")[2] in lacking:
            assert np.isnan(got[:, i]).all(), joint
        else:
            assert got[:, i] == pytest.approx(want[:, i], abs=1e-4), joint


@given(seed=seeds, angle=st.floats(-4, 4), size=st.floats(0.1, 1000))
@settings(max_examples=30)
def test_place_direction_and_size_do_not_matter(seed: int, angle: float, size: float) -> None:
    rng = np.random.default_rng(seed)
    body = person(rng)
    c, s = np.cos(angle), np.sin(angle)
    moved = size * body @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T + rng.normal(0, 50, 3)
    step = Skeleton(layout="common")
    once = step(Stream.of(body, rate=30)).read()
    assert step(Stream.of(moved, rate=30)).read() == pytest.approx(once, abs=2e-3)
    assert step(Stream.of(once, rate=30)).read() == pytest.approx(once, abs=1e-5), "done twice is done once"
    left = (once[:, AT["left_shoulder"]] - once[:, AT["right_shoulder"]]).mean(0)
    assert left[0] > 0
    assert (once[:, AT["left_foot"], 2] > once[:, AT["left_ankle"], 2]).mean() > 0.5, "feet point ahead"


@given(seed=seeds)
@settings(max_examples=20)
def test_with_bones_only_directions_are_left(seed: int) -> None:
    rng = np.random.default_rng(seed)
    body = person(rng)
    grown = body.copy()
    for a, b, _ in BONES:
        factor = 1.0 if a in ("pelvis", "neck") else rng.uniform(0.5, 2)
        grown[:, AT[b]] = grown[:, AT[a]] + factor * (body[:, AT[b]] - body[:, AT[a]])
    step = Skeleton(layout="common", scale="bones")
    got = step(Stream.of(grown, rate=30)).read()
    assert got == pytest.approx(step(Stream.of(body, rate=30)).read(), abs=1e-4)
    for a, b, length in BONES:
        assert np.linalg.norm(got[:, AT[b]] - got[:, AT[a]], axis=1) == pytest.approx(length, abs=1e-4)


def test_each_frame_ahead_and_one_direction_for_all() -> None:
    angles = np.linspace(0, 3, 20)
    c, s, zero = np.cos(angles), np.sin(angles), np.zeros(20)
    turn = np.stack([c, zero, s, zero, zero + 1, zero, -s, zero, c], 1).reshape(20, 3, 3)
    body = np.einsum("nij,nkj->nki", turn, np.repeat(person(np.random.default_rng(0), 1), 20, 0))
    each = Skeleton(layout="common", turn="frame")(Stream.of(body, rate=10))
    assert np.ptp(each.read(), axis=0).max() < 1e-5
    assert each.channels == COMMON
    assert np.ptp(Skeleton(layout="common")(Stream.of(body, rate=10)).read(), axis=0).max() > 0.5
    assert Skeleton(turn="frame", scale="bones").causal
    assert not Skeleton().causal


def test_what_is_not_seen_is_nan_and_counted() -> None:
    body = as_layout(person(np.random.default_rng(0), 8)[..., :2], "coco17")
    body[2, 11] = np.nan  # a hip: no pelvis
    body[3, 3] = np.nan  # an ear: the nose stands in for the head
    step = Skeleton()
    got = step(Stream.of(body, rate=30)).read()
    assert np.isnan(got[2]).all()
    assert np.isfinite(got[3, AT["head"]]).all()
    assert step.notes() == {"poses without a pelvis": 1}
    whole = Skeleton()(Stream.of(body, rate=30))
    assert np.array_equal(whole[4:].read(), got[4:], equal_nan=True)
    assert (got[0, AT["head"], 1], got[0, AT["left_ankle"], 1]) > (0.5, -5), "up is up"


def test_layouts_are_known_by_names_or_number_or_asked_for() -> None:
    names = ["NoSe", "LeftEye", *LAYOUTS["coco17"].joints[2:]]
    assert layout_of(17, ["nose", "left eye", *names[2:]])[1] == LAYOUTS["coco17"].joints
    mixed = tuple(reversed(LAYOUTS["kinect25"].joints))
    assert layout_of(25, mixed)[1] == mixed
    assert layout_of(33)[0] == LAYOUTS["mediapipe33"]
    for joints, words in ((25, "kinect25 or openpose25 has 25"), (20, "kinect20 or utd_mhad"), (7, "no layout has 7")):
        with pytest.raises(ConfigError, match=words):
            layout_of(joints)
    with pytest.raises(ConfigError, match="coco17 has 17 joints, but the poses have 20"):
        layout_of(20, wanted="coco17")
    with pytest.raises(ConfigError, match="Did you mean 'coco17'"):
        layout_of(17, wanted="coco18")


def test_what_cannot_be_done_is_said() -> None:
    flat = Stream.of(np.random.default_rng(0).normal(size=(4, 17, 2)), rate=1)
    with pytest.raises(DataError, match="flat poses show bones shortened"):
        Skeleton(scale="bones")(flat)
    hidden = flat.read().copy()
    hidden[:, 11:] = np.nan
    with pytest.raises(DataError, match="Set scale to shoulders"):
        Skeleton()(Stream.of(hidden, rate=1)).read()
    bust = Skeleton(scale="shoulders", centre="neck")(Stream.of(hidden, rate=1)).read()
    assert np.isfinite(bust[:, AT["left_wrist"]]).all()
    with pytest.raises(ConfigError, match=r"skeleton\.turn"):
        Skeleton(turn="twice")


def test_common_joints_of_an_absent_body() -> None:
    assert np.isnan(common_joints(np.full((2, 33, 3), np.nan), LAYOUTS["mediapipe33"].joints)).all()


@pytest.mark.slow
def test_real_people_of_different_size_become_alike(real_data: Path) -> None:
    """UTD-MHAD, one action of eight people: bone lengths spread by a tenth before, by nothing after."""
    folder = real_data / "utd_mhad/Skeleton"
    before, after, ahead = [], [], []
    for subject in range(1, 9):
        path = folder / f"a7_s{subject}_t1_skeleton.mat"
        stream = open_streams(path, "array", {"variable": "d_skel", "time_axis": 2, "kind": "pose", "rate": 30})[
            "d_skel"
        ]
        got = Skeleton(layout="utd_mhad", scale="bones")(stream).read()
        arm = LAYOUTS["utd_mhad"].joints.index("left_elbow"), LAYOUTS["utd_mhad"].joints.index("left_shoulder")
        raw = stream.read()
        before.append(np.linalg.norm(raw[:, arm[0]] - raw[:, arm[1]], axis=1).mean())
        after.append(np.linalg.norm(got[:, AT["left_elbow"]] - got[:, AT["left_shoulder"]], axis=1).mean())
        ahead.append(float((got[:, AT["left_hip"], 0] > got[:, AT["right_hip"], 0]).mean()))
        assert np.isfinite(got).all()
        assert got[:, AT["head"], 1].mean() > 1.2
    assert np.std(before) / np.mean(before) > 0.03
    assert np.std(after) < 1e-4
    assert min(ahead) == 1.0


@pytest.mark.slow
def test_real_keypoints_of_coco(real_data: Path) -> None:
    path = real_data / "coco_mini/annotations/person_keypoints_val2017.json"
    if not path.is_file():
        pytest.skip("PLAIT_DATA has no coco_mini")
    stream = open_streams(path, "keypoints", {"person": "largest"})["pose"]
    step = Skeleton()
    got = step(stream).read()
    seen = np.isfinite(got).all(2)
    assert seen[:, AT["neck"]].sum() == 23
    assert step.notes() == {"poses without a pelvis": 54}
    upright = got[:, AT["neck"], 1]
    assert (upright[np.isfinite(upright)] > 0).mean() > 0.9, "people in photographs mostly stand or sit"
    assert np.nanmedian(np.linalg.norm(got[:, AT["neck"]], axis=1)) == pytest.approx(1, abs=1e-6)
