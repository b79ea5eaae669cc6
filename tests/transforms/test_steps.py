"""Steps in a recipe: what they change, what the caches know of them, and what is said of a wrong one."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.recipe import parse_recipe
from plait.store.prepare import prepare, resolve_features
from plait.store.stepped import build_feature, full_feature
from plait.store.store import Store
from plait.streams.stream import Stream
from plait.transforms import apply_steps

MODULE = """
import numpy as np
from dataclasses import replace
from plait.transforms import Step
from plait.streams.stream import ArraySource

class Add(Step):
    kinds = ("series",)
    causal = False

    def __init__(self, *, by=1.0):
        self.by = by

    @property
    def receptive_field(self):
        return 0.5

    def apply(self, stream):
        return replace(stream, source=ArraySource(stream.read() + self.by), first=0)

    def notes(self):
        return {"rows changed": 3}
"""


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_lab_steps.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_lab_steps", raising=False)
    return "my_lab_steps.Add"


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    with CorpusWriter(tmp_path / "corpus") as writer:
        writer.add("a", {"imu": Stream.of(np.zeros((10, 2)), rate=10)})
    return Corpus(tmp_path / "corpus/manifest.jsonl")


def test_steps_come_before_the_feature_and_are_declared_with_it(add: str) -> None:
    feature = build_feature({"name": "series", "preprocess": [add, {"name": add, "by": 2}]}, "x")
    values, _ = feature(Stream.of(np.zeros((4, 1)), rate=10))
    assert np.all(values == 3)
    assert (feature.causal, feature.receptive_field) == (False, 1.0)
    assert feature.notes() == {"rows changed": 6}


def test_the_store_tells_steps_apart(add: str, corpus: Corpus, tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    specs = [{"name": "series"}, {"preprocess": [add]}, {"name": "series", "preprocess": [{"name": add, "by": 5}]}]
    first = [prepare(corpus, {"imu": spec}, store).get("a", "imu") for spec in specs]
    assert [float(found[0][0, 0]) for found in first if found] == [0, 1, 5]
    again = prepare(corpus, {"imu": specs[2]}, store)
    assert (again.computed, again.cached) == (0, 1)


def test_defaults_are_written_out(add: str, corpus: Corpus) -> None:
    full = resolve_features(corpus, {"imu": {"preprocess": [add]}})["imu"]
    assert full["name"] == "series"
    assert full["preprocess"] == [{"name": add, "by": 1.0}]
    assert full_feature(full, "x") == full


def test_a_wrong_step_is_named() -> None:
    with pytest.raises(ConfigError, match=r"x\.preprocess\.0: there is no step 'nope'"):
        build_feature({"name": "series", "preprocess": ["nope"]}, "x")
    with pytest.raises(ConfigError, match="expected a list of steps"):
        build_feature({"name": "series", "preprocess": 3}, "x")


def test_a_step_refuses_another_kind(add: str) -> None:
    with pytest.raises(DataError, match="Add takes series, but the stream is words"):
        apply_steps(Stream.of(["a"], times=[0.0]), [add])


def test_a_recipe_names_steps() -> None:
    recipe = parse_recipe("{corpus: m.jsonl, task: classify, streams: {imu: {preprocess: [{name: add, by: 2}]}}}")
    assert recipe.streams["imu"] is not None
    assert recipe.streams["imu"].preprocess == [{"name": "add", "by": 2}]
