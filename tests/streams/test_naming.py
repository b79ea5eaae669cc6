from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.streams.corpus import Corpus
from plait.streams.importing import import_folder
from plait.streams.naming import names_of

CASES = {
    "dates": (["2024.01.05 visit.mp4", "2024.01.07 visit.mp4"], {("2024.01.05 visit", ""), ("2024.01.07 visit", "")}),
    "one date": (["2024.01.05 visit.mp4"], {("2024.01.05 visit", "")}),
    "a date and its sensor": (
        ["2024.01.05 visit.mp4", "2024.01.05 visit.imu.csv"],
        {("2024.01.05 visit", ""), ("2024.01.05 visit", "imu")},
    ),
    "the convention": (["t1.mp4", "t1.imu.csv", "t2.imu.csv"], {("t1", ""), ("t1", "imu"), ("t2", "imu")}),
    "one file": (["talk99.imu.csv"], {("talk99", "imu")}),
    "names of people": (
        ["anna.smith.mp4", "anna.smith.imu.csv", "bob.jones.mp4", "bob.jones.imu.csv"],
        {("anna.smith", ""), ("anna.smith", "imu"), ("bob.jones", ""), ("bob.jones", "imu")},
    ),
    "titles": (["Dr.Smith.mp4", "Dr.Jones.mp4"], {("Dr.Smith", ""), ("Dr.Jones", "")}),
    "initials": (["J.R. Smith.mov"], {("J.R. Smith", "")}),
    "versions": (["take.v2.wav", "other.v2.wav"], {("take.v2", ""), ("other.v2", "")}),
    "two cameras": (
        ["t1.left.mp4", "t1.right.mp4", "t2.left.mp4", "t2.right.mp4"],
        {("t1", "left"), ("t1", "right"), ("t2", "left"), ("t2", "right")},
    ),
    "words joined by dots": (["t1.left.imu.csv", "t2.left.imu.csv"], {("t1", "left.imu"), ("t2", "left.imu")}),
    "times of day": (["rec 10.30.15.wav", "rec 10.31.00.wav"], {("rec 10.30.15", ""), ("rec 10.31.00", "")}),
}


@pytest.mark.parametrize("what", CASES)
def test_naming_schemes(what: str) -> None:
    files, expected = CASES[what]
    assert set(names_of(files).values()) == expected


def test_known_streams_are_believed() -> None:
    assert names_of(["x.Q1.csv"])["x.Q1.csv"] == ("x.Q1", "")
    assert names_of(["x.Q1.csv"], ["Q1"])["x.Q1.csv"] == ("x", "Q1")


def test_forms_of_an_accent_are_one_recording() -> None:
    composed, apart = (unicodedata.normalize(form, "café.mp4") for form in ("NFC", "NFD"))
    assert len({n.id for n in names_of([composed, apart.replace(".mp4", ".imu.csv")]).values()}) == 1


piece = st.text(st.sampled_from("abcXYZ019 -_é"), min_size=1, max_size=6).map(str.strip).filter(bool)
ids = st.lists(st.lists(piece, min_size=1, max_size=3).map(".".join), min_size=2, max_size=6, unique=True)
streams = st.lists(st.from_regex(r"[a-z]{3,8}", fullmatch=True), min_size=1, max_size=3, unique=True)


@given(ids, streams)
def test_planted_recordings_and_streams_are_found_again(planted: list[str], names: list[str]) -> None:
    """Where every recording has every stream, whatever dots the recordings' names have.

    An id that itself ends like a stream's name after another id cannot be told apart by anyone: left out.
    """
    longer = {f"{id}.{s}" for id in planted for s in names}
    ends = {".".join(id.split(".")[k:]) for id in planted for k in range(1, id.count(".") + 1)}
    if any(id in longer for id in planted) or any(unicodedata.normalize("NFC", e)[:1].isalpha() for e in ends):
        return
    files = {f"{id}.{s}.csv": (id, s) for id in planted for s in names}
    assert {f: tuple(n) for f, n in names_of(files).items()} == files


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


def test_one_copy_under_another_ending_renames_nothing_elsewhere(tmp_path: Path) -> None:
    for i in range(4):
        save(tmp_path, f"r{i}.imu.npy")
    (tmp_path / "r0.imu.csv").write_text("x,y\n1,2\n3,4\n")
    report = import_folder(tmp_path, options={"streams": {"imu": {"rate": 10}}})
    assert set(report.streams) == {"imu"}
    assert list(report.left_out) == ["r0.imu.csv"]
    assert "has a stream 'imu' from r0.imu.npy already" in report.left_out["r0.imu.csv"]
