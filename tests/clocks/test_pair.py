"""Two streams compared directly: sound to a fraction of a sample, change points, bends; flags where nothing is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plait.clocks import compare
from plait.clocks.waveform import samples, waveform_lags
from plait.core.errors import DataError
from plait.streams.clock import Grid
from plait.streams.stream import Stream

RATE = 8000


def room(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Bursts of noise: something that is loud now and then."""
    n = round(seconds * RATE)
    loud = np.interp(
        np.arange(n), np.arange(0, n + 800, 800), rng.gamma(0.6, 1.0, n // 800 + 1)[: len(np.arange(0, n + 800, 800))]
    )
    return loud * rng.standard_normal(n)


def heard(sound: np.ndarray, at: np.ndarray, rng: np.random.Generator, noise: float) -> Stream:
    import soxr

    fine = soxr.resample(sound, RATE, 4 * RATE, quality="VHQ")
    values = np.interp(at * 4 * RATE, np.arange(len(fine)), fine) + noise * sound.std() * rng.standard_normal(len(at))
    return Stream.of(values[:, None].astype(np.float32), rate=RATE, kind="waveform")


def lag_of(t: np.ndarray, kind: str) -> np.ndarray:
    line = 1.2345 + 80e-6 * t
    return {
        "line": line,
        "bend": line + 200e-6 * np.maximum(t - 55, 0),
        "jump": line + 0.35 * (t >= 50),
        "back": line - 0.35 * (t >= 50),
    }[kind]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["line", "bend", "jump", "back"])
def test_sound_at_0_db_is_placed_within_a_tenth_of_a_millisecond(kind: str) -> None:
    rng = np.random.default_rng(5)
    sound, t = room(rng, 130), np.arange(100 * RATE) / RATE
    x, y = heard(sound, np.arange(120 * RATE) / RATE, rng, 1.0), heard(sound, t + lag_of(t, kind), rng, 1.0)
    found = compare(x, y, tolerance=0.001)
    away = np.abs(t - 50) > 2
    assert np.abs(found.line.at(t) - lag_of(t, kind))[away].max() < (5e-4 if kind == "bend" else 1e-4)
    assert not found.flagged, found.reason
    assert found.uncertainty_s < 0.001
    assert [round(size, 3) for _, size in found.change_points] == {"jump": [0.35], "back": [-0.35]}.get(kind, [])
    assert all(abs(at - 50) < 2 for at, _ in found.change_points)
    assert (np.diff(found.seconds(t)) >= 0).all()
    assert "ppm" in str(found)


def test_what_says_nothing_is_refused() -> None:
    still = Stream.of(np.zeros((RATE * 5, 1), np.float32), rate=RATE, kind="waveform")
    with pytest.raises(DataError, match=r"x: .*nothing ever changes"):
        compare(still, still)
    with pytest.raises(DataError, match="tolerance"):
        compare(still, still, tolerance=0)


def test_noise_has_no_clear_lag_and_samples_are_those_of_the_stream() -> None:
    rng = np.random.default_rng(0)
    x, y = (Stream.of(rng.standard_normal((RATE * 10, 1)).astype(np.float32), rate=RATE, kind="waveform") for _ in "xy")
    assert len(waveform_lags(x, y, lambda t: 0 * t, 0.5, 16, 0.05).times) == 0
    np.testing.assert_array_equal(samples(x, 2.0, 100, RATE), x.read()[2 * RATE : 2 * RATE + 100, 0])
    outside = samples(x, -0.01, 160, RATE)
    assert not outside[:80].any()
    np.testing.assert_array_equal(outside[80:], x.read()[:80, 0])


@pytest.mark.slow
def test_a_mouth_and_its_voice(real_data: Path) -> None:
    """Two minutes of a GRID speaker: the film's clock is found within half a frame, and refused for other speech."""
    from plait.readers import open_streams

    clips = sorted((real_data / "grid_s1").rglob("*.mp4"))[::9][:80]
    if len(clips) < 80:
        pytest.skip("no GRID clips in PLAIT_DATA")
    sounds, films = [], []
    for clip in clips:
        streams = open_streams(clip).values()
        sound = next(s for s in streams if s.kind == "waveform").read()[:, 0]
        film = next(s for s in streams if s.kind == "frames").read()
        pause = 3 + len(sounds) % 7
        sounds.append(np.pad(sound, (0, (75 + pause) * 640 - len(sound)), mode="reflect"))
        films.append(np.concatenate([film, film[-1:].repeat(75 + pause - len(film), 0)]))
    voice = [
        Stream.of(np.concatenate(part)[:, None], rate=16000, kind="waveform") for part in (sounds[:40], sounds[40:])
    ]
    film = np.concatenate(films[:40])
    mouth = Stream.of(film, times=np.arange(len(film)) / 25 * (1 - 90e-6) - 2.5)
    found = compare(voice[0], mouth, tolerance=0.06)
    assert not found.flagged, found.reason
    assert np.abs(found.seconds(mouth.clock.times) - np.arange(len(film)) / 25).max() < 0.02
    assert compare(voice[1], mouth, tolerance=0.04).flagged


def test_shifting_both_clocks_changes_nothing(strokes: Any, seen_by: Any) -> None:
    rng = np.random.default_rng(1)
    at = strokes(rng, 70.0)
    x, y = seen_by("pose", at, 60.0, rng), seen_by("series", at - 0.7, 60.0, rng)
    here = compare(x, y)
    since = 1_644_227_574.0
    moved = [s.on(Grid(s.clock.times[0] + since, round(1 / np.diff(s.clock.times)[0]), len(s))) for s in (x, y)]
    there = compare(*moved)
    assert here.lag == pytest.approx(0.7, abs=0.004)
    assert there.lag == pytest.approx(here.lag, abs=1e-4)
    assert there.drift_ppm == pytest.approx(here.drift_ppm, abs=2)
    assert there.flagged is here.flagged is False


def test_swapping_the_two_turns_the_lag(strokes: Any, seen_by: Any) -> None:
    rng = np.random.default_rng(2)
    at = strokes(rng, 90.0)
    x, y = seen_by("frames", at, 80.0, rng), seen_by("words", at - 1.3, 80.0, rng)
    one, other = compare(x, y), compare(y, x)
    assert one.lag == pytest.approx(1.3, abs=0.006)
    assert other.lag == pytest.approx(-one.lag, abs=0.004)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["waveform", "series"])
def test_what_has_nothing_in_common_is_flagged(kind: str, strokes: Any, seen_by: Any) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        x, y = (seen_by(kind, strokes(rng, 60.0), 60.0, rng) for _ in range(2))
        found = compare(x, y)
        assert found.flagged
        assert "nothing in common" in found.reason
        assert "nothing in common" in str(found)


def test_a_part_that_fits_elsewhere_is_told() -> None:
    """Half of the recording is another take, too short for a jump to be sure of."""
    rng = np.random.default_rng(0)
    sound, t = room(rng, 80), np.arange(60 * RATE) / RATE
    lag = np.where((t > 26) & (t < 34), 3.0, 1.0)
    x, y = heard(sound, np.arange(75 * RATE) / RATE, rng, 0.3), heard(sound, t + lag, rng, 0.3)
    found = compare(x, y, tolerance=0.001)
    assert found.change_points or found.flagged


@pytest.mark.parametrize(("one", "other"), [(8000, 8000), (16000, 8000), (44100, 8000), (11025, 22050)])
def test_waveforms_at_any_two_rates(one: int, other: int) -> None:
    rng = np.random.default_rng(0)
    times = np.arange(6 * 44100) / 44100
    sound = np.convolve(rng.standard_normal(len(times)), np.sinc(np.arange(-40, 41) / 14) * np.hanning(81), "same")

    def device(rate: int, lag: float) -> Stream:
        at = np.arange(5 * rate) / rate + lag
        import soxr

        fine = soxr.resample(sound, 44100, 176400, quality="VHQ")
        return Stream.of(
            np.interp(at * 176400, np.arange(len(fine)), fine)[:, None].astype(np.float32), rate=rate, kind="waveform"
        )

    lags = waveform_lags(device(one, 0.0), device(other, 0.0123456), lambda t: 0 * t, 0.5, 8, 0.03)
    assert len(lags.times) >= 6
    assert np.abs(lags.lags - 0.0123456).max() < 3e-5
