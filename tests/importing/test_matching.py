from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from plait.importing.folder import import_folder
from plait.importing.matching import alike, match_ids


def test_a_file_that_is_not_there_is_no_other_recording() -> None:
    assert match_ids(["talk.2", "talk.1.csv", "x/talk.csv", "talk.imu.csv"], ["talk", "talk.1"]) == (
        {"talk.1.csv": "talk.1", "x/talk.csv": "talk", "talk.imu.csv": "talk"},
        {},
    )


def test_ids_as_spreadsheets_leave_them() -> None:
    known = ["001", "002", "Talk 3", "talk_4"]
    assert match_ids(["1", "2.0", " talk 3", "TALK-4", "-1", "1.5"], known) == (
        {},
        {"1": "001", "2.0": "002", " talk 3": "Talk 3", "TALK-4": "talk_4"},
    )


def test_what_could_be_two_is_matched_with_neither() -> None:
    assert match_ids(["1"], ["01", "001"]) == ({}, {})
    assert match_ids(["1", "1.0"], ["01"]) == ({}, {})
    assert match_ids(["01", "1"], ["01"]) == ({"01": "01"}, {})


ids = st.lists(st.text("aA1.0_- é", min_size=1, max_size=4), max_size=8, unique=True)


@given(ids, ids)
def test_no_recording_is_meant_by_two_names_that_are_not_its_own(names: list[str], known: list[str]) -> None:
    sure, loose = match_ids(names, known)
    assert not sure.keys() & loose.keys()
    assert set(sure.values()) | set(loose.values()) <= set(known)
    assert not set(sure.values()) & set(loose.values())
    assert len(set(loose.values())) == len(loose)
    assert all(sure[name] == name for name in names if name in known and unicodedata.is_normalized("NFC", name))


def test_names_that_look_alike_are_told(tmp_path: Path) -> None:
    assert alike(["a", "b", "B"]) == [["b", "B"]]
    for name in ("Talk 1.npy", "talk_1.imu.npy", "02.npy", "3.npy"):
        np.save(tmp_path / name, np.zeros((4, 2)))
    (tmp_path / "labels.csv").write_text("id,mood\n2,good\n3,bad\n4,bad\nx,bad\n")
    report = import_folder(tmp_path, options={"streams": {"imu": {"rate": 4}}})
    assert report.labels["labels"]["mood"]["n"] == 2
    assert any("'Talk 1', 'talk_1' differ in capitals, blanks or the like only" in note for note in report.notes)
    assert any("1 ids are written otherwise" in note and "such as '2' for '02'" in note for note in report.notes)
    assert any("2 rows of 2 ids that are no recording here ('4', 'x')" in note for note in report.notes)
