"""Texts of a tier as a stream: each item has its own, also where several have the same interval."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from plait.core.errors import ConfigError
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.examples.data import ItemData
from plait.examples.items import find_items
from plait.recipe import parse_recipe
from plait.store.store import Store
from plait.streams.recording import Annotation
from plait.streams.stream import Stream
from plait.tasks.retrieve import Retrieve
from plait.training.experiment import Experiment

UNIT = {"unit": "segment", "tier": "said", "asks": "nothing", "numbered": True}


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Two recordings; texts of one interval, texts one after another, an empty one, and one of another tier."""
    with CorpusWriter(tmp_path) as out:
        same = [Annotation(0.0, 2.0, text, "said", str(n)) for n, text in enumerate(["red dog", "blue cat", " "])]
        out.add("a", {"seen": Stream.of(np.ones((2, 3)), rate=1)}, annotations=[*same, Annotation(0, 2, "x", "other")])
        turns = [Annotation(1.0, 2.0, "green", "said"), Annotation(0.0, 1.0, "red dog", "said")]
        out.add("b", {"seen": Stream.of(np.ones((2, 3)), rate=1)}, annotations=turns)
    return Corpus(tmp_path / "manifest.jsonl")


def test_a_tier_is_a_stream_of_words(corpus: Corpus) -> None:
    plain, numbered = corpus.with_tiers({"said": False}), corpus.with_tiers({"said": True})
    assert list(plain["b"].streams["said"].read()) == ["red dog", "green"], "in order of time"
    assert plain["b"].streams["said"].clock.times.tolist() == [0.5, 1.5]
    assert numbered["a"].streams["said"].clock.times.tolist() == [0.5, 1.5, 2.5]
    assert "said" not in corpus["a"].streams, "the corpus stays as it is"


def test_items_know_their_numbers_and_empty_texts_are_counted(corpus: Corpus) -> None:
    found = find_items(corpus, UNIT)
    assert [i.id for i in found] == ["a@0.000-2.000#0", "a@0.000-2.000#1", "b@0.000-1.000#0", "b@1.000-2.000#1"]
    assert found.dropped == {"annotations: empty texts": 1}
    assert [i.target for i in found] == ["a", "a", "b", "b"]
    plain = find_items(corpus, {k: v for k, v in UNIT.items() if k != "numbered"})
    assert {i.number for i in plain} == {None}


def recipe(corpus: Corpus, more: str = "") -> str:
    return f"""
corpus: {corpus.path}
task: {{name: retrieve, query: [text], gallery: [seen], unit: segment, tier: said}}
streams: {{seen: {{feature: series}}, text: {{tier: said, feature: {{name: hashed_text, dim: 8, letters: 0}}{more}}}}}
fusion: late
"""


def test_each_item_has_its_own_text(corpus: Corpus, tmp_path: Path) -> None:
    experiment = Experiment.of(parse_recipe(recipe(corpus)), corpus, split=False)
    features = experiment.prepare(Store(tmp_path / "cache"))
    items = experiment.items.items
    task = Retrieve([], query=["text"], gallery=["seen"])
    data = ItemData(items, features, task.asked(items), experiment.modalities)
    rows = [data.rows["text"][i] for i in range(4)]
    assert all(row is not None and row.values.shape == (1, 8) for row in rows)
    alike = [[bool(np.allclose(a.values, b.values)) for b in rows] for a in rows]  # type: ignore[union-attr]
    assert alike == [[True, False, True, False], [False, True, False, False], [True, False, True, False],
                     [False, False, False, True]]  # fmt: skip
    assert [float(row.times[0]) for row in rows] == [1.0, 1.0, 0.5, 0.5]  # type: ignore[union-attr]


def test_a_tier_that_is_not_there_is_told(corpus: Corpus) -> None:
    wrong = recipe(corpus).replace("tier: said, feature", "tier: sayd, feature")
    with pytest.raises(ConfigError, match="no recording has a tier 'sayd'"):
        Experiment.of(parse_recipe(wrong), corpus, split=False)
    with pytest.raises(ConfigError, match="names a stream and a tier"):
        Experiment.of(parse_recipe(recipe(corpus, ", stream: seen")), corpus, split=False)
