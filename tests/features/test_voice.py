"""Pitch, cycles of a voice and prosody on planted sound."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.errors import ConfigError
from plait.features.pitch import Pitch
from plait.features.prosody import COLUMNS, Prosody
from plait.features.tracking import best_path
from plait.features.voice import cycles, harmonicity, syllable_nuclei
from plait.streams.stream import Stream

RATE = 16000


def sound(wave: np.ndarray, rate: int = RATE) -> Stream:
    return Stream.of(wave.astype(np.float32), rate=rate, kind="waveform")


def harmonics(pitch: np.ndarray | float, seconds: float, rate: int = RATE) -> np.ndarray:
    phase = np.cumsum(np.broadcast_to(pitch, int(seconds * rate))) / rate
    return 0.1 * sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 8))


def with_noise(wave: np.ndarray, snr: float, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=len(wave))
    return wave + noise * np.sqrt((wave**2).mean() / 10 ** (snr / 10))


def pulses(pitch: float, jitter: float, shimmer: float, seed: int = 0) -> tuple[np.ndarray, float, float]:
    """Three seconds of pulses through a resonance at 700 Hz, and their true local jitter and shimmer."""
    rng, many = np.random.default_rng(seed), 8
    steps = (1 + rng.normal(0, jitter, int(3 * pitch) - 2)) / pitch
    places = np.rint((0.005 + np.cumsum(steps)) * RATE * many).astype(int)
    steps, size = np.diff(places), 10 ** (rng.normal(0, shimmer, len(steps)) / 20)
    fine = np.zeros(3 * RATE * many)
    fine[places] = size
    t = np.arange(400 * many) / (RATE * many)
    ring = np.exp(-np.pi * 400 * t) * np.sin(2 * np.pi * 700 * t)
    size_of = 1 << 19
    wave = np.fft.irfft(np.fft.rfft(fine, size_of) * np.fft.rfft(ring, size_of), size_of)[: len(fine)]
    true_shimmer = np.abs(20 * np.diff(np.log10(size))).mean()
    return 0.2 * wave[::many], float(np.abs(np.diff(steps)).mean() / steps.mean()), float(true_shimmer)


@pytest.mark.parametrize("track", [True, False])
@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_a_glide_is_followed_to_a_few_cents(track: bool, rate: int) -> None:
    t = np.arange(2 * rate) / rate
    true = 160 + 90 * np.sin(2 * np.pi * 0.8 * t)
    values, clock = Pitch(track=track, unit="hz", rate=rate)(sound(with_noise(harmonics(true, 2, rate), 30), rate))
    cents = 1200 * np.log2(values[:, 0] / np.interp(clock.times, t, true))
    assert np.abs(np.median(cents)) < 1
    assert np.abs(cents).max() < 25  # where it moves by an octave in half a second
    assert np.median(values[:, 1]) > 0.8


@settings(max_examples=15)
@given(st.floats(65, 480), st.integers(0, 99))
def test_a_steady_tone_has_its_pitch(pitch: float, seed: int) -> None:
    values, _ = Pitch(unit="hz")(sound(with_noise(harmonics(pitch, 0.5), 20, seed)))
    assert np.abs(1200 * np.log2(values[:, 0] / pitch)).max() < 12


def test_the_path_mends_what_single_windows_get_wrong() -> None:
    t = np.arange(3 * RATE) / RATE
    true = 150 + 60 * np.sin(2 * np.pi * 0.7 * t)
    noisy = sound(with_noise(harmonics(true, 3), 5))
    wrong = []
    for track in (True, False):
        values, clock = Pitch(unit="hz", track=track)(noisy)
        off = np.abs(12 * np.log2(values[:, 0] / np.interp(clock.times, t, true)))
        wrong.append((off > 0.5).mean())
    assert wrong[0] < 0.02 < 0.05 < wrong[1]


@pytest.mark.parametrize("track", [True, False])
def test_no_pitch_in_noise_and_silence(track: bool) -> None:
    wave = np.zeros(3 * RATE)
    wave[RATE : 2 * RATE] = harmonics(200, 1)
    wave[2 * RATE :] = 0.1 * np.random.default_rng(0).normal(size=RATE)
    values, clock = Pitch(track=track)(sound(wave))
    voiced = ~np.isnan(values[:, 0])
    assert not voiced[clock.times < 0.96].any()
    assert voiced[(clock.times > 1.04) & (clock.times < 1.96)].all()
    assert voiced[clock.times > 2.06].mean() < 0.02


def test_a_gap_is_unknown_and_both_sides_are_known() -> None:
    wave = harmonics(200, 2)
    wave[RATE : RATE + 800] = np.nan
    feature = Pitch(unit="hz")
    values, _ = feature(sound(wave))
    lost = np.isnan(values[:, 1])
    assert lost.sum() == feature.notes()["windows in a gap"]
    assert np.isnan(values[lost, 0]).all()
    np.testing.assert_allclose(values[~lost, 0], 200, rtol=1e-3)


def naive_path(place: np.ndarray, weight: np.ndarray, none: np.ndarray, widest: float, switch: float) -> list[int]:
    """The best path by trying all of them."""
    n, k = place.shape
    best, found = -np.inf, []
    for number in range((k + 1) ** n):
        path = [number // (k + 1) ** i % (k + 1) for i in range(n)]
        score = sum(none[t] if s == k else weight[t, s] for t, s in enumerate(path))
        for t, (a, b) in enumerate(pairwise(path)):
            score += np.log(switch if (a == k) != (b == k) else 1 - switch)
            if k not in (a, b):
                share = 1 - abs(place[t, a] - place[t + 1, b]) / widest
                score += max(np.log(max(share, 1e-13)), -30)
        if score > best:
            best, found = score, path
    return [-1 if s == k else s for s in found]


@pytest.mark.slow
@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_the_path_is_the_likeliest_of_all(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    place, weight = rng.uniform(0, 4, (n, 2)).astype(np.float32), np.log(rng.random((n, 2))).astype(np.float32)
    none = np.log(rng.random(n) / 4).astype(np.float32)
    ours = best_path(place, weight, none, widest=2.0, switch=0.1, piece=8, margin=3)
    assert ours.tolist() == naive_path(place, weight, none, 2.0, 0.1)


@pytest.mark.parametrize("pitch", [95, 130, 210])
@pytest.mark.parametrize(("jitter", "shimmer"), [(0.0, 0.0), (0.005, 0.2), (0.01, 0.4)])
def test_jitter_and_shimmer_of_planted_pulses(pitch: float, jitter: float, shimmer: float) -> None:
    wave, true_jitter, true_shimmer = pulses(pitch, jitter, shimmer)
    row = Prosody(span=2.8)(sound(wave))[0][0]
    assert row[COLUMNS.index("jitter")] == pytest.approx(true_jitter, rel=0.2, abs=0.001)
    assert row[COLUMNS.index("shimmer")] == pytest.approx(true_shimmer, rel=0.3, abs=0.06)


def test_cycles_of_a_wrong_period_are_none() -> None:
    noise = np.random.default_rng(0).normal(size=(64, 1200)).astype(np.float32)
    jitter, shimmer = cycles(noise, np.full(64, 100, np.float32))
    assert np.isnan(jitter).mean() > 0.9
    np.testing.assert_array_equal(np.isnan(jitter), np.isnan(shimmer))
    assert np.isnan(cycles(noise, np.full(64, 301, np.float32))[0]).all()  # four of them do not fit


@pytest.mark.parametrize("snr", [5, 10, 20, 30])
def test_harmonicity_is_the_ratio_planted(snr: float) -> None:
    row = Prosody(span=1.8)(sound(with_noise(harmonics(150, 2), snr)))[0][0]
    assert row[COLUMNS.index("harmonicity")] == pytest.approx(snr, abs=0.5)
    assert harmonicity(np.float32([0.0, 1.0])).tolist() == pytest.approx([-30, 40], abs=0.1)


def test_slopes_are_by_the_second() -> None:
    t = np.arange(3 * RATE) / RATE
    wave = harmonics(110 * 2 ** (4 * t / 12), 3) * 10 ** (-6 * t / 20)
    values, clock = Prosody(step=0.5)(sound(wave))
    assert clock.times[0] == pytest.approx(0.5, abs=0.05)
    found = dict(zip(COLUMNS, values.T))
    np.testing.assert_allclose(found["pitch slope"], 4, atol=0.1)
    np.testing.assert_allclose(found["level slope"], -6, atol=0.1)
    np.testing.assert_allclose(found["pitch"], 24 + 4 * clock.times, atol=0.1)
    np.testing.assert_allclose(found["voiced"], 1)


@pytest.mark.parametrize("rate", [2.0, 3.0, 5.0])
def test_syllables_are_counted(rate: float) -> None:
    t = np.arange(6 * RATE) / RATE
    wave = harmonics(140, 6) * (0.02 + np.maximum(np.sin(2 * np.pi * rate * t), 0))
    values, _ = Prosody(span=4)(sound(with_noise(wave, 40)))
    np.testing.assert_allclose(values[:, COLUMNS.index("speaking rate")], rate, atol=0.26)


def test_nuclei_are_voiced_loud_and_stand_out() -> None:
    level = np.float32([-90, -20, -90, -60, -90, -25, -26, -25.5, -90, -22, -90])
    voiced = np.ones(11, bool)
    assert syllable_nuclei(level, voiced, 10.0).tolist() == [1, 5, 9]  # 3 is 40 dB down, 7 no dip away from 5
    voiced[1] = False
    assert syllable_nuclei(level, voiced, 10.0).tolist() == [5, 9]
    assert syllable_nuclei(np.full(5, np.nan, np.float32), np.ones(5, bool), 10.0).tolist() == []


def test_a_short_sound_has_one_row_and_silence_no_voice() -> None:
    values, clock = Prosody()(sound(harmonics(200, 0.4)))
    assert values.shape == (1, len(COLUMNS))
    assert clock.times[0] == pytest.approx(0.2, abs=0.01)
    silent = Prosody()(sound(np.zeros(RATE)))[0][0]
    assert np.isnan(silent[[0, 1, 2, 7, 8, 9]]).all()
    assert silent[6] == silent[10] == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Pitch(low=400, high=300), "0 < low < high <= rate / 4"),
        (lambda: Pitch(high=5000), "0 < low < high <= rate / 4"),
        (lambda: Pitch(unit="mel"), "expected one of semitones, hz"),
        (lambda: Prosody(span=0), "expected a number above 0"),
    ],
)
def test_wrong_options(make: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()  # type: ignore[operator]


def test_it_is_fast() -> None:
    feature, stream = Pitch(), sound(harmonics(150, 3))
    feature(stream)
    took = []
    for _ in range(4):
        begin = time.process_time()
        feature(stream)
        took.append(time.process_time() - begin)
    assert min(took) < 0.05  # 12 ms on an idle core
