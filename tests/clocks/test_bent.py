"""Bent clocks and lost samples, from links to the corrected manifest, in words and in pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.cli import main
from plait.clocks import ClockFix, SyncReport, estimate, synchronise, write_synced
from plait.clocks.drift import Curve
from plait.clocks.link import Link
from plait.clocks.offset import Lags
from plait.clocks.report import corrected_entry
from plait.clocks.truth import against_truth
from plait.corpus.corpus import Corpus, CorpusWriter, StreamEntry
from plait.streams.clock import Ticks
from plait.streams.warp import Warp, Warped

SECONDS = 120.0
KNOTS = ((0.0, 0.5), (40.0, 0.51), (70.0, 0.505), (70.0, 0.565), (120.0, 0.575))
"""Of the sensor: bent at 40 s, and three samples (at 50 a second) lost at 70 s."""


def lag_at(t: np.ndarray) -> np.ndarray:
    at, lag = np.array(KNOTS).T
    return np.where(t < 70, np.interp(t, at[:3], lag[:3]), np.interp(t, at[3:], lag[3:]))


def told(a: str, b: str, rng: np.random.Generator) -> Link:
    """What an estimator would say of the sensor against the others, and of the words against the sound."""
    t = np.linspace(4, 116, 29)
    covariance = np.diag([1e-6, 1e-10])
    if "imu" not in (a, b):
        lags = Lags(t, 1.0 + 0 * t, np.ones(29), f"{a}~{b}")
        return Link(a, b, Curve(1.0, 0.0, 60.0, covariance, 1e-3, 1.0, 29), 0.9999, 0.001, (lags.pair,), (lags,))
    knots = KNOTS if a == "sound" else tuple((k, lag - 1.0) for k, lag in KNOTS)
    change_points = ((70.0, 0.06),)
    curve = Curve(knots[0][1], 6e-4, 60.0, covariance, 1e-3, 1.0, 29, knots, change_points, (0.001,) * 5)
    curve = curve if b == "imu" else curve.turned()
    noisy = curve.at(t) + rng.normal(0, 1e-3, 29)
    lags = Lags(t, noisy, rng.uniform(0.2, 1, 29), f"{a}~{b}")
    return Link(a, b, curve, 0.999, 0.001, (lags.pair,), (lags,))


@pytest.fixture
def corpus(tmp_path: Path, strokes: Any, seen_by: Any, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """Sound, words one second late, and a sensor whose clock is bent; links are as `told`."""
    rng = np.random.default_rng(0)
    at = strokes(rng, SECONDS)
    own = np.array([float(Warp(KNOTS).back(float(x))) for x in at])
    with CorpusWriter(tmp_path) as out:
        streams = {"sound": seen_by("waveform", at, SECONDS, rng), "words": seen_by("words", at - 1.0, SECONDS, rng)}
        streams["imu"] = seen_by("pose", own, SECONDS, rng)
        out.add("walk", streams)

    def link(a: str, _: Any, b: str, __: Any, ___: Any) -> Link:
        return told(a, b, rng)

    monkeypatch.setattr(estimate, "link", link)
    return Corpus(tmp_path / "manifest.jsonl")


def test_the_manifest_bends_the_clock_back(corpus: Corpus) -> None:
    report = synchronise(corpus, reference="sound")
    fix = report.of("walk", "imu")
    assert fix is not None
    assert fix.applied, fix.reason
    assert fix.change_points == ((70.0, pytest.approx(0.06, abs=2e-3)),)
    lines = "\n".join(report.lines())
    assert "3 samples lost at 70.0 s: 60 ms" in lines
    assert "bent by up to" in lines
    assert "walk  loop " in lines
    said = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert len(said["fixes"][1]["knots"]) >= 5
    assert abs(said["consistency"][0]["loops"][0]["closing_ms"][1]) < 1

    synced = Corpus(write_synced(corpus, report, corpus.folder / "synced.jsonl"))
    clock = synced["walk"].streams["imu"].clock
    assert isinstance(clock, Warped)
    own = corpus["walk"].streams["imu"].clock.times
    off = np.abs(clock.times - own - lag_at(own))
    assert off[np.abs(own - 70) > 0.1].max() < 2e-3
    entry = synced.entry("walk").streams["imu"]
    assert entry.sync is not None
    assert entry.sync["change_points"] == [[70.0, fix.change_points[0][1]]]
    assert synced.entry("walk").streams["words"].warp is None
    truth = {"offset": 0.0, "drift_ppm": 0.0, "warp": KNOTS, "file": corpus.entry("walk").streams["imu"].path}
    (row,) = against_truth(corpus, report, {"recordings": {"walk": {"devices": {"imu": truth}, "seconds": SECONDS}}})
    assert row.before_ms == pytest.approx(575, abs=1)
    assert row.worst_ms < 2


@pytest.mark.slow
def test_pictures_of_every_recording(corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    folder = corpus.folder / "pictures"
    argv = ["sync", str(corpus.path), "--reference", "sound", "--plot", str(folder)]
    assert main(argv) == 0
    assert "3 samples lost" in capsys.readouterr().out
    picture = (folder / "walk.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) > 20_000
    assert main([*argv[:2], "--reference", "joint", "--plot", str(folder), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {f["reference"] for f in said["fixes"]} == {"sound"}


@pytest.mark.slow
def test_a_flagged_device_is_drawn_too(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    unsure = estimate.link
    monkeypatch.setattr(estimate, "link", lambda *args: replace(unsure(*args), confidence=0.3))
    report = synchronise(corpus, plot=corpus.folder)
    assert len(report.flagged) == 2
    assert (corpus.folder / "walk.png").stat().st_size > 20_000
    assert report.consistency == ()


knots = st.lists(st.tuples(st.floats(1, 30), st.floats(-0.2, 0.2)), min_size=2, max_size=6)


@settings(max_examples=60)
@given(knots, knots, st.floats(-5, 5), st.floats(-200, 200), st.floats(-1e3, 1e3))
def test_a_correction_acts_on_the_bent_clock(
    had: list[tuple[float, float]], found: list[tuple[float, float]], offset: float, drift: float, origin: float
) -> None:
    drift = round(drift, 3)
    warp = list(zip(np.cumsum([t for t, _ in had]).tolist(), [add for _, add in had]))
    more = tuple(zip(np.cumsum([t for t, _ in found]).tolist(), [add for _, add in found]))
    entry = StreamEntry(path="a.csv", origin=origin, offset=offset, drift_ppm=drift, warp=warp)
    fix = ClockFix("r", "a", ("a",), "ref", offset=-drift / 100, drift_ppm=drift, knots=more, applied=True)
    t = origin + np.linspace(-20, 190, 400)
    got, first = corrected_entry(entry, fix).correct(Ticks(t)).times, entry.correct(Ticks(t)).times
    assert np.abs(got - fix.seconds(first)).max() < 1e-4
    inside = (first > more[0][0]) & (first < more[-1][0])
    np.testing.assert_allclose(fix.seconds(first)[inside], first[inside] + np.interp(first, *zip(*more))[inside])


def test_a_clock_that_the_reference_bends_says_whose_samples_are_lost() -> None:
    fix = ClockFix(
        "r", "imu", ("imu",), "sound", offset=0.0, drift_ppm=0.0, rate=50.0, change_points=((5.0, -0.04), (9.0, 0.02))
    )
    lines = SyncReport(("sound",), (fix,), 1).lines()
    assert "samples of sound lost at 5.0 s: 40 ms" in lines[1]
    assert "1 sample lost at 9.0 s: 20 ms" in lines[2]
