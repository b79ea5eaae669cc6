from __future__ import annotations

import json
import time
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from plait.corpus.corpus import Corpus
from plait.importing.folder import import_files, import_folder
from plait.importing.naming import names_of

PEOPLE = ["ada.king", "alan.turing", "emmy.noether", "ada.turing", "emmy.king", "kurt.goedel"]

CASES: dict[str, tuple[list[str], set[tuple[str, str]]]] = {
    "dates": (["2024.01.05 visit.mp4", "2024.01.07 visit.mp4"], {("2024.01.05 visit", ""), ("2024.01.07 visit", "")}),
    "one date": (["2024.01.05 visit.mp4"], {("2024.01.05 visit", "")}),
    "a date and its sensor": (
        ["2024.01.05 visit.mp4", "2024.01.05 visit.imu.csv"],
        {("2024.01.05 visit", ""), ("2024.01.05 visit", "imu")},
    ),
    "the convention": (["t1.mp4", "t1.imu.csv", "t2.imu.csv"], {("t1", ""), ("t1", "imu"), ("t2", "imu")}),
    "one file": (["talk99.imu.csv"], {("talk99", "imu")}),
    "one recording": (["talk.left.mp4", "talk.right.mp4"], {("talk", "left"), ("talk", "right")}),
    "names of people": (
        ["anna.smith.mp4", "anna.smith.imu.csv", "bob.jones.mp4", "bob.jones.imu.csv"],
        {("anna.smith", ""), ("anna.smith", "imu"), ("bob.jones", ""), ("bob.jones", "imu")},
    ),
    "people in small letters": ([f"{p}.mp4" for p in PEOPLE], {(p, "") for p in PEOPLE}),
    "people with two sensors": (
        [f"{p}.{s}.csv" for p in PEOPLE for s in ("imu", "ecg")],
        {(p, s) for p in PEOPLE for s in ("imu", "ecg")},
    ),
    "one surname twice": (
        ["anna.smith.mp4", "bob.smith.mp4", "carl.jones.mp4"],
        {("anna.smith", ""), ("bob.smith", ""), ("carl.jones", "")},
    ),
    "titles": (["Dr.Smith.mp4", "Dr.Jones.mp4"], {("Dr.Smith", ""), ("Dr.Jones", "")}),
    "initials": (["J.R. Smith.mov"], {("J.R. Smith", "")}),
    "versions": (["take.v2.wav", "other.v2.wav"], {("take.v2", ""), ("other.v2", "")}),
    "two cameras": (
        ["t1.left.mp4", "t1.right.mp4", "t2.left.mp4", "t2.right.mp4"],
        {("t1", "left"), ("t1", "right"), ("t2", "left"), ("t2", "right")},
    ),
    "two cameras, one lost": (
        ["t1.left.mp4", "t1.right.mp4", "t2.left.mp4", "t2.right.mp4", "t3.left.mp4"],
        {("t1", "left"), ("t1", "right"), ("t2", "left"), ("t2", "right"), ("t3", "left")},
    ),
    "words joined by dots": (["t1.left.imu.csv", "t2.left.imu.csv"], {("t1", "left.imu"), ("t2", "left.imu")}),
    "times of day": (["rec 10.30.15.wav", "rec 10.31.00.wav"], {("rec 10.30.15", ""), ("rec 10.31.00", "")}),
    "named by another file": (["talk01.mp4", "talk01.mp4.srt", "talk01.en.srt"], {("talk01", ""), ("talk01", "en")}),
    "one of many has a sensor": (
        [*(f"t{i}.mp4" for i in range(9)), "t3.gps.csv"],
        {*((f"t{i}", "") for i in range(9)), ("t3", "gps")},
    ),
    "phones": (
        [
            *("IMG_0001.MOV", "VID_20240105_101112.mp4", "PXL_20240105_101112123.TS.mp4"),
            *("WhatsApp Video 2024-01-05 at 10.11.mp4", "GMT20240105-101112_Recording_640x360.mp4"),
        ],
        {
            *(("IMG_0001", ""), ("VID_20240105_101112", ""), ("PXL_20240105_101112123.TS", "")),
            *(("WhatsApp Video 2024-01-05 at 10.11", ""), ("GMT20240105-101112_Recording_640x360", "")),
        },
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_naming_schemes(what: str) -> None:
    files, expected = CASES[what]
    for order in (files, files[::-1]):
        assert set(names_of(order).named.values()) == expected


def test_known_streams_are_believed() -> None:
    assert names_of(["x.Q1.csv"]).named["x.Q1.csv"] == ("x.Q1", "")
    assert names_of(["x.Q1.csv"], ["Q1"]).named["x.Q1.csv"] == ("x", "Q1")
    assert names_of(["x.Q1.csv", "x.imu.csv"], ["imu"], closed=True).named == {
        "x.Q1.csv": ("x.Q1", ""),
        "x.imu.csv": ("x", "imu"),
    }


def test_known_recordings_are_believed() -> None:
    files = ["visit.anna.mp4", "visit.bob.mp4"]
    assert {n.id for n in names_of(files).named.values()} == {"visit"}
    assert set(names_of(files, ids=["visit.anna", "visit.bob.mp4"]).named.values()) == {
        ("visit.anna", ""),
        ("visit.bob", ""),
    }
    assert names_of(["1.2.csv"], ids=["1"]).named["1.2.csv"] == ("1", "2")


def test_what_could_be_meant_otherwise_is_said() -> None:
    (note,) = names_of(["visit.anna.mp4", "visit.bob.mp4"]).notes
    assert note.startswith("taken for streams: anna, bob (as in 'visit.anna'). If recordings are named so, say it")
    (note,) = names_of(["anna.smith.mp4", "bob.smith.mp4", "carl.jones.mp4"]).notes
    assert note.startswith("taken for a part of the recording's name: 'smith' in 'anna.smith' (and so in 3 names)")
    assert "import.streams.smith" in note
    assert not names_of(["t1.mp4", "t1.imu.csv", "t2.mp4", "2024.01.05 visit.mp4"]).notes


def test_forms_of_an_accent_are_one_recording() -> None:
    composed, apart = (unicodedata.normalize(form, "café.mp4") for form in ("NFC", "NFD"))
    assert len({n.id for n in names_of([composed, apart.replace(".mp4", ".imu.csv")]).named.values()}) == 1


@pytest.mark.slow
def test_many_files_take_no_time() -> None:
    files = [f"first{i}.last{i}.mp4" for i in range(20_000)] + [f"t{i}.{s}.csv" for i in range(5_000) for s in "ab"]
    begin = time.process_time()
    names_of(files)
    assert time.process_time() - begin < 5


piece = st.text(st.sampled_from("abcXYZ019 -_é"), min_size=1, max_size=6).map(str.strip).filter(bool)
ids = st.lists(st.lists(piece, min_size=1, max_size=3).map(".".join), min_size=2, max_size=6, unique=True)
streams = st.lists(st.from_regex(r"[a-z]{3,8}", fullmatch=True), min_size=1, max_size=3, unique=True)


@pytest.mark.slow
@given(ids, streams, st.booleans(), st.data())
def test_planted_recordings_and_streams_are_found_again(
    planted: list[str], names: list[str], bare: bool, data: st.DataObject
) -> None:
    """Where every recording has a file of its own name, whatever its streams; else where all have all streams.

    What could be meant otherwise is said.
    """
    assume(not {f"{id}.{s}" for id in planted for s in names} & set(planted))
    cells = [(id, s) for id in planted for s in names]
    if bare:
        cells = data.draw(st.lists(st.sampled_from(cells), unique=True)) + [(id, "") for id in planted]
    files = {f"{id}.{s}.csv" if s else f"{id}.mp4": (id, s) for id, s in cells}
    found = names_of(list(files))
    assert {f: tuple(n) for f, n in found.named.items()} == files or found.notes or behind_each_other(planted)


def behind_each_other(ids: list[str]) -> bool:
    """Whether one recording's name is the beginning of another's, so that the rest is a stream's for anyone."""
    return any(other.startswith(f"{id}.") for id in ids for other in ids)


def save(folder: Path, name: str) -> None:
    np.save(folder / name, np.zeros((5, 2)))


def test_a_folder_of_dates_and_forms_of_accents_meets_its_labels(tmp_path: Path) -> None:
    apart = unicodedata.normalize("NFD", "2024.01.05 José")
    for id in (apart, "2024.01.07 Ana"):
        save(tmp_path, f"{id}.npy")
        save(tmp_path, f"{id}.imu.npy")
    (tmp_path / "labels.csv").write_text("file,mood\n2024.01.05 José.npy,good\n2024.01.07 Ana,bad\n", encoding="utf-8")
    import_folder(tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "manifest.jsonl").read_text().splitlines()]
    assert {r["id"]: r["labels"]["mood"] for r in rows} == {"2024.01.05 José": "good", "2024.01.07 Ana": "bad"}
    corpus = Corpus(tmp_path / "manifest.jsonl")
    assert all(len(r.streams) == 2 and r.streams["imu"].shape == (5, 2) for r in corpus)


def test_the_table_of_labels_says_what_is_a_recording(tmp_path: Path) -> None:
    for name in ("visit.anna", "visit.bob"):
        save(tmp_path, f"{name}.npy")
    (tmp_path / "labels.csv").write_text("id,mood\nvisit.anna,good\nvisit.bob,bad\n")
    report = import_folder(tmp_path)
    assert report.recordings == 2
    assert report.labels["labels"]["mood"]["n"] == 2


def test_a_new_file_has_the_streams_that_the_model_knows_and_no_others(tmp_path: Path) -> None:
    names = ("anna.smith", "bob.imu", "carl.kinect")
    for name in names:
        save(tmp_path, f"{name}.npy")
    paths = [tmp_path / f"{name}.npy" for name in names]
    import_files(paths, out=tmp_path / "new.jsonl", known=["imu", "kinect_depth", "values"])
    corpus = Corpus(tmp_path / "new.jsonl", allow_outside=True)
    assert {r.id: set(r.streams) for r in corpus} == {"anna.smith": {"values"}, "bob": {"imu"}, "carl": {"kinect"}}


def test_one_copy_under_another_ending_renames_nothing_elsewhere(tmp_path: Path) -> None:
    for i in range(4):
        save(tmp_path, f"r{i}.imu.npy")
    (tmp_path / "r0.imu.csv").write_text("x,y\n1,2\n3,4\n")
    report = import_folder(tmp_path, options={"streams": {"imu": {"rate": 10}}})
    assert set(report.streams) == {"imu"}
    assert list(report.left_out) == ["r0.imu.csv"]
    assert "has a stream 'imu' from r0.imu.npy already" in report.left_out["r0.imu.csv"]
