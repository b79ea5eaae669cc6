"""From manifest to corrected manifest, on real files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.clocks import ClockFix, synchronise, write_synced
from plait.clocks.report import _pictures, corrected_entry
from plait.clocks.truth import against_truth, recovery
from plait.core.errors import DataError
from plait.corpus.corpus import Corpus, CorpusWriter, RecordingEntry, StreamEntry, write_manifest
from plait.demo.synth import make_world
from plait.importing.folder import import_folder
from plait.streams.clock import Ticks


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Six short recordings, with every stream; in one the sensor lay on the table."""
    folder = tmp_path_factory.mktemp("world")
    truth = make_world(folder, recordings=6, seconds=40, missing=0.1, seed=21, idle=1)
    import_folder(folder)
    return folder, truth


@pytest.mark.slow
def test_planted_clocks_are_recovered_or_flagged(world: tuple[Path, dict[str, Any]]) -> None:
    folder, truth = world
    corpus = Corpus(folder / "manifest.jsonl")
    seen: list[tuple[int, int]] = []
    report = synchronise(corpus, progress=lambda done, of: seen.append((done, of)))
    result = recovery(against_truth(corpus, report, truth), len(corpus))
    idle = {i for i, r in truth["recordings"].items() if r["idle"]}
    assert seen[-1] == (6, 6)
    assert set(report.reference) == {"video", "audio"}
    assert {f.recording for f in report.fixes if not f.applied} == idle
    assert result["within"] == 5
    assert result["wrong_unflagged"] == 0
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["flagged"] == len(report.flagged)
    assert sum("FLAGGED" in line for line in report.lines()) == len(report.flagged)

    synced = Corpus(write_synced(corpus, report, folder / "synced.jsonl"))
    for row in against_truth(corpus, report, truth):
        name = "words" if row.device == "words" else "imu"
        before, after = (c[row.recording].streams[name].clock.times for c in (corpus, synced))
        want = before * (1 + row.planted_drift_ppm * 1e-6) + row.planted_offset
        if row.recording in idle and name == "imu":
            np.testing.assert_array_equal(before, after)
        else:
            assert np.abs(after - want).max() < 0.010
        note = synced.entries[corpus.ids.index(row.recording)].streams[name].sync
        assert note is not None
        assert note["applied"] is not (row.recording in idle and name == "imu")
    again = synchronise(synced)
    assert all(abs(f.offset) < 0.003 for f in again.applied)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [101])
def test_a_whole_world_is_recovered(tmp_path: Path, seed: int) -> None:
    truth = make_world(tmp_path, seed=seed, workers=2)
    import_folder(tmp_path)
    corpus = Corpus(tmp_path / "manifest.jsonl")
    result = recovery(against_truth(corpus, synchronise(corpus, workers=2), truth), len(corpus))
    assert result["share_within"] >= 0.95
    assert result["wrong_unflagged"] == 0


seconds = st.floats(-1e4, 1e4)
ppm = st.floats(-500, 500)


@given(seconds, seconds, ppm, seconds, ppm, seconds)
def test_a_correction_acts_on_the_corrected_clock(
    origin: float, offset: float, drift: float, more: float, more_drift: float, t: float
) -> None:
    entry = StreamEntry(path="a.csv", origin=origin, offset=offset, drift_ppm=round(drift, 3))
    fix = ClockFix("r", "a", ("a",), "ref", offset=more, drift_ppm=round(more_drift, 3), applied=True)
    got = corrected_entry(entry, fix)
    first = Ticks([t]).corrected(entry.offset, entry.drift_ppm, entry.origin)
    want = first.corrected(fix.offset, fix.drift_ppm).times[0]
    have = Ticks([t]).corrected(got.offset, got.drift_ppm, got.origin).times[0]
    assert abs(want - have) < 2e-5
    left = corrected_entry(entry, ClockFix("r", "a", ("a",), "ref", reason="why"))
    assert (left.origin, left.offset, left.drift_ppm) == (entry.origin, entry.offset, entry.drift_ppm)
    assert left.sync is not None
    assert left.sync["reason"] == "why"
    assert left.sync["offset"] is None


def _written(folder: Path, strokes: Any, seen_by: Any) -> Corpus:
    rng = np.random.default_rng(0)
    with CorpusWriter(folder) as out:
        for i in range(3):
            at = strokes(rng, 40.0)
            streams = {"left": seen_by("series", at, 40.0, rng), "right": seen_by("series", at - 0.5, 40.0, rng)}
            if i == 2:
                del streams["left"]
                streams["other"] = seen_by("pose", at, 40.0, rng)
            out.add(f"r{i}", streams)
    return Corpus(folder / "manifest.jsonl")


def test_the_reference_is_the_commonest_device_or_the_one_named(tmp_path: Path, strokes: Any, seen_by: Any) -> None:
    corpus = _written(tmp_path, strokes, seen_by)
    report = synchronise(corpus)
    assert report.reference == ("right",)
    assert [round(f.offset, 2) for f in report.fixes] == [-0.5, -0.5, -0.5]
    named = synchronise(corpus, reference="left")
    assert [f.offset == pytest.approx(0.5, abs=0.005) for f in named.fixes[:2]] == [True, True]
    assert [f.recording for f in named.flagged] == ["r2", "r2"]
    assert "missing" in named.flagged[0].reason
    with pytest.raises(DataError, match="Did you mean 'left'"):
        synchronise(corpus, reference="lefd")


def test_with_a_joint_reference_every_recording_has_its_own(tmp_path: Path, strokes: Any, seen_by: Any) -> None:
    corpus = _written(tmp_path, strokes, seen_by)
    report = synchronise(corpus, reference="joint")
    assert report.reference == ("joint",)
    assert [f.recording for f in report.applied] == ["r0", "r1", "r2"]
    assert {f.reference for f in report.fixes} <= {"left", "right", "other"}
    assert all(abs(f.offset) == pytest.approx(0.5, abs=0.005) for f in report.fixes)
    (tmp_path / "arrays" / "r0.left.npy").unlink()
    (lost,) = synchronise(Corpus(corpus.path), reference="joint").flagged
    assert (lost.recording, lost.device) == ("r0", "left")


def test_a_file_that_cannot_be_read_costs_nothing_but_itself(tmp_path: Path, strokes: Any, seen_by: Any) -> None:
    corpus = _written(tmp_path, strokes, seen_by)
    (tmp_path / "arrays" / "r0.left.npy").write_bytes(b"no array")
    (tmp_path / "arrays" / "r1.right.npy").unlink()
    report = synchronise(Corpus(corpus.path))
    assert {(f.recording, f.device) for f in report.flagged} == {("r0", "left"), ("r1", "left"), ("r1", "right")}
    assert len(report.applied) == 1


def test_a_manifest_elsewhere_or_of_another_corpus_is_refused(tmp_path: Path) -> None:
    write_manifest(tmp_path / "a.jsonl", [RecordingEntry(id="a")])
    write_manifest(tmp_path / "b.jsonl", [RecordingEntry(id="b")])
    one, two = Corpus(tmp_path / "a.jsonl"), Corpus(tmp_path / "b.jsonl")
    report = synchronise(one)
    with pytest.raises(DataError, match="beside it"):
        write_synced(one, report, tmp_path / "sub" / "x.jsonl")
    bad = type(report)(("x",), (ClockFix("zzz", "a", ("a",), "x"),), 1)
    with pytest.raises(DataError, match="another corpus"):
        write_synced(two, bad, tmp_path / "x.jsonl")


@pytest.mark.slow
def test_real_speech_by_two_recorders(real_data: Path) -> None:
    """Two minutes of GRID: a second recorder, off by seconds and ppm and noisy, is found within 10 ms."""
    from plait.clocks.estimate import solve
    from plait.clocks.link import Limits
    from plait.readers import open_streams
    from plait.streams.stream import Stream

    clips = sorted((real_data / "grid_s1").rglob("*.mp4"))[:40]
    if not clips:
        pytest.skip("no GRID clips in PLAIT_DATA")
    sounds = [next(s for s in open_streams(c).values() if s.kind == "waveform") for c in clips]
    rate = float(sounds[0].clock.rate)
    voice = np.concatenate([s.read().mean(axis=1) for s in sounds])
    t = np.arange(len(voice)) / rate
    rng = np.random.default_rng(0)
    other = np.interp(t * (1 + 300e-6) - 1.7, t, voice, left=0, right=0)
    other += rng.normal(0, 0.3 * voice.std(), len(voice))
    a, b = (Stream.of(v[:, None].astype(np.float32), rate=rate, kind="waveform") for v in (voice, other))
    (fix,) = solve("grid", {"a": {"near": a}, "b": {"far": b}}, "a", Limits())
    assert fix.applied
    assert abs(fix.offset + 1.7) < 0.005
    assert abs(fix.offset + fix.drift_ppm * 1e-6 * t[-1] - (-1.7 + 300e-6 * t[-1])) < 0.010


def test_each_recording_has_a_picture_of_its_own(tmp_path: Path) -> None:
    entries = [RecordingEntry(id=id) for id in ("a/b", "a_b", "A_b", "x" * 300, "x" * 301)]
    assert len({path.name.lower() for path in _pictures(entries, tmp_path)}) == len(entries)
