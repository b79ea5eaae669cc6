"""Crops: a fixed box, and faces and mouths that hold still; against slicing, and against planted truth."""

from __future__ import annotations

import pickle
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.errors import ConfigError, DataError
from plait.demo.face import draw_face, face_film
from plait.streams.stream import Stream
from plait.transforms import apply_steps
from plait.transforms._boxes import best_path, lowess, settle
from plait.transforms._lazy import BLOCK_BYTES
from plait.transforms.crop import Crop
from plait.transforms.face import Face, Mouth, face_path

T = np.arange(75) / 25
PATH = np.stack([80 + 22 * np.sin(T * 1.3), 60 + 8 * np.sin(T * 1.9)], 1)


@pytest.fixture(scope="module")
def moving() -> Stream:
    mouth = np.abs(np.sin(9 * T))
    return Stream.of(face_film(PATH, 50, mouth=mouth, height=120, width=160), rate=25)


def jitter(centre: np.ndarray, truth: np.ndarray) -> float:
    """Root mean square of what the box moves from picture to picture beside the face, pixels."""
    return float(np.sqrt((np.diff(centre - truth, axis=0) ** 2).sum(1).mean()))


def test_a_crop_is_the_slice() -> None:
    values = np.random.default_rng(0).integers(0, 255, (6, 40, 60, 3)).astype(np.uint8)
    film = Stream.of(values, rate=25)
    assert np.array_equal(Crop(box=[0.25, 0.1, 0.5, 0.5])(film).read(), values[:, 4:24, 15:45])
    small = Crop(box=[0.25, 0.1, 0.5, 0.5], width=15)(film)
    assert np.array_equal(small.read()[2], cv2.resize(values[2, 4:24, 15:45], (15, 10), interpolation=cv2.INTER_AREA))
    assert np.array_equal(small.cut(0.08, 0.2).read(), Crop(box=[0.25, 0.1, 0.5, 0.5], width=15)(film[2:5]).read())
    assert small[3:3].read().shape == (0, 10, 15, 3)


@pytest.mark.parametrize("box", [[0.5, 0, 0.6, 1], [0, 0, 0, 1], [0, 0, 1]])
def test_a_crop_that_leaves_the_picture_is_refused(box: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"crop\.box"):
        Crop(box=box)


def test_a_still_face_gets_one_box_of_whole_pixels() -> None:
    film = face_film([[80, 60]] * 30, 50, mouth=np.abs(np.sin(9 * T[:30])), height=120, width=160)
    stream = Stream.of(film, rate=25)
    found = face_path(stream)
    centre, size, still = found.path.at(stream.clock.times)
    assert still.all()
    assert len(np.unique(np.column_stack([centre, size]), axis=0)) == 1
    x, y, s = *centre[0], 1.2 * size[0]
    left, top, side = round(x - s / 2), round(y - s / 2), round(s)
    box = film[7, top : top + side, left : left + side]
    assert np.array_equal(
        Face(height=40, width=40)(stream).read()[7], cv2.resize(box, (40, 40), None, 0, 0, cv2.INTER_AREA)
    )


@pytest.mark.slow
def test_a_moving_face_holds_still_in_its_crop(moving: Stream) -> None:
    found = face_path(moving)
    centre, size, _ = found.path.at(T)
    offset = np.median(centre - PATH, axis=0)
    assert found.found == found.looked == 16
    assert np.abs(centre - PATH - offset).max() < 3
    assert size == pytest.approx(50 * 1.08, rel=0.1)
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_alt2.xml")
    each = []
    for picture in moving[:35].read():
        boxes = cascade.detectMultiScale(cv2.equalizeHist(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)), 1.1, 5)
        x, y, w, _ = max(boxes, key=lambda b: b[2])
        each.append([x + w / 2, y + w / 2])
    assert jitter(centre, PATH) < 0.4 * jitter(np.array(each), PATH[:35])


def test_the_mouth_is_in_the_middle_of_its_crop(moving: Stream) -> None:
    step = Mouth(height=40, width=60)
    pictures = step(moving).read().astype(int)
    assert pictures.shape == (75, 40, 60, 3)
    wide = pictures[np.abs(np.sin(9 * T)) > 0.8]
    lips = (wide[..., 0] - wide[..., 1] > 40) & (wide[..., 1] < 110)
    y, x = (np.array([np.argwhere(one)[:, axis].mean() for one in lips]) for axis in (0, 1))
    assert np.abs(x - 29.5).max() < 6
    assert np.abs(y - 19.5).max() < 8
    assert x.std() < 1.5
    assert y.std() < 1.5
    assert step.notes() == {"pictures looked at for a face": 16}


def test_cut_of_crop_is_crop_of_cut_and_travels_to_other_processes(moving: Stream) -> None:
    crop = Face(height=32, width=32)(moving)
    whole = crop.read()
    assert np.array_equal(crop.cut(1.0, 2.0).read(), whole[25:50])
    assert np.array_equal(np.concatenate([b.read() for b in crop.blocks(20)]), whole)
    fresh = Face(height=32, width=32)(moving)
    assert np.array_equal(pickle.loads(pickle.dumps(fresh))[30:40].read(), whole[30:40])


def test_grey_pictures_and_other_faces_after_a_cut() -> None:
    left, right = [[45, 60]] * 30, [[120, 55]] * 30
    grey = face_film(left + right, 46, height=120, width=160).mean(3, keepdims=True).astype(np.uint8)
    stream = Stream.of(grey, rate=25)
    found = face_path(stream)
    centre, _, _ = found.path.at(stream.clock.times)
    assert found.path.run.max() == 1
    assert np.abs(centre[:27, 0] - 45).max() < 4
    assert np.abs(centre[33:, 0] - 120).max() < 4
    assert apply_steps(stream, [{"name": "face", "height": 20, "width": 20}]).read().shape == (60, 20, 20, 1)


def test_pictures_without_a_face_are_counted_and_bridged() -> None:
    film = face_film(PATH[:50], 50, height=120, width=160)
    film[15:30] = 128
    step = Face(height=32, width=32)
    step(Stream.of(film, rate=25)).read()
    assert step.notes() == {"pictures looked at for a face": 11, "of these without one": 3}


def test_no_face_at_all_is_an_error_when_read() -> None:
    wall = Stream.of(np.full((20, 60, 80, 3), 128, np.uint8), rate=25)
    crop = Face()(wall)
    with pytest.raises(DataError, match="a face in 0 of 5 pictures looked at"):
        crop.read()
    with pytest.raises(DataError, match="Face takes frames, but the stream is series"):
        Face()(Stream.of(np.zeros((3, 1)), rate=1))
    with pytest.raises(ConfigError, match=r"mouth\.every"):
        Mouth(every=0)


class Watched:
    """A long film made when read; remembers how much was asked for at once."""

    shape = (120, 160, 3)

    def __init__(self) -> None:
        self.most = 0

    def read(self, lo: int, hi: int) -> np.ndarray:
        self.most = max(self.most, hi - lo)
        picture = draw_face(np.full(self.shape, 150, np.uint8), 80, 60, 50)
        return np.repeat(picture[None], hi - lo, 0)


@pytest.mark.slow
def test_a_long_film_is_never_in_memory_whole() -> None:
    source = Watched()
    clock = Stream.of(np.zeros((3000, 1)), rate=25).clock
    film = Stream(clock, source, "frames")
    assert Face(height=8, width=8, every=20.0)(film).read().shape == (3000, 8, 8, 3)
    assert source.most * 120 * 160 * 3 * 8 <= BLOCK_BYTES


boxes = st.tuples(st.floats(20, 100), st.floats(20, 100), st.floats(10, 30))


@given(st.lists(boxes, min_size=3, max_size=12), st.floats(-5, 5))
@settings(max_examples=50)
def test_paths_move_with_their_finds(rows: list[tuple[float, float, float]], shift: float) -> None:
    times, finds = np.arange(len(rows)) / 5, np.array(rows)
    moved = finds + [shift, -shift, 0]
    a, b = settle(times, finds, 1.5, 0.1), settle(times, moved, 1.5, 0.1)
    assert b.centre == pytest.approx(a.centre + [shift, -shift], abs=1e-6)
    assert b.size == pytest.approx(a.size)


@given(st.integers(0, 10_000))
@settings(max_examples=30)
def test_stray_finds_are_never_taken(seed: int) -> None:
    rng = np.random.default_rng(seed)
    finds = [np.array([[50 + 2 * rng.normal(), 50, 30 + rng.normal()]]) for _ in range(30)]
    for i in range(2, 29, 4):
        stray = [rng.uniform(120, 300), rng.uniform(120, 300), rng.uniform(20, 34)]
        finds[i] = np.array([stray]) if rng.random() < 0.5 else np.vstack([finds[i], stray])
    which, chosen = best_path(np.arange(30) / 5, finds)
    assert (np.hypot(chosen[:, 0] - 50, chosen[:, 1] - 50) < 20).all()
    assert len(which) >= 22


def test_local_parabolas_against_least_squares() -> None:
    x = np.sort(np.random.default_rng(3).uniform(0, 10, 15))
    y = np.sin(x)
    got = lowess(x, y, 100.0, rounds=1)
    want: list[Any] = []
    for at in x:
        reach = np.abs(x - at).max() * (1 + 1e-6)
        weight = (1 - (np.abs(x - at) / reach) ** 3) ** 3
        want.append(np.polynomial.Polynomial.fit(x, y, 2, w=np.sqrt(weight))(at))
    assert got == pytest.approx(want, abs=1e-4)
