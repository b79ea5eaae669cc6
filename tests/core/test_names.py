from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from plait.core.errors import DataError
from plait.core.names import Names, encoded_name, plain_name, quoted_name
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.interchange import export_corpus
from plait.streams.recording import Annotation
from plait.streams.stream import Stream

ids = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=30)
CLASHING = ["a/b", "a_b", "A_B", "a.b", "a b", "é", "e\u0301", "con", "x" * 300, "x" * 301, "..", "...", "\x00"]


def on_disk(name: str) -> str:
    return unicodedata.normalize("NFD", name).casefold()


@given(st.lists(ids, unique=True, max_size=20))
@example(CLASHING)
def test_two_names_are_never_one_file(names: list[str]) -> None:
    one = Names()
    files = [one.of(name) for name in names]
    assert len({on_disk(f) for f in files}) == len(names)
    assert files == [one.of(name) for name in names]
    for file in files:
        assert "/" not in file
        assert "\x00" not in file
        assert not file.startswith(".")
        assert 0 < len(file.encode()) <= 200


@given(st.lists(st.tuples(ids) | st.tuples(ids, ids) | st.tuples(ids, ids, ids), unique=True, max_size=20))
@example([("a", "b.c"), ("a.b", "c"), ("a.b.c",), ("a", "b", "c"), ("A.b", "C"), ('["a", "b.c"]',)])
@example([("a_b",), ("a/b",), ("a_b~648fa9b3",)])
def test_names_in_parts_are_told_apart_by_their_parts(names: list[tuple[str, ...]]) -> None:
    one, bare = Names(), Names(lambda name: name)
    assert len({on_disk(one.of(*name)) for name in names}) == len(names)
    assert len({on_disk(bare.of(*name)) for name in names}) == len(names)


@given(ids)
@example("day 1/é")
def test_a_quoted_name_is_read_back(name: str) -> None:
    quoted = quoted_name(name)
    assert quoted == quoted_name(name)
    assert len(quoted) > 180 or "~" in quoted or unquote(quoted) == name


def test_names_that_no_text_can_hold_are_names_still() -> None:
    broken = "caf\udce9"  # what a disk of another encoding shows
    for form in (plain_name, encoded_name, quoted_name):
        assert form(broken).encode()


def test_streams_and_times_never_overwrite_each_other(tmp_path: Path) -> None:
    def numbers(value: float, **clock: Any) -> Stream:
        return Stream.of(np.full((3, 1), value, np.float32), **clock)

    planted = {
        ("a", "b.c"): numbers(1, rate=2),
        ("a.b", "c"): numbers(2, rate=2),
        ("a.b", "C"): numbers(3, times=[0, 1, 3]),
        ("a.b", "C.times"): numbers(4, times=[5, 7, 8]),
    }
    with CorpusWriter(tmp_path) as out:
        for id in ("a", "a.b"):
            out.add(id, {name: stream for (of, name), stream in planted.items() if of == id})
        with pytest.raises(DataError, match=r"'a\.b' was added before"):
            out.add("a.b", {"c": numbers(9, rate=1)})
    corpus = Corpus(tmp_path / "manifest.jsonl")
    for (id, name), stream in planted.items():
        np.testing.assert_array_equal(corpus[id].streams[name].read(), stream.read())
        np.testing.assert_array_equal(corpus[id].streams[name].clock.times, stream.clock.times)


@given(ids, ids)
@example("→", "!92")
def test_an_encoded_name_is_of_one_name_alone(one: str, other: str) -> None:
    assert (encoded_name(one) == encoded_name(other)) == (one == other)


def test_ordinary_names_stay_as_they_are() -> None:
    for name in ("talk01", "S01_t3", "2024-01-05", "visit.2", "naïve", "発話1"):
        assert plain_name(name) == name


@pytest.mark.parametrize("form", ["elan", "textgrid", "csd", "webdataset"])
def test_ids_that_look_alike_are_files_of_their_own(form: str, tmp_path: Path) -> None:
    alike = ["a/b", "a_b", "A_b"]
    with CorpusWriter(tmp_path / "corpus") as out:
        for i, id in enumerate(alike):
            stream = Stream.of(np.full((4, 1), i, np.float32), rate=2)
            out.add(id, {"imu": stream}, annotations=[Annotation(0, 1, f"said {i}", "t")])
    corpus = Corpus(tmp_path / "corpus/manifest.jsonl")
    assert [corpus[id].streams["imu"].read()[0, 0] for id in alike] == [0, 1, 2]
    export_corpus(corpus, tmp_path / "out", form, features={"imu": "series"}, cache=tmp_path / "cache")
    found = b"".join(p.read_bytes() for p in sorted((tmp_path / "out").rglob("*")) if p.is_file())
    for i in range(3):
        assert f"said {i}".encode() in found
