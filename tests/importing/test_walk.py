"""What lies about in real folders."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from plait.cli import main
from plait.core.errors import DataError
from plait.corpus.corpus import Corpus
from plait.importing.folder import import_files, import_folder
from plait.importing.report import ImportReport
from plait.quality.check import check_corpus


def save(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.random.default_rng(seed).normal(size=(20, 2)))
    return path


def test_what_systems_leave_is_passed_by(tmp_path: Path) -> None:
    good = save(tmp_path / "a.npy", 1)
    for name in (
        ".DS_Store",
        "Thumbs.db",
        "desktop.ini",
        "~$labels.xlsx",
        ".~lock.x#",
        "__MACOSX/._a.npy",
        "@eaDir/a.npy",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(good, tmp_path / name)
    report = import_folder(tmp_path)
    assert (report.recordings, report.left_out) == (1, {})
    assert "7 hidden files and folders, and those of the system, were not looked at." in report.notes


def test_copies_are_no_recordings(tmp_path: Path) -> None:
    first = save(tmp_path / "talk.npy", 1)
    for name in ("talk (2)", "talk - Copy", "talk copy", "Copy of talk", "talk - Kopie (3)", "talk(1)"):
        shutil.copy(first, tmp_path / f"{name}.npy")
    save(tmp_path / "talk (7).npy", 2)
    save(tmp_path / "take 2.npy", 3)
    report = import_folder(tmp_path)
    assert report.recordings == 3
    assert len(report.left_out) == 6
    assert set(report.left_out.values()) == {"is talk.npy again, byte for byte. Delete it."}
    assert "talk (7).npy: is named like a copy of talk.npy but differs, so it is another recording." in report.notes


def test_what_cannot_be_read_says_what_to_do(tmp_path: Path) -> None:
    save(tmp_path / "a.npy")
    (tmp_path / "b.npy").touch()
    (tmp_path / "labels.xlsx").write_bytes(b"PK\x03\x04")
    (tmp_path / "notes.docx").write_bytes(b"PK\x03\x04")
    report = import_folder(tmp_path)
    assert report.left_out["b.npy"] == "is empty (0 bytes). Copy it anew, or delete it."
    assert report.left_out["labels.xlsx"].startswith("is a spreadsheet. Save it as CSV in UTF-8; as labels.csv")
    assert report.left_out["notes.docx"].startswith("no reader for this file name")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names or do not let links be made")
def test_names_and_folders_that_cannot_be_used_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "study"
    other = save(tmp_path / "other/b.npy").parent
    name = os.fsencode(save(folder / "a.npy").parent) + b"/caf\xe9.npy"
    with open(name, "wb") as file:
        np.save(file, np.zeros((3, 1)))
    (folder / "linked").symlink_to(other)
    assert main(["import", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "caf\\udce9.npy: its name is not in UTF-8, as a manifest is. Rename it." in said
    assert "linked: is a link to a folder, which is not followed. Import that." in said
    with pytest.raises(DataError, match="its name is not in UTF-8"):
        import_files([os.fsdecode(name)], out=tmp_path / "new.jsonl")


def suggested(report: ImportReport) -> str:
    """The pattern of the note about names that come again."""
    (note,) = (n for n in report.notes if "the same names stand in several folders" in n)
    return note.partition("import.match: ")[2].removesuffix(".").strip("'").replace("\\\\", "\\")


def test_a_folder_a_recording(tmp_path: Path) -> None:
    for i in range(5):
        for name in ("left", "right"):
            save(tmp_path / f"p{i}/session/{name}.npy", i)
    report = import_folder(tmp_path)
    assert len(report.left_out) == 8, "two names in five folders"
    report = import_folder(tmp_path, options={"match": suggested(report)}, overwrite=True)
    assert (report.recordings, report.left_out, set(report.streams)) == (5, {}, {"left", "right"})


def test_a_camera_that_counts_from_one_in_each_folder(tmp_path: Path) -> None:
    for day in ("2024-01-05", "2024-01-06"):
        for i in range(1, 4):
            save(tmp_path / day / "DCIM/100GOPRO" / f"GOPR000{i}.npy", i)
    report = import_folder(tmp_path)
    assert (report.recordings, len(report.left_out)) == (3, 3)
    report = import_folder(tmp_path, options={"match": suggested(report)}, overwrite=True)
    assert (report.recordings, report.left_out) == (6, {})
    assert Corpus(report.manifest).ids[0] == "2024-01-05/DCIM/100GOPRO/GOPR0001"


def test_a_stream_that_hardly_any_recording_has_is_told(tmp_path: Path) -> None:
    for i in range(12):
        save(tmp_path / f"r{i}.npy", i)
    save(tmp_path / "r3.gps.npy")
    told = "stream 'gps': only 1 of 12 recordings have it (min_coverage: 0.1); it is no modality."
    assert any(note.startswith(told) for note in import_folder(tmp_path).notes)
    manifest = tmp_path / "manifest.jsonl"
    assert any(w.startswith(told) for w in check_corpus(manifest).warnings)
    recipe = {"task": {"name": "classify", "target": "y"}}  # whose streams `fit` and `check RECIPE` look at
    assert not any("min_coverage" in w for w in check_corpus(manifest, recipe=recipe).warnings)


def test_two_kinds_of_container_are_one_stream(tmp_path: Path) -> None:
    for i in range(3):
        for name, sign in ((f"a{i}.tsv", "\t"), (f"b{i}.CSV", ",")):
            rows = [("time", "x"), *((t, i) for t in range(9))]
            (tmp_path / name).write_text("".join(sign.join(map(str, row)) + "\n" for row in rows))
    report = import_folder(tmp_path)
    assert {n: s["recordings"] for n, s in report.streams.items()} == {"series": 6}
