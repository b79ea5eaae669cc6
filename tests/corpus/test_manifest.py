"""The manifest's gate: whatever stands in a line is data that can be used, or a problem with file, line and key."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plait.core.errors import DataError
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.corpus.manifest import MOST, read_manifest
from plait.quality.check import check_corpus
from plait.streams.recording import Annotation


def manifest(folder: Path, **stream: Any) -> Path:
    np.save(folder / "x.npy", np.zeros((50, 2)))
    path = folder / "m.jsonl"
    path.write_text(json.dumps({"id": "a", "streams": {"x": {"path": "x.npy", **stream}}}))
    return path


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rate", "1e30000000"),
        ("rate", "9" * 10_000),
        ("rate", 0),
        ("rate", -5),
        ("rate", True),
        ("rate", float("inf")),
        ("rate", "soon"),
        ("duration", 0),
        ("duration", float("nan")),
        ("offset", float("nan")),
        ("offset", 1e300),
        ("origin", float("-inf")),
        ("drift_ppm", -1e6),
        ("drift_ppm", -2e6),
        ("drift_ppm", 1e300),
        ("warp", [[0, float("nan")]]),
        ("spans", [[0, float("inf")]]),
        ("path", ""),
        ("path", "a\x00b"),
        ("path", "x" * 5000),
        ("path", 7),
        ("options", [1]),
        ("texts", "one"),
    ],
)
def test_what_no_clock_and_no_file_can_be_made_of(tmp_path: Path, key: str, value: Any) -> None:
    path = manifest(tmp_path, **{key: value})
    begun = time.process_time()
    with pytest.raises(DataError, match=rf"^m.jsonl:1 streams.x.{key}") as error:
        Corpus(path)
    assert time.process_time() - begun < 2
    assert len(str(error.value)) < 1000
    assert check_corpus(path).problems == list(error.value.problems)


@pytest.mark.parametrize("label", [[1], {"a": 1}, None, 10**30])
def test_a_label_is_a_text_or_a_number(tmp_path: Path, label: Any) -> None:
    path = tmp_path / "m.jsonl"
    mark = {"start": 0, "stop": 1, "label": label}
    path.write_text(json.dumps({"id": "a", "labels": {"kind": label}, "annotations": [mark]}))
    with pytest.raises(DataError) as error:
        Corpus(path)
    one, other = error.value.problems
    assert one.startswith("m.jsonl:1 labels.kind: expected a ")
    assert other.startswith("m.jsonl:1 annotations.0.label: expected a ")


@pytest.mark.parametrize(("name", "told"), [("y" * 300, "too long"), ("circle", "loop|levels")])
def test_names_that_the_system_refuses_are_told_with_their_line(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "circle").symlink_to(tmp_path / "circle2")
    (tmp_path / "circle2").symlink_to(tmp_path / "circle")
    corpus = Corpus(manifest(tmp_path, path=name))
    with pytest.raises(DataError, match=rf"m.jsonl:1 'x': (?i:.*{told})"):
        corpus["a"].streams["x"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="whoever may read everything is refused nothing")
def test_a_manifest_that_may_not_be_read(tmp_path: Path) -> None:
    path = manifest(tmp_path)
    path.chmod(0)
    with pytest.raises(DataError, match="cannot be read"):
        Corpus(path)


@pytest.mark.parametrize("name", ["a\x00b", "x" * 300, "x/" * 3000])
def test_a_manifest_of_an_impossible_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=r"no such manifest|cannot be read"):
        Corpus(tmp_path / name)


def test_another_file_is_not_told_of_line_by_line_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text("x\n" * (3 * MOST))
    _, problems = read_manifest(path)
    assert len(problems) == MOST + 1
    assert problems[-1] == f"m.jsonl:{MOST + 1}: reading stopped after 1,000 problems. Is this a manifest?"


def test_a_mark_of_byte_order_is_no_problem(tmp_path: Path) -> None:
    path = manifest(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert Corpus(path).ids == ["a"]


def test_a_writer_refuses_what_a_manifest_cannot_hold(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path) as out:
        with pytest.raises(DataError, match=r"recording 'a' labels.kind: expected a text"):
            out.add("a", {}, labels={"kind": [1]})  # type: ignore[dict-item]
        with pytest.raises(DataError, match=r"start"):
            out.add("b", {}, annotations=[Annotation(float("nan"), 1, "x")])


anything = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from(
            ["path", "part", "reader", "options", "texts", "spans", "rate", "duration", "origin", "offset"]
            + ["drift_ppm", "warp", "sync", "odd"]
        ),
        anything,
        max_size=4,
    )
)
def test_any_line_ends_in_a_stream_or_in_told_problems(tmp_path: Path, stream: dict[str, Any]) -> None:
    path = manifest(tmp_path, **stream)
    with suppress(DataError):
        Corpus(path)["a"].streams["x"].clock.describe()
    assert all(problem.strip() for problem in check_corpus(path).problems)


def test_a_name_of_spaces_can_be_seen() -> None:
    with pytest.raises(DataError, match=r"^' ': no such manifest"):
        Corpus(" ")
