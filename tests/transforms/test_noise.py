from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.errors import ConfigError, DataError
from plait.streams.stream import Stream
from plait.transforms.noise import BLOCK, add_noise


def snr(signal, noise):
    return 10 * np.log10(signal / noise)


def wave(n=9000, channels=1, seed=0, rate=16000):
    values = np.random.default_rng(seed).normal(0, 0.1, (n, channels)).cumsum(0) * 0.05
    return Stream.of(values.astype(np.float32), rate=rate, kind="waveform")


class Counting:
    """A source that counts how often it is read."""

    def __init__(self, array):
        self.array, self.shape, self.reads = array, array.shape[1:], 0

    def read(self, lo, hi):
        self.reads += 1
        return self.array[lo:hi]


@pytest.mark.parametrize("kind", ["white", "pink", "babble"])
@pytest.mark.parametrize("level", [-10.0, 0.0, 20.0])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_waveform_gets_exactly_the_ratio_asked(kind, level, channels):
    clean = wave(channels=channels)
    others = [wave(5000, seed=i) for i in (1, 2, 3)]
    noisy = add_noise(clean, kind, level, 7, others)
    x = clean.read().astype(np.float64)
    noise = noisy.read() - x
    assert noisy.read().dtype == np.float32
    assert abs(snr((x**2).mean(), (noise**2).mean()) - level) < 1e-3


@pytest.mark.parametrize("kind", ["white", "pink"])
def test_each_channel_of_a_series_gets_the_ratio_relative_to_its_variance(kind):
    rng = np.random.default_rng(0)
    x = rng.normal([0, 1e6, -3], [1, 10, 1e-3], (10_000, 3))
    x[5:50, 1] = np.nan
    noise = add_noise(Stream.of(x, rate=64), kind, 3.0, 1).read() - x
    assert np.array_equal(np.isnan(noise), np.isnan(x))
    assert np.abs(snr(np.nanvar(x, 0), np.nanmean(noise**2, 0)) - 3.0).max() < 1e-3


def test_poses_keep_their_shape_and_constant_channels_stay():
    x = np.random.default_rng(0).normal(size=(100, 4, 3))
    x[:, 2, 1] = 5.0
    noisy = add_noise(Stream.of(x, rate=30), "white", 0.0, 1).read()
    assert noisy.shape == x.shape
    assert (noisy[:, 2, 1] == 5.0).all()
    assert (noisy[:, 0, 0] != x[:, 0, 0]).all()


def test_silence_stays_silent():
    quiet = Stream.of(np.zeros((100, 1), np.float32), rate=100, kind="waveform")
    assert (add_noise(quiet, "white", 0.0, 1).read() == 0).all()


def test_each_picture_gets_the_ratio_and_stays_whole_numbers():
    x = np.random.default_rng(0).integers(100, 150, (5, 40, 50, 3)).astype(np.uint8)
    noisy = add_noise(Stream.of(x, rate=25), "white", 20.0, 1).read()
    assert noisy.dtype == np.uint8
    noise = noisy.astype(float) - x
    # Rounding to whole numbers adds its own 1/12.
    measured = snr(x.astype(float).var((1, 2, 3)), (noise**2).mean((1, 2, 3)) - 1 / 12)
    assert np.abs(measured - 20).max() < 0.1
    assert add_noise(Stream.of(x, rate=25), "white", -60.0, 1).read().max() == 255  # clipped, not wrapped


@given(
    st.sampled_from(["white", "pink", "babble"]),
    st.integers(0, 2 * BLOCK + 10),
    st.integers(0, 2 * BLOCK + 10),
    st.integers(0, 5),
)
@settings(max_examples=40)
def test_a_cut_of_the_noisy_is_the_noisy_cut(kind, a, b, seed):
    clean = wave(2 * BLOCK + 10)
    noisy = add_noise(clean, kind, 0.0, seed, [wave(700, seed=9, rate=8000), wave(1000, seed=8)])
    lo, hi = min(a, b), max(a, b)
    whole = noisy.read()
    assert np.array_equal(noisy[lo:hi].read(), whole[lo:hi])
    assert np.array_equal(noisy[lo:][: hi - lo].read(), whole[lo:hi])


def test_frames_do_not_depend_on_how_they_are_read():
    x = np.random.default_rng(0).integers(0, 255, (6, 8, 8, 3)).astype(np.uint8)
    noisy = add_noise(Stream.of(x, rate=25), "white", 0.0, 1)
    assert np.array_equal(np.concatenate([v.read() for v in noisy.blocks(1)]), noisy.read())
    assert noisy[2:2].read().shape == (0, 8, 8, 3)


def test_same_seed_same_noise_other_seed_other_noise():
    clean = wave()
    one, again, other = (add_noise(clean, "pink", 0.0, seed).read() for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    rng = np.random.default_rng(0)
    first, second = add_noise(clean, "white", 0.0, rng), add_noise(clean, "white", 0.0, rng)
    assert not np.array_equal(first.read(), second.read())
    assert np.array_equal(first.read(), first.read())


def test_nothing_is_read_until_asked():
    source = Counting(np.ones((100, 1), np.float32))
    clean = Stream(Stream.of(np.zeros(100), rate=10).clock, source, "waveform")
    noisy = add_noise(clean, "babble", 0.0, 1, [clean])
    assert noisy.cut(1, 2).shape == (10, 1)
    assert source.reads == 0
    noisy.read()
    assert source.reads > 0


def test_pink_power_falls_by_three_decibels_an_octave():
    flat = Stream.of(np.random.default_rng(0).normal(size=(2**17, 1)), rate=1)
    noise = (add_noise(flat, "pink", 0.0, 3).read() - flat.read())[:, 0]
    power = np.abs(np.fft.rfft(noise)) ** 2
    octaves = [power[2**k : 2 ** (k + 1)].mean() for k in range(7, 15)]
    slope = np.polyfit(range(len(octaves)), 10 * np.log10(octaves), 1)[0]
    assert abs(slope + 3.01) < 0.3


def test_interferers_of_a_babble_are_equally_loud():
    clean = Stream.of(np.ones(8000), rate=8000, kind="waveform")
    t = np.arange(8000) / 8000
    low = Stream.of(0.5 * np.sin(2 * np.pi * 500 * t), rate=8000, kind="waveform")
    high = Stream.of(1e-3 * np.sin(2 * np.pi * 3000 * t), rate=8000, kind="waveform")
    power = np.abs(np.fft.rfft(add_noise(clean, "babble", 0.0, 1, [low, high]).read()[:, 0] - 1)) ** 2
    assert power[3000] / power[500] == pytest.approx(1, abs=0.02)


def test_a_voice_of_another_rate_keeps_its_pitch():
    clean = Stream.of(np.ones(8000), rate=8000, kind="waveform")
    tone = Stream.of(np.sin(2 * np.pi * 400 * np.arange(16000) / 16000), rate=16000, kind="waveform")
    power = np.abs(np.fft.rfft(add_noise(clean, "babble", 0.0, 1, [tone]).read()[:, 0] - 1)) ** 2
    assert power.argmax() == 400


def test_what_cannot_be_done_is_said():
    words = Stream.of(np.array(["a"]), times=[0.0])
    with pytest.raises(DataError, match="the stream is words"):
        add_noise(words, "white", 0.0, 1)
    with pytest.raises(ConfigError, match="'pink'"):
        add_noise(wave(), "pinkk", 0.0, 1)
    with pytest.raises(ConfigError, match="finite"):
        add_noise(wave(), "pink", float("nan"), 1)
    with pytest.raises(DataError, match="others="):
        add_noise(wave(), "babble", 0.0, 1)
    silent = Stream.of(np.zeros(10), rate=10, kind="waveform")
    with pytest.raises(DataError, match="silent"):
        add_noise(wave(), "babble", 0.0, 1, [silent]).read()
