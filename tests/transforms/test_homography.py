"""Registration: planted homographies are found again within a pixel; what is not sure is refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.errors import ConfigError, DataError
from plait.readers import open_streams
from plait.streams.stream import Stream
from plait.transforms import apply_steps
from plait.transforms.homography import Homography, find_homography, homography_of_pictures, homography_of_points
from plait.transforms.register import Register, warped


def picture(seed: int, high: int = 160, wide: int = 200) -> np.ndarray:
    """Something with corners: rectangles of every size."""
    rng = np.random.default_rng(seed)
    out = np.full((high, wide, 3), 120, np.uint8)
    for _ in range(120):
        h, w = rng.integers(3, 40, 2)
        y, x = rng.integers(0, high - h), rng.integers(0, wide - w)
        out[y : y + h, x : x + w] = rng.integers(0, 255, 3)
    return cv2.GaussianBlur(out, (0, 0), 0.8)


def planted(rng: np.random.Generator, high: int, wide: int, share: float = 0.12) -> np.ndarray:
    """A homography that moves the corners by up to a share of the picture."""
    corners = np.array([[0, 0], [wide - 1, 0], [wide - 1, high - 1], [0, high - 1]], np.float32)
    moved = corners + rng.uniform(-share, share, (4, 2)) * [wide, high]
    return cv2.getPerspectiveTransform(corners, moved.astype(np.float32))


def mean_error(found: Homography, true: np.ndarray, high: int, wide: int) -> float:
    grid = np.stack(np.meshgrid(np.linspace(0, wide - 1, 9), np.linspace(0, high - 1, 9)), -1).reshape(-1, 2)
    want = Homography(true, 0, 0, 0.0, 1.0).apply(grid)
    inside = ((want >= 0) & (want <= [wide - 1, high - 1])).all(1)
    return float(np.linalg.norm(found.apply(grid) - want, axis=1)[inside].mean())


@given(st.integers(0, 10_000))
@settings(max_examples=40)
def test_point_pairs_give_their_homography(seed: int) -> None:
    rng = np.random.default_rng(seed)
    true = planted(rng, 160, 200)
    points = rng.uniform(0, 160, (12, 2))
    fixed = Homography(true, 0, 0, 0.0, 1.0).apply(points)
    fixed[:2] += rng.uniform(20, 40, (2, 2))  # two pairs are wrong
    found = homography_of_points(points, fixed)
    assert found.sure
    assert found.inliers == 10
    assert mean_error(found, true, 160, 200) < 0.05


def test_points_that_do_not_do_are_refused() -> None:
    line = np.stack([np.arange(6.0), np.arange(6.0) * 2], 1)
    assert not homography_of_points(line, line + 1).sure
    square = np.array([[0.0, 0], [9, 0], [9, 9], [0, 9]])
    assert "mirrored" in homography_of_points(square, square * [-1, 1]).reason
    with pytest.raises(DataError, match="at least four"):
        homography_of_points(square[:3], square[:3])


@pytest.mark.parametrize("method", ["sift", "orb"])
def test_planted_homographies_are_found_within_a_pixel(method: str) -> None:
    rng = np.random.default_rng(1)
    for seed in range(3):
        moving, true = picture(seed), planted(rng, 160, 200)
        fixed = cv2.warpPerspective(moving, true, (200, 160)) * 0.9 + 8 + rng.normal(0, 4, moving.shape)
        found = homography_of_pictures([moving], [np.clip(fixed, 0, 255).astype(np.uint8)], method=method)
        assert found.sure
        assert found.confidence > 0.999
        assert mean_error(found, true, 160, 200) < 1


def test_two_scenes_are_not_taken_for_one() -> None:
    for seed in range(4):
        found = homography_of_pictures([picture(seed)], [picture(seed + 50)])
        assert not found.sure
        assert found.to_json()["sure"] is False
    flat = np.zeros((60, 80, 1), np.uint8)
    assert homography_of_pictures([flat], [flat]).reason == "hardly any features look alike"
    with pytest.raises(ConfigError, match="expected sift or orb"):
        homography_of_pictures([flat], [flat], method="surf")


def films(seed: int = 3) -> tuple[Stream, Stream, np.ndarray]:
    """One still scene with somebody walking through, seen by two cameras that start a second apart."""
    true = planted(np.random.default_rng(seed), 160, 200, 0.08)
    scene = np.repeat(picture(seed)[None], 24, 0)
    for i in range(24):
        scene[i, 60:130, 8 * i : 8 * i + 20] = (200, 30, 30)
    other = np.stack([cv2.warpPerspective(one, true, (200, 160)) for one in scene])
    return Stream.of(scene[:20], rate=8), Stream.of(other[8:], rate=8, start=1.0), true


def test_two_cameras_are_registered_though_someone_walks_by() -> None:
    moving, fixed, true = films()
    found = find_homography(moving, fixed, pictures=3)
    assert mean_error(found, true, 160, 200) < 1
    seen = warped(moving, found, 160, 200)
    both = seen.cut(1.0, 2.5).read().astype(float), fixed.cut(1.0, 2.5).read().astype(float)
    inside = cv2.warpPerspective(np.full((160, 200), 255, np.uint8), true, (200, 160)) == 255
    assert np.abs(both[0] - both[1])[:, inside].mean() < 3
    with pytest.raises(DataError, match="never meet in time"):
        find_homography(moving, Stream.of(fixed.read(), rate=8, start=100.0))


def test_the_step_registers_to_a_picture(tmp_path: Path) -> None:
    moving, fixed, true = films()
    path = tmp_path / "reference.png"
    cv2.imwrite(str(path), fixed.read()[0][..., ::-1])
    step = Register(to=str(path), pictures=2)
    registered = step(moving)
    assert registered.shape == (20, 160, 200, 3)
    assert step.notes() == {}
    whole = registered.read()
    assert step.notes()["features that agree with the reference"] > 20
    assert np.array_equal(registered.cut(1.0, 1.5).read(), whole[8:12])
    assert np.array_equal(pickle.loads(pickle.dumps(registered))[3:5].read(), whole[3:5])
    assert step.files() == [path]
    given = apply_steps(moving, [{"name": "register", "matrix": true.tolist()}]).read()
    assert np.abs(given.astype(int) - whole).mean() < 2


def test_the_step_refuses_what_is_not_sure(tmp_path: Path) -> None:
    path = tmp_path / "reference.png"
    cv2.imwrite(str(path), picture(77))
    registered = Register(to=str(path), pictures=1)(films()[0])
    with pytest.raises(DataError, match=r"cannot be registered to .*Give point pairs"):
        registered.read()
    with pytest.raises(ConfigError, match="exactly one of to, matrix and points"):
        Register()
    with pytest.raises(ConfigError, match="3 x 3 numbers that can be inverted"):
        Register(matrix=[[0, 0, 0]] * 3)
    square = [[[0, 0], [1, 1]], [[9, 0], [10, 1]], [[9, 9], [10, 10]], [[0, 9], [1, 10]]]
    moved = Register(points=square)(films()[0]).read()
    assert np.array_equal(moved[:, 1:, 1:], films()[0].read()[:, :-1, :-1])


@pytest.mark.slow
def test_real_pictures(real_data: Path) -> None:
    """Planted on frames of four films, with noise and another brightness; and no frame is taken for another film's."""
    rng = np.random.default_rng(0)
    frames = []
    for name in ("demo.mp4", "test.avi", "test.mp4", "demo_skeleton.mp4"):
        film = open_streams(real_data / "sample_videos" / name)["video"]
        frame = film[30:31].read()[0]
        scale = 320 / frame.shape[1]
        frames.append(cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    for i, frame in enumerate(frames):
        high, wide = frame.shape[:2]
        true = planted(rng, high, wide)
        fixed = cv2.warpPerspective(frame, true, (wide, high)) * 0.9 + rng.normal(0, 8, frame.shape) + 5
        found = homography_of_pictures([frame], [np.clip(fixed, 0, 255).astype(np.uint8)])
        assert mean_error(found, true, high, wide) < 1
        assert not homography_of_pictures([frame], [frames[i - 1]]).sure
