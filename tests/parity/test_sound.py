"""Chroma, spectral shape and energy against librosa. Its first call compiles for many seconds, hence slow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from plait.features.chroma import Chroma, chroma_filters
from plait.features.energy import Energy, a_weights
from plait.features.pitch import Pitch
from plait.features.shape import SpectralShape
from plait.streams.stream import Stream

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

WAYS = [{"rate": 16000, "window": 0.032, "hop": 0.01}, {"rate": 44100, "window": 2048 / 44100, "hop": 512 / 44100}]


@pytest.fixture(scope="module")
def librosa() -> Any:
    return pytest.importorskip("librosa")


@pytest.fixture(params=WAYS, ids=["16k", "44k"])
def way(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


def speechlike(rate: int, seconds: float = 2.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    t = np.arange(int(seconds * rate)) / rate
    tone = sum(np.sin(2 * np.pi * k * (200 * t + 40 * np.sin(3 * t))) / k for k in (1, 2, 3, 7))
    wave = 0.2 * tone * (1 + np.sin(2 * np.pi * 2 * t)) + 0.02 * rng.normal(size=len(t))
    wave[rate // 2 : rate // 2 + 4096] = 0  # silence too
    return wave.astype(np.float32)


def stream(wave: np.ndarray, rate: int) -> Stream:
    return Stream.of(wave, rate=rate, kind="waveform")


def lengths(way: dict[str, Any]) -> dict[str, Any]:
    size, hop = round(way["window"] * way["rate"]), round(way["hop"] * way["rate"])
    return {"n_fft": size, "hop_length": hop, "center": False}


def test_chroma_equals_librosas(librosa: Any, way: dict[str, Any]) -> None:
    for tuning in (0.0, 0.3):
        wave = speechlike(way["rate"])
        ours, _ = Chroma(**way, tuning=tuning)(stream(wave, way["rate"]))
        theirs = librosa.feature.chroma_stft(y=wave, sr=way["rate"], tuning=tuning, **lengths(way))
        np.testing.assert_allclose(ours, theirs.T, atol=1e-4)


@pytest.mark.parametrize("tones", [12, 24, 36])
def test_chroma_filters_equal_librosas(librosa: Any, tones: int) -> None:
    theirs = librosa.filters.chroma(sr=22050, n_fft=4096, n_chroma=tones, tuning=-0.2)
    np.testing.assert_allclose(chroma_filters(22050, 4096, tones, -0.2).T, theirs, atol=1e-6)


def test_shape_equals_librosas(librosa: Any, way: dict[str, Any]) -> None:
    wave, rate, own = speechlike(way["rate"]), way["rate"], lengths(way)
    ours, _ = SpectralShape(**way)(stream(wave, rate))
    of = librosa.feature
    theirs = [
        of.spectral_centroid(y=wave, sr=rate, **own),
        of.spectral_bandwidth(S=np.abs(librosa.stft(wave, **own)), sr=rate),
        of.spectral_rolloff(y=wave, sr=rate, **own),
        of.spectral_flatness(y=wave, **own),
        of.zero_crossing_rate(wave, frame_length=own["n_fft"], hop_length=own["hop_length"], center=False),
    ]
    for column, (mine, their) in enumerate(zip(ours.T, theirs)):
        np.testing.assert_allclose(mine, their[0], rtol=1e-4, atol=1e-4, err_msg=str(column))


def test_contrast_equals_librosas(librosa: Any, way: dict[str, Any]) -> None:
    wave, rate = speechlike(way["rate"]) + np.float32(1e-3), way["rate"]
    wave += 1e-3 * np.random.default_rng(1).normal(size=len(wave)).astype(np.float32)  # top_db is ours to leave out
    octaves = 5 if rate == 16000 else 6
    ours, _ = SpectralShape(contrast=octaves, **way)(stream(wave, rate))
    theirs = librosa.feature.spectral_contrast(y=wave, sr=rate, n_bands=octaves, **lengths(way))
    np.testing.assert_allclose(ours[:, 5:], theirs.T, rtol=1e-4)


def test_energy_equals_librosas(librosa: Any, way: dict[str, Any]) -> None:
    wave, own = speechlike(way["rate"]), lengths(way)
    ours, _ = Energy(**way, unit="rms")(stream(wave, way["rate"]))
    theirs = librosa.feature.rms(y=wave, frame_length=own["n_fft"], hop_length=own["hop_length"], center=False)
    np.testing.assert_allclose(ours[:, 0], theirs[0], atol=1e-6)


def test_the_a_curve_equals_librosas(librosa: Any) -> None:
    hz = np.geomspace(20, 20000, 50)
    np.testing.assert_allclose(10 * np.log10(a_weights(hz)), librosa.A_weighting(hz, min_db=None), atol=0.01)


@pytest.mark.parametrize("deepest", [-1.0, 1.0])
def test_pitch_agrees_with_librosas(librosa: Any, deepest: float) -> None:
    """Of one voice in noise: nearly the same windows have a pitch, and the same one to a few cents."""
    t = np.arange(3 * 16000) / 16000
    pitch = 150 + deepest * 60 * np.sin(2 * np.pi * 0.8 * t)
    wave = 0.1 * sum(np.sin(2 * np.pi * k * np.cumsum(pitch) / 16000) / k for k in range(1, 8))
    wave = wave * (np.sin(2 * np.pi * 1.3 * t) > -0.3) + 0.01 * np.random.default_rng(0).normal(size=len(t))
    for track in (True, False):
        feature = Pitch(track=track, unit="hz", window=1024 / 16000 - 268 / 16000, low=60, high=500)
        ours = feature(stream(wave.astype(np.float32), 16000))[0][:, 0]
        own = {"fmin": 60, "fmax": 500, "sr": 16000, "frame_length": 1024, "hop_length": 160, "center": False}
        theirs = librosa.pyin(wave, **own)[0] if track else librosa.yin(wave, **own)
        assert len(ours) == len(theirs)
        both = ~np.isnan(ours) & ~np.isnan(theirs)
        cents = np.abs(1200 * np.log2(ours[both] / theirs[both]))
        assert np.median(cents) < 5
        assert (cents < 30).mean() > 0.97
        if track:
            assert (np.isnan(ours) == np.isnan(theirs)).mean() > 0.93
