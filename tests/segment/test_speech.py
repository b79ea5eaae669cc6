"""Speech: two detectors, causal, the same in pieces; against planted truth, the published network and real voices."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soxr

from plait.core.errors import ConfigError, DataError
from plait.readers import open_streams
from plait.segment import speech as speech_module
from plait.segment.silero import STEP, Silero
from plait.segment.speech import find_speech, speech_probability
from plait.streams.stream import Stream

SPOKEN = [(0.8, 1.6), (2.3, 3.4), (4.0, 4.3), (5.1, 6.2)]


def voice(rate: int, seconds: float = 7.0, level: float = 0.2) -> np.ndarray:
    """Made-up vowels at `SPOKEN`: harmonics of a gliding pitch under two resonances, four syllables a second."""
    t = np.arange(int(seconds * rate)) / rate
    pitch = 130 + 30 * np.sin(2 * np.pi * 1.3 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    sound = sum(
        np.sin(k * phase) / (1 + ((k * 120 - 500) / 300) ** 2 + ((k * 120 - 1500) / 800) ** 2 / 4) for k in range(1, 24)
    )
    shape = sum(np.clip((t - a) / 0.03, 0, 1) * np.clip((b - t) / 0.03, 0, 1) for a, b in SPOKEN)
    return level * sound * shape * (0.75 + 0.25 * np.cos(2 * np.pi * 4 * t))


def noisy(sound: np.ndarray, spoken: list[tuple[float, float]], rate: int, db: float | None, seed: int) -> np.ndarray:
    if db is None:
        return sound.astype(np.float32)
    power = np.mean(np.concatenate([sound[int(a * rate) : int(b * rate)] for a, b in spoken]) ** 2)
    rng = np.random.default_rng(seed)
    return (sound + rng.standard_normal(len(sound)) * np.sqrt(power / 10 ** (db / 10))).astype(np.float32)


def frames(spans: list[tuple[float, float]], seconds: float) -> np.ndarray:
    t = (np.arange(int(seconds * 100)) + 0.5) / 100
    return np.logical_or.reduce([(t >= a) & (t < b) for a, b in spans] + [np.zeros(len(t), bool)])


def f1(found: np.ndarray, truth: np.ndarray) -> float:
    return 2 * float((found & truth).sum()) / max(float(found.sum() + truth.sum()), 1.0)


def sound(values: np.ndarray, rate: int, start: float = 0.0) -> Stream:
    return Stream.of(values.astype(np.float32), rate=rate, start=start, kind="waveform")


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("db", [None, 10.0, 0.0])
def test_planted_vowels_are_found(rate: int, db: float | None) -> None:
    quiet = voice(rate) + 1e-4 * np.random.default_rng(1).standard_normal(7 * rate)
    stream = sound(noisy(quiet, SPOKEN, rate, db, 2), rate, start=50.0)
    found = [(a - 50, b - 50) for a, b in find_speech(stream)]
    assert f1(frames(found, 7), frames(SPOKEN, 7)) > (0.8 if db == 0 else 0.9)
    if db is None:
        assert len(found) == 4
        assert np.abs(np.array(found) - SPOKEN).max() < 0.15


def test_silence_and_steady_sounds_are_no_speech() -> None:
    rng = np.random.default_rng(0)
    hum = 0.1 * np.sin(2 * np.pi * 50 * np.arange(64000) / 16000) + 0.01 * rng.standard_normal(64000)
    for values in (np.zeros(64000), 0.01 * rng.standard_normal(64000), hum):
        assert sum(b - a for a, b in find_speech(sound(values, 16000))) < 0.3
    assert find_speech(sound(np.zeros(0), 16000)) == []


def test_the_future_changes_nothing_and_pieces_make_one(monkeypatch: pytest.MonkeyPatch) -> None:
    values = noisy(voice(16000), SPOKEN, 16000, 15.0, 3)
    for method in ("energy", "silero"):
        whole, clock = speech_probability(sound(values, 16000), method=method)
        changed = values.copy()
        changed[48000:] = 0.5
        other, _ = speech_probability(sound(changed, 16000), method=method)
        past = clock.times < 3.0 - 0.5 / float(clock.rate) - 0.016
        assert np.array_equal(other[past], whole[past])
        assert not np.allclose(other, whole)
        monkeypatch.setattr(speech_module, "BLOCK", 7001)
        pieces, _ = speech_probability(sound(values, 16000), method=method)
        monkeypatch.undo()
        assert pieces == pytest.approx(whole, abs=1e-5)


def test_channels_gaps_and_other_clocks() -> None:
    values = noisy(voice(16000), SPOKEN, 16000, None, 0)
    one = find_speech(sound(values, 16000))
    assert np.allclose(find_speech(sound(np.stack([values * 2, np.zeros_like(values)], 1), 16000)), one)
    holes = values.copy()
    holes[int(1.8 * 16000) : int(2.1 * 16000)] = np.nan
    assert np.allclose(find_speech(sound(holes, 16000)), one, atol=0.03)
    stream = sound(values, 16000)
    slow = stream.on(stream.clock.corrected(offset=5.0, drift_ppm=1000.0))
    moved = [(a * 1.001 + 5, b * 1.001 + 5) for a, b in one]
    assert np.allclose(find_speech(slow), moved, atol=1e-3)


def test_what_cannot_be_heard_is_said() -> None:
    with pytest.raises(ConfigError, match=r"no method 'sliero'\. Did you mean 'silero'"):
        find_speech(sound(np.zeros(100), 16000), method="sliero")
    with pytest.raises(DataError, match="speech needs sound"):
        find_speech(Stream.of(np.zeros((9, 1)), rate=16000))
    with pytest.raises(DataError, match="2000 samples per second"):
        find_speech(sound(np.zeros(100), 2000))
    with pytest.raises(ConfigError, match="expected 0 to 1"):
        find_speech(sound(np.zeros(100), 16000), threshold=1.5)


def test_silero_equals_its_own_graph() -> None:
    runtime = pytest.importorskip("onnxruntime")
    spec = importlib.util.find_spec("silero_vad")
    assert spec is not None
    assert spec.origin is not None
    graph = runtime.InferenceSession(str(Path(spec.origin).parent / "data/silero_vad_16k_op15.onnx"))
    values = noisy(voice(16000), SPOKEN, 16000, 20.0, 0)[: 100 * STEP]
    state, before, want = np.zeros((2, 1, 128), np.float32), np.zeros(64, np.float32), []
    for i in range(0, len(values), STEP):
        piece = np.concatenate([before, values[i : i + STEP]])[None]
        out, state = graph.run(None, {"input": piece, "state": state, "sr": np.array(16000)})
        want.append(out[0, 0])
        before = values[i + STEP - 64 : i + STEP]
    assert Silero()(values) == pytest.approx(np.array(want), abs=1e-5)
    assert max(want) > 0.5


def test_silero_hears_other_rates_as_soxr_gives_them() -> None:
    values = noisy(voice(44100), SPOKEN, 44100, 20.0, 0)
    got, clock = speech_probability(sound(values, 44100), method="silero")
    same = soxr.resample(values, 44100, 16000)
    want = Silero()(same[: len(same) // STEP * STEP])
    assert got[: len(want)] == pytest.approx(want, abs=1e-3)
    assert float(clock.rate) == pytest.approx(31.25)


def test_speech_needs_no_torch() -> None:
    code = (
        "import sys, numpy as np; from plait.streams.stream import Stream;"
        "from plait.segment.speech import find_speech;"
        "find_speech(Stream.of(np.zeros(9000, np.float32), rate=16000, kind='waveform'), method='silero');"
        "print([m for m in ('torch', 'onnxruntime', 'silero_vad') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["energy", "silero"])
def test_real_sentences(method: str, real_data: Path) -> None:
    """GRID: where its alignments say words, clean and in white noise."""
    clips = sorted((real_data / "grid_s1/s1").glob("*.mp4"))[5::90]
    values, truth, at = [], list[tuple[float, float]](), 0.0
    for clip in clips:
        one = open_streams(clip)["audio"].read()[:, 0]
        lines = (real_data / f"grid_s1/align/s1/{clip.stem}.align").read_text().split("\n")
        rows = [line.split() for line in lines if line.strip()]
        truth += [(at + int(a) / 25000, at + int(b) / 25000) for a, b, word in rows if word not in ("sil", "sp")]
        values.append(one)
        at += len(one) / 16000
    whole = np.concatenate(values)
    for db, least in ((None, 0.93), (10.0, 0.92), (0.0, 0.9)):
        found = find_speech(sound(noisy(whole, truth, 16000, db, 1), 16000), method=method)
        assert f1(frames(found, at), frames(truth, at)) > least, db
