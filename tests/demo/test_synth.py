"""The made-up world: files by convention, a truth that holds, and nothing in the labels that gives it away."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from plait.core.errors import DataError
from plait.corpus.corpus import Corpus
from plait.demo.synth import make_world
from plait.importing.folder import import_folder


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    make_world(folder, recordings=6, seconds=12, seed=4)
    import_folder(folder)
    return folder


@pytest.mark.slow
def test_the_import_finds_every_stream_that_there_is_and_no_other(world: Path) -> None:
    truth = json.loads((world / "truth.json").read_text())["recordings"]
    corpus = Corpus(world / "manifest.jsonl")
    assert corpus.ids == list(truth)
    for recording in corpus:
        assert sorted(recording.streams) == truth[recording.id]["streams"]
        assert recording.group
        assert recording.annotations


def test_streams_last_as_long_as_asked(world: Path) -> None:
    for recording in Corpus(world / "manifest.jsonl"):
        for name in set(recording.streams) - {"words"}:
            clock = recording.streams[name].clock
            assert abs(clock.stop - 12) < 0.1, (recording.id, name)
            assert abs(clock.start) < 0.05


def test_the_planted_map_puts_words_into_the_labelled_gestures(world: Path) -> None:
    truth = json.loads((world / "truth.json").read_text())["recordings"]
    inside = total = 0
    for recording in Corpus(world / "manifest.jsonl"):
        planted = truth[recording.id]["devices"].get("words")
        if planted is None:
            continue
        clock = recording.streams["words"].clock.corrected(planted["offset"], planted["drift_ppm"])
        lo = min(a.start for a in recording.annotations)
        hi = max(a.stop for a in recording.annotations)
        starts = clock.starts[(clock.starts > lo) & (clock.starts < hi)]
        inside += sum(any(a.start < s < a.stop for a in recording.annotations) for s in starts)
        total += len(starts)
    assert total > 20
    assert inside / total > 0.85


def test_the_same_seed_makes_the_same_world_and_another_seed_another(tmp_path: Path) -> None:
    first, second, other = (
        make_world(tmp_path / name, recordings=2, seconds=5, seed=seed) for name, seed in zip("abc", (1, 1, 2))
    )
    assert first == second != other
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


@pytest.mark.slow
def test_more_workers_make_the_same_world(tmp_path: Path) -> None:
    assert make_world(tmp_path / "a", recordings=3, seconds=5) == make_world(
        tmp_path / "b", recordings=3, seconds=5, workers=2
    )
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes(), file.name


@pytest.mark.slow
def test_about_a_fifth_is_missing_but_never_picture_and_sound(tmp_path: Path) -> None:
    truth = make_world(tmp_path, recordings=120, seconds=0.5, missing=0.2)["recordings"]
    present = [set(r["streams"]) for r in truth.values()]
    share = 1 - sum(map(len, present)) / (4 * len(present))
    assert 0.13 < share < 0.25
    assert all(p & {"video", "audio"} for p in present)
    assert sum(bool(r["idle"]) for r in truth.values()) == 4
    offsets = [d["offset"] for r in truth.values() for n, d in r["devices"].items() if n != "camera"]
    drifts = [d["drift_ppm"] for r in truth.values() for n, d in r["devices"].items() if n != "camera"]
    assert 2 < np.abs(offsets).max() <= 4.01
    assert 200 < np.abs(drifts).max() <= 401


def test_labels_say_only_what_the_columns_promise(world: Path) -> None:
    with open(world / "labels.csv", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["recording", "start", "stop", "label", "speaker"]
    assert all(1.0 <= float(r["stop"]) - float(r["start"]) <= 1.52 for r in rows)


@pytest.mark.parametrize("wrong", [{"recordings": 0}, {"seconds": 0}, {"missing": 1.0}, {"missing": -0.1}])
def test_numbers_out_of_range_are_refused(tmp_path: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(DataError, match="expected at least 1"):
        make_world(tmp_path, **wrong)  # type: ignore[arg-type]
