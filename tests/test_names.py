from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from plait.interchange import export_corpus
from plait.names import Names, encoded_name, plain_name
from plait.streams.corpus import Corpus, CorpusWriter
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
