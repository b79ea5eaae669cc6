"""Log-mel and MFCC against librosa. Its first call compiles for many seconds, hence slow."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from plait.features.mel import mel_filters
from plait.features.spectral import LogMel, Mfcc
from plait.streams.stream import Stream

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture(scope="module")
def librosa() -> Any:
    return pytest.importorskip("librosa")


def speechlike(seconds: float, rate: int = 16000) -> np.ndarray:
    rng = np.random.default_rng(0)
    t = np.arange(int(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * (200 * t + 40 * np.sin(3 * t))) * (1 + np.sin(2 * np.pi * 2 * t))
    return (0.2 * tone + 0.02 * rng.normal(size=len(t))).astype(np.float32)


def padded(wave: np.ndarray, window: int, fft: int) -> np.ndarray:
    """librosa puts the window in the middle of the spectrum's frame; so shift the sound by what is before it."""
    return np.pad(wave, (fft - window) // 2)


@pytest.mark.parametrize("htk", [False, True])
@pytest.mark.parametrize(("mels", "low", "high"), [(40, 0.0, None), (26, 80.0, 7600.0)])
def test_filters_equal_librosas(librosa: Any, htk: bool, mels: int, low: float, high: float | None) -> None:
    ours = mel_filters(16000, 512, mels, low, high or 8000.0, htk)
    theirs = librosa.filters.mel(sr=16000, n_fft=512, n_mels=mels, fmin=low, fmax=high, htk=htk)
    np.testing.assert_allclose(ours.T, theirs, atol=1e-6)


@pytest.mark.parametrize("htk", [False, True])
def test_log_mel_equals_librosas(librosa: Any, htk: bool) -> None:
    wave = speechlike(2.0)
    ours, _ = LogMel(floor=1e-10, htk=htk)(Stream.of(wave, rate=16000, kind="waveform"))
    theirs = librosa.feature.melspectrogram(
        y=padded(wave, 400, 512), sr=16000, n_fft=512, win_length=400, hop_length=160, n_mels=40, center=False, htk=htk
    )
    assert ours.shape == theirs.T.shape
    np.testing.assert_allclose(ours, np.log(np.maximum(theirs.T, 1e-10)), atol=1e-4)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_mfcc_and_its_deltas_equal_librosas(librosa: Any, rate: int) -> None:
    wave = speechlike(2.0, rate)
    window, hop, fft = round(0.025 * rate), round(0.01 * rate), 512 if rate == 16000 else 2048
    ours, _ = Mfcc(n=13, deltas=2, rate=rate)(Stream.of(wave, rate=rate, kind="waveform"))
    power = librosa.feature.melspectrogram(
        y=padded(wave, window, fft), sr=rate, n_fft=fft, win_length=window, hop_length=hop, n_mels=40, center=False
    )
    theirs = librosa.feature.mfcc(S=librosa.power_to_db(power, top_db=None), n_mfcc=13)
    changes = [librosa.feature.delta(theirs, order=k, mode="nearest") for k in (1, 2)]
    np.testing.assert_allclose(ours, np.concatenate([theirs, *changes]).T, atol=1e-4)
