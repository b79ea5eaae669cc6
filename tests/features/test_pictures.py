from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.errors import ConfigError, DataError
from plait.features import image
from plait.features.image import Dct, Frames, Shrink, subsample
from plait.features.motion import Motion
from plait.streams.clock import Grid, Ticks
from plait.streams.stream import Stream


def film(n: int = 20, height: int = 24, width: int = 32, channels: int = 3) -> Stream:
    rng = np.random.default_rng(0)
    return Stream.of(rng.integers(0, 256, (n, height, width, channels), np.uint8), rate=25)


def test_rows_have_mean_0_and_deviation_1_and_flat_pictures_are_0() -> None:
    pictures = film(3).read()
    pictures[1] = 90
    values, _ = Frames()(Stream.of(pictures, rate=25))
    np.testing.assert_allclose(values[[0, 2]].mean(1), 0, atol=1e-5)
    np.testing.assert_allclose(values[[0, 2]].std(1), 1, atol=1e-4)
    assert not values[1].any()


def test_crop_takes_the_part_named() -> None:
    pictures = np.zeros((1, 40, 80, 3), np.uint8)
    pictures[:, 10:30, 20:60] = 255
    values, _ = Frames(crop=[0.25, 0.25, 0.5, 0.5], normalise="none")(Stream.of(pictures, rate=25))
    assert (values == 1).all()


def test_colour_keeps_three_channels() -> None:
    pictures = np.zeros((1, 24, 32, 3), np.uint8)
    pictures[..., 1] = 255
    values, _ = Frames(grey=False, normalise="none")(Stream.of(pictures, rate=25))
    np.testing.assert_array_equal(values.reshape(24, 32, 3)[0, 0], [0, 1, 0])


def test_differences_follow_the_pixels_and_begin_with_0() -> None:
    values, _ = Frames(normalise="none", differences=True)(film())
    pixels, change = np.split(values, 2, 1)
    assert not change[0].any()
    np.testing.assert_allclose(change[1:], np.diff(pixels, axis=0), atol=1e-6)


def test_differences_over_a_pause_are_0_and_all_pauses_an_error() -> None:
    pictures = film(4).read()
    times = [0.0, 0.1, 5.0, 5.1]
    change = Frames(differences=True)(Stream.of(pictures, times=times))[0][:, 768:]
    assert change[1].any()
    assert not change[2].any()
    with pytest.raises(DataError, match="Raise the option gap"):
        Frames(differences=True)(Stream.of(pictures, times=[0, 2, 4, 6]))
    with pytest.raises(DataError, match="no motion can be taken"):
        Motion()(Stream.of(pictures, times=[0, 2, 4, 6]))


@pytest.mark.parametrize("feature", [Frames(rate=7.0), Frames(differences=True), Dct(), Motion(), Motion(rate=9)])
def test_blocks_equal_the_whole(monkeypatch: pytest.MonkeyPatch, feature: Frames) -> None:
    stream = film(50)
    values, clock = feature(stream)
    monkeypatch.setattr(image, "BLOCK_BYTES", 4 * 24 * 32 * 3 * 4)
    pieces, same = feature(stream)
    np.testing.assert_allclose(pieces, values, atol=1e-6)
    np.testing.assert_array_equal(same.times, clock.times)


def test_motion_is_in_the_cell_that_moves_between_the_frames() -> None:
    pictures = np.zeros((10, 48, 64, 1), np.uint8)
    pictures[5:, 16:24, 40:48] = 255
    values, clock = Motion()(Stream.of(pictures, rate=10))
    assert clock.times[4] == pytest.approx(0.45)
    expected = np.zeros((9, 6, 8))
    expected[4, 2, 5] = 1
    np.testing.assert_allclose(values.reshape(9, 6, 8), expected, atol=1e-6)


def test_motion_over_a_pause_is_unknown_and_counted() -> None:
    feature = Motion()
    values, clock = feature(Stream.of(film(3).read(), times=[0.0, 0.1, 9.0]))
    assert np.isnan(values).all(1).tolist() == [False, True]
    assert clock == Ticks([0.05, 4.55])
    assert feature.notes() == {"pauses without motion": 1}


def test_depth_in_16_bits_and_floats() -> None:
    deep = np.full((2, 24, 32, 1), 65535, np.uint16)
    assert (Frames(normalise="none")(Stream.of(deep, rate=30))[0] == 1).all()
    real = np.full((2, 24, 32, 1), 0.5)
    assert (Frames(normalise="none")(Stream.of(real, rate=30))[0] == 0.5).all()
    real[1, 3] = np.inf
    with pytest.raises(DataError, match="the first in observation 1"):
        Frames()(Stream.of(real, rate=30))
    with pytest.raises(DataError, match="expected uint8, uint16 or float"):
        Frames()(Stream.of(deep.astype(np.int64), rate=30))


@settings(max_examples=60)
@given(st.fractions(1, 60), st.fractions(1, 60), st.integers(1, 200))
def test_subsampling_takes_no_picture_twice_and_keeps_its_time(own: object, wanted: object, n: int) -> None:
    clock = Grid(3, str(own), n)
    kept, times = subsample(clock, str(wanted))
    assert (np.diff(kept) > 0).all()
    np.testing.assert_allclose(times.times, clock.times[kept], atol=1e-9)
    if len(kept) > 1:
        assert np.diff(times.times).min() >= 0.5 / float(wanted) - 1e-6 or len(kept) == n  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Frames(crop=[0.5, 0, 0.6, 1]), "left, top, width, height"),
        (lambda: Frames(normalise="batch"), "expected one of frame, none"),
        (lambda: Frames(height=0), "expected a number above 0"),
        (lambda: Dct(k=2000), "2000 coefficients of 32 x 48 pixels"),
        (lambda: Motion(rows=5), "do not divide"),
        (lambda: Shrink(2, 2, crop=[0, 0, 0, 1]), "left, top, width, height"),
    ],
)
def test_wrong_options(make: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()  # type: ignore[operator]


def test_wrong_shape_is_refused() -> None:
    with pytest.raises(DataError, match=r"expected \[h, w, 1, 3 or 4\]"):
        Frames()(Stream.of(np.zeros((2, 4, 4, 2), np.uint8), rate=25))


def test_it_is_fast() -> None:
    stream, feature = film(75, 64, 96), Frames()
    took = []
    for _ in range(8):
        begin = time.process_time()
        feature(stream)
        took.append(time.process_time() - begin)
    assert min(took) < 0.03  # 10 ms on an idle core; shared ones are slower
