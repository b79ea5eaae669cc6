"""The quality table: planted faults are found where they are, and clean signals are left in peace."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plait.cli import main
from plait.corpus.corpus import CorpusWriter
from plait.quality.check import check_corpus
from plait.quality.signals import Finding, quality_of, runs_of
from plait.readers import open_streams
from plait.streams.stream import ArraySource, Stream
from plait.transforms.noise import add_noise

RATE = 50.0


def series(n: int = 6000, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return np.sin(np.arange(n) / 9)[:, None] * [1, 2] + 0.2 * rng.normal(size=(n, 2))


def found(stream: Stream) -> dict[str, Finding]:
    return {f.what: f for f in quality_of(stream).findings}


def of(values: Any, rate: float = RATE, kind: str | None = None) -> dict[str, Finding]:
    return found(Stream.of(values, rate=rate, kind=kind))


def voice(n: int = 24000, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    size = rng.gamma(0.4, 1, n) * rng.choice([-1, 1], n)
    return (0.05 * size / size.std())[:, None].astype(np.float32)


def film(n: int = 60) -> Any:
    rng = np.random.default_rng(0)
    base = rng.integers(40, 200, (32, 48, 3))
    return np.stack([np.roll(base, i, 1) for i in range(n)]).astype(np.uint8)


def test_a_clean_signal_is_good() -> None:
    assert quality_of(Stream.of(series(), rate=RATE)).verdict == "good"
    assert quality_of(Stream.of(voice(), rate=8000, kind="waveform")).verdict == "good"
    assert quality_of(Stream.of(film(), rate=25)).verdict == "good"
    assert quality_of(Stream.of(series().reshape(2000, 2, 3), rate=25)).verdict == "good"
    assert quality_of(Stream.of(["a", "b"], times=[0.0, 1.0])).verdict == "good"


@pytest.mark.parametrize("kind", ["series", "waveform", "frames", "words", "pose"])
def test_an_empty_stream_is_no_trouble(kind: str) -> None:
    shapes = {"series": (0, 2), "waveform": (0, 1), "frames": (0, 4, 4, 3), "words": (0,), "pose": (0, 4, 3)}
    values = np.zeros(shapes[kind]).astype(str if kind == "words" else np.float32)
    assert all(not f.bad for f in quality_of(Stream.of(values, rate=10, kind=kind)).findings)


def test_faults_are_found_where_they_are_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x = series()
    x[1000:1500] = x[1000]
    x[2000:2150] = np.nan
    x[[3000, 3101, 3300, 3900, 4100, 4400, 4600], 1] += 30
    x[:, 0] = np.minimum(x[:, 0], 0.9)
    for size in (1 << 20, 777, 64):
        monkeypatch.setattr("plait.quality.signals.BLOCK", size)
        faults = of(x)
        assert faults["flat"].bad
        assert (faults["flat"].at, faults["flat"].seconds) == (20.0, 10.0)
        assert faults["flat"].value == pytest.approx(500 / 5850)
        assert faults["missing"].value == pytest.approx(150 / 6000)
        assert (faults["missing"].at, faults["missing"].seconds) == (40.0, 3.0)
        assert faults["spikes"].bad
        assert faults["spikes"].value == pytest.approx(7 / 12000)
        assert faults["spikes"].at in {60.0, 62.02, 66.0, 78.0, 82.0, 88.0, 92.0}
        assert faults["clipped"].value == pytest.approx((x[:, 0] == 0.9).sum() / 12000)
        assert faults["clipped"].channel == "0"


def test_a_coarse_sensor_is_not_stuck_and_a_switch_is_not_clipped() -> None:
    rng = np.random.default_rng(0)
    slow = np.round(rng.normal(0, 0.02, 15000).cumsum(), 1)[:, None]
    assert not of(slow, 4)["flat"].bad
    stuck = slow.copy()
    stuck[5000:5400] = stuck[5000]
    assert of(stuck, 4)["flat"].bad
    assert not of(rng.integers(0, 3, (5000, 1)).astype(float))["clipped"].bad
    calm = np.round(0.3 * rng.normal(size=(20000, 3)))
    assert not of(calm)["flat"].bad


def test_strokes_are_no_spikes() -> None:
    x = 0.1 * np.random.default_rng(0).normal(size=(6000, 1))
    x[100:6000:150] += 6
    x[101:6000:150] += 12
    x[102:6000:150] += 5
    assert not of(x)["spikes"].bad
    x[50:6000:400] += 12
    assert of(x)["spikes"].bad


def test_dropped_packets_and_jitter_show_in_the_clock() -> None:
    clean = Stream.of(series(2000), times=np.arange(2000) / RATE)
    assert not found(clean)["clock gaps"].bad
    lossy = add_noise(clean, {"name": "frame_drop", "to": "remove", "seconds": 1.0}, 0.1, 1)
    gaps = found(lossy)["clock gaps"]
    assert gaps.bad
    assert gaps.value == pytest.approx(0.1, abs=0.01)
    jitter = found(add_noise(clean, "jitter", 0.002, 1))["jitter"]
    assert jitter.value == pytest.approx(2**0.5 * 2, rel=0.15)
    twice = found(clean.on(type(clean.clock)(np.repeat(np.arange(1000), 2) / 25)))["same time twice"]
    assert twice.bad
    assert twice.value == pytest.approx(0.5, abs=0.01)


def test_sound_that_is_silent_holed_clipped_or_noisy() -> None:
    x = voice(80_000)
    silent = x.copy()
    silent[2000:78_000] *= 1e-4
    quiet = of(silent, 8000, "waveform")["silent"]
    assert quiet.bad
    assert quiet.value == pytest.approx(0.95, abs=0.01)
    assert quiet.at == pytest.approx(0.25, abs=0.06)
    holed = x.copy()
    holed[10_000:10_400] = 0
    hole = of(holed, 8000, "waveform")["holes"]
    assert hole.bad
    assert (hole.at, hole.seconds) == (1.25, 0.05)
    clipped = of(np.clip(x, -0.1, 0.1), 8000, "waveform")["clipped"]
    assert clipped.bad
    assert clipped.value == pytest.approx((np.abs(x) >= 0.1).mean(), rel=1e-3)
    assert of(np.clip(30 * x, -1, 1), 8000, "waveform")["clipped"].bad
    for level in (0.0, 10.0, 20.0):
        noisy = add_noise(Stream.of(x, rate=8000, kind="waveform"), "white", level, 1)
        assert found(noisy)["speech over noise"].value == pytest.approx(level, abs=1.5)
    noisy = add_noise(Stream.of(x, rate=8000, kind="waveform"), "white", 10.0, 1).read()
    whole = (2**15 * np.clip(noisy, -0.99, 0.99)).astype(np.int16)
    assert of(whole, 8000, "waveform")["speech over noise"].value == pytest.approx(10, abs=1.5)


def test_pictures_that_freeze_go_black_or_burn_out(monkeypatch: pytest.MonkeyPatch) -> None:
    x = film(100)
    x[10:30] = x[10]
    x[50:58] = 3
    x[70:74] = 255
    for size in (1 << 20, 32 * 48 * 3 * 7):
        monkeypatch.setattr("plait.quality.signals.BLOCK", size)
        faults = of(x, 25)
        assert [round(faults[k].value, 3) for k in ("black", "overexposed")] == [0.08, 0.04]
        assert faults["frozen"].value == pytest.approx((19 + 7 + 3) / 100)
        assert (faults["frozen"].at, faults["frozen"].seconds) == (0.44, 0.76)
        assert faults["black"].at == 2.0
    still = np.repeat(film(1), 50, 0)
    assert not of(still, 25)["frozen"].bad, "a picture that never moves is no film that froze"


def test_words_that_are_empty_or_overlap() -> None:
    stream = Stream.of(["a", " ", "c"], spans=([0.0, 0.5, 0.8], [0.4, 0.9, 1.0]))
    faults = found(stream)
    assert faults["empty"].value == pytest.approx(1 / 3)
    assert faults["empty"].at == 0.5
    assert faults["overlapping"].value == pytest.approx(1 / 2)


def test_runs() -> None:
    first, last = runs_of(np.array([], bool))
    assert len(first) == len(last) == 0
    assert [x.tolist() for x in runs_of(np.array([True, True]))] == [[0], [2]]


def test_findings_are_said_for_people() -> None:
    assert Finding("flat", 0.1234, bad=True, at=3.0, seconds=2.5).text == "flat 12.34 %, worst at 3.00 s for 2.5 s"
    assert Finding("spikes", 5e-5, bad=False).amount == "<0.01 %"
    assert Finding("jitter", 2.34567, bad=False, unit="ms").amount == "2.35 ms"


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    stuck = series()
    stuck[1000:2000] = stuck[1000]
    with CorpusWriter(tmp_path) as out:
        for name, values in (("good", series()), ("stuck", stuck)):
            out.add(name, {"imu": Stream.of(values, rate=RATE), "film": Stream.of(film(), rate=25)})
    return tmp_path / "manifest.jsonl"


def test_check_signals_warns_and_keeps_the_table(corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = check_corpus(corpus, signals=True)
    assert report.ok
    assert report.warnings == ["manifest.jsonl:2 'imu': flat 16.67 %, worst at 20.00 s for 20 s."]
    assert "signals" not in check_corpus(corpus).summary
    assert main(["check", str(corpus), "--signals"]) == 0
    text = capsys.readouterr().out
    assert "signals of imu: 1 of 2 good" in text
    assert "signals of film: 2 of 2 good" in text
    assert text.index("    stuck ") < text.index("    good  ")
    assert main(["check", str(corpus), "--signals", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["summary"]["signals"]
    assert [(r["recording"], r["stream"], r["verdict"] == "good") for r in rows] == [
        ("good", "imu", True),
        ("good", "film", True),
        ("stuck", "imu", False),
        ("stuck", "film", True),
    ]
    flat = next(f for f in rows[2]["findings"] if f["what"] == "flat")
    assert (flat["at"], flat["seconds"], flat["bad"]) == (20.0, 20.0, True)


def test_a_stream_that_breaks_off_stands_in_the_table(corpus: Path) -> None:
    array = corpus.parent / "arrays" / "stuck.imu.npy"
    array.write_bytes(array.read_bytes()[:3000])
    report = check_corpus(corpus, signals=True)
    rows = {(r["recording"], r["stream"]): r["verdict"] for r in report.summary["signals"]}
    assert "cannot be read" in rows["stuck", "imu"]
    assert rows["good", "imu"] == "good"


@pytest.mark.slow
def test_planted_faults_in_real_signals_and_no_false_alarms(real_data: Path) -> None:
    """Sound and pictures of GRID, wrist sensors of Stress-Predict (whose pulse is truly clipped)."""
    alarms, recalls = [], []
    for folder in sorted((real_data / "stress_predict" / "Raw_data").glob("S*"))[9:15]:
        for name, stream in open_streams(folder).items():
            if name not in ("acc", "eda", "temp", "hr"):
                continue
            stream = replace(stream, source=ArraySource(stream.read()))
            alarms += [f.bad for f in quality_of(stream).findings]
            values, n = np.array(stream.read(), np.float64), len(stream)
            stuck, spiky = values.copy(), values.copy()
            stuck[n // 3 : n // 3 + int(90 / (stream.clock.times[1] - stream.clock.times[0]))] = values[n // 3]
            spiky[250::500, 0] += 8 * values[:, 0].std()
            lossy = add_noise(stream, {"name": "dropout", "seconds": 5}, 0.03, 1).read()
            for what, made in (("flat", stuck), ("spikes", spiky), ("missing", lossy)):
                seen = found(replace(stream[: len(made)], source=ArraySource(made)))
                recalls.append(seen[what].bad)
    for file in sorted((real_data / "grid_s1" / "s1").glob("*.mp4"))[5::150]:
        for stream in open_streams(file).values():
            alarms += [f.bad for f in quality_of(stream).findings]
            if stream.kind == "frames":
                frozen = add_noise(stream, {"name": "frame_drop", "seconds": 0.3}, 0.2, 1)
                recalls.append(found(frozen)["frozen"].bad)
            else:
                recalls.append(found(add_noise(stream, "white", 3.0, 1))["speech over noise"].bad)
    assert len(alarms) > 100
    assert np.mean(alarms) <= 0.02
    assert np.mean(recalls) >= 0.95
