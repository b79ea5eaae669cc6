"""Tables: clocks of all sorts, and every way in which they are wrong."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.errors import ConfigError, DataError
from plait.importing.folder import import_folder
from plait.readers import open_streams
from plait.readers.table import Table
from plait.streams.clock import Grid, Ticks


@pytest.fixture
def table(tmp_path):
    def write(text, name="a.csv", **options):
        path = tmp_path / name
        path.write_text(text)
        return open_streams(path, options=options)

    return write


def test_numeric_columns_become_channels(table):
    stream = table("Time, ax,ay,note\n0.0,1,2,a\n0.5,,4,b\n")["series"]
    assert stream.channels == ("ax", "ay")
    assert stream.clock == Ticks([0, 0.5])
    assert np.array_equal(stream.read(), [[1, 2], [np.nan, 4]], equal_nan=True)


@pytest.mark.parametrize(
    ("column", "cells", "want"),
    [
        ("t", ["0.5", "1.5"], [0.5, 1.5]),
        ("timestamp", ["1644227574000", "1644227574020"], [1644227574.0, 1644227574.02]),
        ("timestamp", ["1644227574000000", "1644227574000020"], [1644227574.0, 1644227574.00002]),
        ("ts", ["1644227574000000000", "1644227574500000000"], [1644227574.0, 1644227574.5]),
        ("time_ms", ["0", "20"], [0, 0.02]),
        ("Time(sec)", ["1644227574", "1644227575"], [1644227574, 1644227575]),
        ("datetime", ["2022-02-07T09:52:54Z", "2022-02-07T09:52:54.25Z"], [1644227574, 1644227574.25]),
        ("datetime", ["2022-02-07 09:52:54", "2022-02-07 09:52:55"], [1644227574, 1644227575]),
        ("date", ["2022-02-07T10:52:54.5+01:00", "2022-02-07T10:52:55+01:00"], [1644227574.5, 1644227575]),
        ("date", ["2022-02-07", "2022-02-08"], [1644192000, 1644278400]),
    ],
)
def test_times(table, column, cells, want):
    stream = table(f"x,{column}\n1,{cells[0]}\n2,{cells[1]}\n")["series"]
    assert np.abs(stream.clock.times - want).max() < 1e-6
    assert stream.channels == ("x",)


def test_unit_and_rate_and_separators(table):
    assert table("t,x\n0,1\n500,2\n", unit="ms")["series"].clock == Ticks([0, 0.5])
    assert table("x,y\n0,1\n500,2\n", rate=50)["series"].clock == Grid(0, 50, 2)
    assert table("t\tx\n0\t1\n1\t2\n", name="a.tsv")["series"].read().tolist() == [[1], [2]]
    german = table("t;x\n0,5;1,25\n1,5;2\n")["series"]
    assert (german.clock, german.read().tolist()) == (Ticks([0.5, 1.5]), [[1.25], [2]])
    assert table("t;x\r0,5;1,25\r1,5;2\r")["series"].read().tolist() == [[1.25], [2]]
    assert table("0,5\n1,6\n", header=False, time="c0")["series"].read().tolist() == [[5], [6]]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("t;x;y\n0;1;5\n1;2,5;6\n2;3;7\n", {}),
        ("t\tx\ty\n0\t1\t5\n1\t2,5\t6\n2\t3\t7\n", {}),
        ('t,x,y\n0,1,5\n1,"2,5",6\n2,3,7\n', {}),
        ("t;x, in g;y\n0;1;5\n1;2,500;6\n2;3;7\n", {}),
        ('t,x,y\n0,1,5\n1,"2,500",6\n2,3,7\n', {"decimal": ","}),
        ("t;x;y\n0;1;5\n1;2.5;6\n2;3;7\n", {"decimal": "."}),
        ("t;x;y;n\n0;1;5;1,5\n1;2.5;6;a\n2;3;7;b\n", {}),
        ("t;x;y\n0,0;1;5\n1,0;2,5;6\n2,0;3;7\n", {"decimal": ","}),
    ],
)
def test_a_decimal_comma_may_stand_in_any_row(table, text, options):
    stream = table(text, **options)["series"]
    assert (stream.clock, stream.read().tolist()) == (Ticks([0, 1, 2]), [[1, 5], [2.5, 6], [3, 7]])


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("t;x\n0;1,5\n1;2.5\n", {}, r"column 'x': .* 1 such as '2\.5' \(row 3\), 1 such as '1,5' \(row 2\)"),
        ("t;x\n0.5;1\n1.5;2,5\n", {}, r"a comma in 'x' \(such as '2,5'\) and none in 't'\. Expected one decimal sign"),
        ("t;x\n0,5;1\n1,5;2.5\n", {}, r"a dot in 'x' \(such as '2\.5'\) and none in 't'\. Expected one decimal sign"),
        ('t,x\n0,1\n1,"2,500"\n', {}, r"'2,500' in 'x' may be a fraction or thousands\. Set decimal: ',' or"),
        ("t;x\n0;1,5\n1;2,5\n", {"decimal": "."}, r"column 'x': .* 2 such as '1,5' \(row 2\).*set decimal"),
        ("t;x\n0;1.5\n1;2.5\n", {"decimal": ","}, r"column 'x': .* 2 such as '1\.5' \(row 2\).*set decimal"),
        ("t;x\n0;1,5\n1;2,5\n2;oops\n", {}, r"a\.csv:4 column 'x': 'oops' is not a number"),
        ("t;x\n0;1.234,5\n1;2,5\n2;3,5\n", {}, r"a\.csv:2 column 'x': '1\.234,5' is not a number"),
        ("0,5;1,5\n1,5;2,5\n", {}, r"a\.csv:1: the first line holds numbers"),
    ],
)
def test_numbers_of_two_locales_are_refused_and_never_left_out(table, text, options, message):
    with pytest.raises(DataError, match=message):
        table(text, **options)


def test_columns_left_out_are_told_once_and_counted_by_an_import(table, tmp_path, caplog):
    for name in ("a", "b"):
        table(",t,x,remark_told,\n0,0,1,good,\n1,1,2,bad,\n", name=f"{name}.csv")
    told = [r.getMessage() for r in caplog.records if "remark_told" in r.getMessage()]
    assert len(told) == 1
    assert "columns without numbers are left out (name those of text with columns to read them): remark_told" in told[0]
    assert sum("2 columns without a name are left out" in r.getMessage() for r in caplog.records) == 1
    notes = import_folder(tmp_path).notes
    assert [n for n in notes if n.startswith("a.csv, b.csv: columns without numbers") and n.endswith("remark_told.")]
    assert [n for n in notes if n.startswith("a.csv, b.csv: 2 columns without a name")]


def test_other_encodings(table, tmp_path):
    text = "t;x °C;note\n0;1;Käse\n1;2;\n"
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "b.csv").write_bytes(text.encode(encoding))
        found = open_streams(tmp_path / "b.csv", options={"columns": ["x °C", "note"]})
        assert (found["series"].channels, found["note"].read().tolist()) == (("x °C",), ["Käse", ""])
    (tmp_path / "b.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"b\.csv:1: is not utf-8 text .*iconv"):
        open_streams(tmp_path / "b.csv")
    assert open_streams(tmp_path / "b.csv", options={"encoding": "latin-1"})["series"].channels == ("x °C",)


def test_named_text_column_is_words(table):
    found = table("t,x,note\n0,1,a\n1,2,\n", columns=["x", "note"])
    assert found["note"].kind == "words"
    assert found["note"].read().tolist() == ["a", ""]
    assert found["series"].channels == ("x",)


def test_parquet_is_the_same(tmp_path, table):
    import pyarrow.csv
    import pyarrow.parquet

    want = table("t,x,y\n0,1,2\n1,,4\n")["series"]
    pyarrow.parquet.write_table(pyarrow.csv.read_csv(tmp_path / "a.csv"), tmp_path / "b.parquet")
    got = open_streams(tmp_path / "b.parquet")["series"]
    assert (got.clock, got.channels) == (want.clock, want.channels)
    assert np.array_equal(got.read(), want.read(), equal_nan=True)


def test_parquet_columns_have_types_so_text_of_digits_is_text(tmp_path, caplog):
    import pyarrow as pa
    import pyarrow.parquet

    columns = {
        "t": pa.array([0, 250], pa.duration("ms")), "x": [1.5, 2], "code": ["001", "002"], "deep": [[1.0], [2.0]],
        "kind": pa.array(["a", "b"]).dictionary_encode(), "raw": [b"1", b"2"],
    }  # fmt: skip
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    stream = open_streams(tmp_path / "a.parquet")["series"]
    assert (stream.channels, stream.clock) == (("x",), Ticks([0, 0.25]))
    assert "read them): code, deep, kind, raw" in caplog.text
    named = open_streams(tmp_path / "a.parquet", options={"columns": ["x", "code", "kind"]})
    assert [named[k].read().tolist() for k in ("code", "kind")] == [["001", "002"], ["a", "b"]]
    for name, kind in (("deep", "list"), ("raw", "binary")):
        with pytest.raises(DataError, match=f"column '{name}' holds {kind}.*expected numbers or text"):
            open_streams(tmp_path / "a.parquet", options={"columns": [name]})


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, r"a\.csv: is empty\. Expected a header"),
        ("t,x\n", {}, r"a\.csv: has no rows"),
        ("t," + "x" * 140_000 + "\n0,1\n", {}, r"a\.csv:1: cannot be read as a line of cells"),
        ("x,y\n1,2\n", {}, r"has no column of times \(columns: x, y\)\. Name it with time:, or give a rate"),
        ("t,x\n0,1\n1,inf\n", {}, r"column 'x': 1 observations hold infinite values, first number 1\."),
        ("t,x\n0,1\n1,2\n2,oops\n", {}, r"a\.csv:4 column 'x': 'oops' is not a number.*leave the cell empty"),
        ("t,x\n0,1\n,2\n", {}, r"a\.csv:3 column 't': has no time \(1 such rows\)"),
        ("t,x\n0,1\nnan,2\n", {}, r"a\.csv:3 column 't'"),
        (
            "datetime,x\n2022-02-07T09:00:00,1\nyesterday,2\n",
            {},
            r"a\.csv:3 column 'datetime': 'yesterday' is not a time",
        ),
        ("t,x\n0,1\n1,2,3\n", {}, r"a\.csv: cannot be read as a table .*Expected 2 columns, got 3"),
        ("t,x,x\n0,1,2\n", {}, r"several columns are named 'x'"),
        ("t,note\n0,a\n1,b\n", {}, r"has no numeric column beside its time"),
        ("t,x\n0,1\n", {"columns": ["z"]}, r"has no column 'z'\. There is: t, x\."),
        ("t,x\n0,1\n", {"time": "tt"}, r"has no column 'tt' for the time\. Did you mean"),
        ("0,1\n2,3\n", {}, r"a\.csv:1: the first line holds numbers"),
    ],
)
def test_bad_tables_say_where_and_what_to_do(table, text, options, message):
    with pytest.raises(DataError, match=message):
        table(text, **options)


def test_disorder_is_reported_with_place_and_both_kinds_at_once(table):
    text = "t,x\n0,1\n1,2\n1,3\n0.5,4\n2,5\n"
    with pytest.raises(DataError) as caught:
        table(text)
    again, back = caught.value.problems
    assert "times repeat in 1 places, first at row 3" in again
    assert "times go backwards in 1 places, first at row 4: 1.000000 s, then 0.500000 s" in back
    assert "on_disorder" in back


@pytest.mark.parametrize(("way", "want"), [("sort", [1, 4, 2, 3, 5]), ("drop", [1, 2, 5])])
def test_disorder_is_put_right_when_asked_and_logged(table, caplog, way, want):
    with caplog.at_level(logging.WARNING, "plait"):
        stream = table("t,x\n0,1\n1,2\n1,3\n0.5,4\n2,5\n", on_disorder=way)["series"]
    assert stream.read()[:, 0].tolist() == want
    assert "1 times repeat and 1 go backwards" in caplog.text


@settings(max_examples=30)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_sort_and_drop_are_what_they_say(tmp_path_factory, times):
    path = tmp_path_factory.mktemp("t") / "a.csv"
    path.write_text("t,x\n" + "".join(f"{t},{i}\n" for i, t in enumerate(times)))
    kept = Table(on_disorder="sort").open(path)["series"].read()[:, 0].astype(int).tolist()
    assert kept == sorted(range(len(times)), key=lambda i: times[i])
    clock = Table(on_disorder="drop").open(path)["series"].clock
    assert clock.times.tolist() == sorted({t for i, t in enumerate(times) if t == max(times[: i + 1])})


def test_options_are_checked():
    for options in (
        {"kind": "film"},
        {"unit": "h"},
        {"on_disorder": "fix"},
        {"decimal": ";"},
        {"time": "t", "rate": 1},
    ):
        with pytest.raises(ConfigError, match="table"):
            Table(**options)


def test_real_labels(real_data):
    path = real_data / "stress_predict/Processed_data/Improved_All_Combined_hr_rsp_binary.csv"
    with pytest.raises(DataError, match="go backwards"):  # 34 people one after the other
        Table().open(path)
