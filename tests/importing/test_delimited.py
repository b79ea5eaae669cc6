from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plait.core.errors import DataError
from plait.importing.cells import read_table, typed
from plait.importing.delimited import read_delimited

ROWS = [["id", "mood", "note"], ["a", "gut", "é, ü; x"], ["001", "1,5", 'he said "no"']]


def written(path: Path, encoding: str, delimiter: str = ",", end: str = "\r\n") -> Path:
    cells = [['"' + c.replace('"', '""') + '"' if set(c) & set(',;"') else c for c in row] for row in ROWS]
    path.write_bytes(end.join(delimiter.join(row) for row in cells).encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_way_of_saving_a_table(encoding: str, delimiter: str, end: str, tmp_path: Path) -> None:
    table = read_delimited(written(tmp_path / "t.csv", encoding, delimiter, end))
    assert [table.header, *(row for _, row in table.rows)] == ROWS
    assert len(table.notes) == (encoding == "cp1252")


def test_what_spreadsheets_leave_is_passed_by(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes("sep=;\r\nid;score;;\r\n\r\na;0,5;;\r\nb;2;;\r\n;;;\r\n\r\n".encode("utf-16"))
    columns, lines, notes = read_table(path)
    assert columns == {"id": ["a", "b"], "score": ["0.5", "2"]}
    assert lines == [4, 5]
    assert notes == ["labels.csv: the commas in 'score' are read as decimal points."]
    path.write_text("id,,mood\na,x,1\nb,,2\n")
    columns, _, notes = read_table(path)
    assert columns == {"id": ["a", "b"], "mood": ["1", "2"]}
    assert notes == ["labels.csv: 1 columns have no name in the first row; left out. Name them."]


def test_commas_between_texts_stay(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id;said;n\na;1,2;1,5\nb;one, two;2\n")
    columns, _, notes = read_table(path)
    assert columns == {"id": ["a", "b"], "said": ["1,2", "one, two"], "n": ["1.5", "2"]}
    assert len(notes) == 1


def test_a_quote_that_is_never_closed_does_not_swallow_the_table(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('id,said\na,yes\nb,"no\nc,well\n')
    with pytest.raises(DataError, match=r"t\.csv:3: a quote .* is opened here and never closed"):
        read_table(path)
    path.write_text('id\tsaid\na\t"no\nb\twell\n')
    assert read_table(path)[0] == {"id": ["a", "b"], "said": ['"no', "well"]}
    path.write_text('id,said\na,"no" way\n')
    assert read_table(path)[0]["said"] == ["no way"]
    path.write_text("\n\n")
    with pytest.raises(DataError, match="is empty"):
        read_table(path)


def test_an_underscore_is_no_number() -> None:
    assert typed(["1_2", "13"]) == ["1_2", "13"]


cell = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=6).filter(lambda c: c == c.strip())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(cell, min_size=3, max_size=3), min_size=1, max_size=4),
    encoding=st.sampled_from(["utf-8-sig", "utf-16"]),
)
def test_what_is_written_as_csv_is_read(rows: list[list[str]], encoding: str, tmp_path: Path) -> None:
    quoted = [",".join('"' + c.replace('"', '""') + '"' for c in row) for row in rows]
    path = tmp_path / "t.csv"
    path.write_bytes("\n".join(["id,b,c", *quoted]).encode(encoding))
    assert [row for _, row in read_delimited(path).rows] == rows
