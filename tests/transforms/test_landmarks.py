"""What turns the nets' numbers into points: against naive loops, planted boxes and pictures drawn for it."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.errors import ConfigError, MissingExtra
from plait.transforms.landmarks import logistic
from plait.transforms.landmarks import nets as nets_module
from plait.transforms.landmarks.anchors import Boxes, anchors, decoded, overlap, suppressed
from plait.transforms.landmarks.body import BodyPose
from plait.transforms.landmarks.boxes import DOWN, EYES, face_boxes
from plait.transforms.landmarks.face import LIPS, FaceMesh
from plait.transforms.landmarks.hands import Hands
from plait.transforms.landmarks.nets import Net, model_file
from plait.transforms.landmarks.one_euro import OneEuro
from plait.transforms.landmarks.region import Region, turn

angles = st.floats(-3.1, 3.1)


@pytest.mark.parametrize(
    ("side", "grids", "count"),
    [(128, {8: 2, 16: 6}, 896), (192, {4: 1}, 2304), (192, {8: 2, 16: 6}, 2016), (224, {8: 2, 16: 2, 32: 6}, 2254)],
)
def test_anchors_are_those_of_loops(side: int, grids: dict[int, int], count: int) -> None:
    naive = []
    for stride, per_cell in grids.items():
        for row in range(side // stride):
            for column in range(side // stride):
                naive += [((column + 0.5) * stride / side, (row + 0.5) * stride / side)] * per_cell
    assert len(naive) == count
    np.testing.assert_allclose(anchors(side, grids), naive)


def test_boxes_are_decoded_as_by_loops() -> None:
    rng = np.random.default_rng(0)
    raw, score, centres = rng.normal(0, 20, (40, 10)), rng.uniform(size=40), rng.uniform(size=(40, 2))
    boxes, k = decoded(raw, score, centres, 128, 0.6), 0
    for i in range(40):
        if score[i] < 0.6:
            continue
        for axis in (0, 1):
            assert boxes.centre[k, axis] == pytest.approx(raw[i, axis] / 128 + centres[i, axis])
            assert boxes.size[k, axis] == pytest.approx(raw[i, 2 + axis] / 128)
            for p in range(3):
                assert boxes.points[k, p, axis] == pytest.approx(raw[i, 4 + 2 * p + axis] / 128 + centres[i, axis])
        k += 1
    assert k == len(boxes.score) > 5


def naive_overlap(a: Sequence[float], b: Sequence[float]) -> float:
    shared = 1.0
    for axis in (0, 1):
        low = max(a[axis] - a[2 + axis] / 2, b[axis] - b[2 + axis] / 2)
        shared *= max(0.0, min(a[axis] + a[2 + axis] / 2, b[axis] + b[2 + axis] / 2) - low)
    union = a[2] * a[3] + b[2] * b[3] - shared
    return shared / union if union else 0.0


def naive_suppressed(rows: list[list[float]], most: float) -> list[list[float]]:
    left, out = sorted(rows, key=lambda r: -r[-1]), []
    while left:
        near = [r for i, r in enumerate(left) if i == 0 or naive_overlap(r, left[0]) > most]
        total = sum(r[-1] for r in near)
        out.append([sum(r[j] * r[-1] for r in near) / total for j in range(len(left[0]) - 1)] + [left[0][-1]])
        left = [r for r in left if not any(r is one for one in near)]
    return out


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 25), st.floats(0.05, 0.9))
def test_suppression_is_that_of_loops(seed: int, n: int, most: float) -> None:
    rng = np.random.default_rng(seed)
    boxes = Boxes(
        rng.uniform(0.3, 0.7, (n, 2)),
        rng.uniform(0.05, 0.5, (n, 2)),
        rng.normal(size=(n, 3, 2)),
        rng.uniform(0.5, 1, n),
    )
    rows = np.column_stack([boxes.centre, boxes.size, boxes.points.reshape(n, 6), boxes.score]).tolist()
    for i in range(n):
        np.testing.assert_allclose(overlap(boxes, i), [naive_overlap(row, rows[i]) for row in rows], atol=1e-12)
    got = suppressed(boxes, most)
    flat = np.column_stack([got.centre, got.size, got.points.reshape(len(got.score), 6), got.score])
    np.testing.assert_allclose(flat, np.array(naive_suppressed(rows, most)).reshape(-1, 11))


@settings(max_examples=40, deadline=None)
@given(angles, st.floats(0.15, 0.85), st.floats(0.15, 0.85))
def test_a_dot_is_found_again_through_a_turned_region(angle: float, u: float, v: float) -> None:
    region = Region(100.0, 80.0, 60.0, angle)
    x, y, z = region.to_picture(np.array([u, v, 0.25]))
    assert z == pytest.approx(15)
    columns, rows = np.meshgrid(np.arange(200) + 0.5, np.arange(160) + 0.5)
    spot = 250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)
    cut = region.cut(np.repeat(spot[..., None], 3, 2).astype(np.uint8), 120)[..., 0].astype(float)
    at = (np.arange(120) + 0.5) / 120
    assert (cut.sum(0) @ at / cut.sum(), cut.sum(1) @ at / cut.sum()) == pytest.approx((u, v), abs=0.01)


@given(angles, angles)
def test_a_region_is_turned_until_the_way_is_upright(angle: float, upright: float) -> None:
    region = Region(10.0, 20.0, 8.0, angle)
    way = 0.25 * np.array([math.cos(upright), -math.sin(upright)])
    start, stop = region.to_picture(np.array([[0.5, 0.5], 0.5 + way]))
    difference = (turn(start, stop, upright) - angle) / (2 * math.pi)
    assert difference == pytest.approx(round(difference), abs=1e-6)
    assert -math.pi <= turn(start, stop, upright) < math.pi + 1e-9


@given(angles)
def test_the_square_around_points_holds_them(angle: float) -> None:
    points = np.random.default_rng(3).normal(50, 20, (30, 2))
    region = Region.around(points, angle)
    c, s = math.cos(angle), math.sin(angle)
    own = (points - (region.x, region.y)) @ np.array([[c, -s], [s, c]])
    assert np.abs(own).max() == pytest.approx(region.size / 2)
    assert np.abs(own).max(0).min() == pytest.approx(-own.min(0).max(), abs=20)
    moved = region.moved(down=0.5, grow=2.0)
    assert moved.size == 2 * region.size
    assert region.apart(moved) == pytest.approx(0.5)


def test_logistic_does_not_overflow() -> None:
    x = np.array([-1e4, -2.0, 0.0, 1.5, 1e4], np.float32)
    np.testing.assert_allclose(logistic(x), [0, 1 / (1 + math.exp(2)), 0.5, 1 / (1 + math.exp(-1.5)), 1], atol=1e-12)


def test_one_euro_is_that_of_loops_and_starts_anew_after_gaps() -> None:
    rng = np.random.default_rng(1)
    times, walk = np.cumsum(rng.uniform(0.02, 0.06, 60)), np.cumsum(rng.normal(size=60))
    walk[20:23] = np.nan
    made, value, speed = OneEuro(0.8, 1.5), math.nan, 0.0
    for i, (t, x) in enumerate(zip(times, walk)):
        got = made(np.array([[x]]), t, 50.0)[0, 0]
        if i == 0:
            value = x
        else:
            passed = t - times[i - 1]
            raw = 0.0 if math.isnan(value) or math.isnan(x) else (x - value) / passed
            share = 1 / (1 + 1 / (2 * math.pi * 1.0 * passed))
            speed += share * (raw - speed)
            share = 1 / (1 + 1 / (2 * math.pi * (0.8 + 1.5 * abs(speed) / 50) * passed))
            value = x if math.isnan(value) else value + share * (x - value)
        assert got == pytest.approx(value, nan_ok=True)
    assert np.isfinite(value)


class Fake:
    """Answers in place of the nets: one box at an anchor, and given points."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, sides: dict[str, int], answers: dict[str, list[np.ndarray]]):
        self.seen: list[str] = []
        monkeypatch.setattr(Net, "side", property(lambda net: sides[net.name]))

        def call(net: Net, picture: np.ndarray) -> list[np.ndarray]:
            assert picture.shape == (sides[net.name],) * 2 + (3,)
            self.seen.append(net.name)
            return answers[net.name]

        monkeypatch.setattr(Net, "__call__", call)


def one_box(
    side: int, grids: dict[int, int], box: Sequence[float], points: Sequence[Sequence[float]]
) -> list[np.ndarray]:
    """The raw output of a detector that sees one box (x, y, width, height) and its points, all in 0..1."""
    centres = anchors(side, grids)
    i = int(np.argmin(np.hypot(*(centres - np.array(box[:2])).T)))
    raw, score = np.zeros((len(centres), 4 + 2 * len(points)), np.float32), np.full((len(centres), 1), -9, np.float32)
    raw[i] = np.concatenate([box[:2] - centres[i], box[2:], (np.array(points) - centres[i]).ravel()]) * side
    score[i] = 9
    return [raw, score]


PICTURE = np.zeros((120, 160, 3), np.uint8)


def test_a_body_is_looked_for_in_the_circle_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    grids, side = {8: 2, 16: 2, 32: 6}, 224
    found = one_box(side, grids, [0.4, 0.3, 0.2, 0.2], [(0.5, 0.5), (0.5, 0.2), (0, 0), (0, 0)])
    raw = np.zeros((39, 5), np.float32)
    raw[:, 0], raw[:, 1], raw[:, 3] = np.linspace(0, 256, 39), 64, np.linspace(-8, 8, 39)
    raw[33, :2], raw[34, :2] = (128, 128), (192, 128)  # the body lies: its head is to the right
    Fake(
        monkeypatch,
        {"pose_detection": side, "pose_landmark_full": 256},
        {"pose_detection": found, "pose_landmark_full": [raw.reshape(-1), np.array([0.9], np.float32)]},
    )
    nets = BodyPose()
    (region,) = nets.detect(PICTURE)
    # The square around the picture is 160 wide; the circle's radius is 0.3 of it.
    assert (region.x, region.y, region.size, region.angle) == pytest.approx((80, 60, 2 * 48 * 1.25, 0), abs=1e-4)
    seen = nets.look(PICTURE, region)
    assert seen.points.shape == (33, 3)
    assert seen.points[:, 1] == pytest.approx(60 - 0.25 * 120)
    assert seen.points[3, 0] == pytest.approx(80 - 60 + 3 * 120 / 38)
    assert seen.sure[0] < 0.01 < 0.8 < seen.sure[32]
    assert seen.score == pytest.approx(0.9)
    assert (seen.region.angle, seen.region.size) == pytest.approx((math.pi / 2, 2 * 30 * 1.25))


def test_a_face_is_looked_for_far_away_too_and_is_turned_upright(monkeypatch: pytest.MonkeyPatch) -> None:
    eyes = [(0.45, 0.45), (0.55, 0.55), (0, 0), (0, 0), (0, 0), (0, 0)]
    near = [np.zeros((896, 16), np.float32), np.full((896, 1), -9, np.float32)]
    far = one_box(192, {4: 1}, [0.5, 0.5, 0.1, 0.2], eyes)
    mesh = np.zeros((468, 3), np.float32)
    mesh[:, 0], mesh[:, 1] = np.linspace(48, 144, 468), np.linspace(0, 192, 468)
    mesh[33, :2], mesh[263, :2], mesh[list(LIPS), :2] = (64, 64), (128, 64), (96, 140)
    names = FaceMesh.files
    fake = Fake(
        monkeypatch,
        dict(zip(names, (128, 192, 192))),
        dict(zip(names, (near, far, [mesh.reshape(1, 1, -1), np.full((1, 1, 1), 3, np.float32)]))),
    )
    nets = FaceMesh()
    (region,) = nets.detect(PICTURE)
    assert fake.seen == list(names[:2])
    assert (region.x, region.y, region.size, region.angle) == pytest.approx((80, 60, 32 * 1.5, math.pi / 4), abs=1e-4)
    seen = nets.look(PICTURE, region)
    assert seen.region.angle == pytest.approx(math.pi / 4, abs=1e-4)
    assert seen.score == pytest.approx(1 / (1 + math.exp(-3)))
    (box,) = face_boxes(nets, PICTURE, smallest=5)
    lips = region.to_picture(np.array([[0.5, 140 / 192]]))[0]
    assert box[2] == pytest.approx(EYES * 48 / 3)
    assert box[:2] == pytest.approx(lips - [0, (DOWN - 0.5) * box[2]])
    assert face_boxes(nets, PICTURE, smallest=40).shape == (0, 3)


def test_a_hand_is_looked_for_above_its_palm_and_placed_by_its_side(monkeypatch: pytest.MonkeyPatch) -> None:
    palm = one_box(192, {8: 2, 16: 6}, [0.5, 0.6, 0.1, 0.1], [(0.5, 0.7), (0, 0), (0.5, 0.5)] + [(0, 0)] * 4)
    hand = np.tile(np.array([112, 200, 0], np.float32), 21).reshape(21, 3)
    hand[9] = 112, 100, 0
    right = np.array([0.98], np.float32)
    answer = [hand.reshape(-1), np.array([0.8], np.float32), right, np.zeros(63, np.float32)]
    Fake(monkeypatch, dict(zip(Hands.files, (192, 224))), dict(zip(Hands.files, (palm, answer))))
    nets = Hands()
    (region,) = nets.detect(PICTURE)
    # The palm is 16 pixels wide at (80, 76); the hand's square is 2.6 times that, half a palm further up.
    assert (region.x, region.y, region.size, region.angle) == pytest.approx((80, 68, 2.6 * 16, 0), abs=1e-4)
    seen = nets.look(PICTURE, region)
    points, sure = nets.placed([seen])
    assert np.isnan(points[:21]).all()
    assert np.array_equal(points[21:], seen.points)
    assert sure.tolist() == pytest.approx([0.0] * 21 + [0.8] * 21)
    both, _ = nets.placed([seen, seen])
    assert np.isfinite(both).all()
    assert nets.placed([])[0].shape == (42, 3)


def test_models_are_found_in_folders_and_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "models" / "deep"
    inner.mkdir(parents=True)
    (inner / "one.tflite").write_bytes(b"net")
    assert model_file("one", tmp_path / "models") == inner / "one.tflite"
    with zipfile.ZipFile(tmp_path / "some.whl", "w") as wheel:
        wheel.writestr("package/modules/two.tflite", b"net")
    assert model_file("two", tmp_path / "some.whl") == tmp_path / "some.whl"
    for place in ("models", "some.whl", "nowhere"):
        with pytest.raises(ConfigError, match=r"three\.tflite"):
            model_file("three", tmp_path / place)
    monkeypatch.setattr(nets_module, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="--no-deps mediapipe"):
        model_file("face_landmark")
