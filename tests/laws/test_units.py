"""The law over every unit: training and prediction look at the same examples."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plait.core.parts import parts
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.examples.items import Item, asked_items
from plait.examples.units import Unit
from plait.streams.recording import Annotation
from plait.streams.stream import Stream
from plait.testing import LawBroken, check_unit

note = st.tuples(st.floats(-3, 14), st.floats(0, 6), st.sampled_from(["a", "b", "sil", 1, 2.5]))
recordings = st.lists(
    st.tuples(st.integers(0, 120), st.floats(-2, 2), st.lists(note, max_size=8), st.booleans()), min_size=1, max_size=3
)
options = {
    "recording": st.fixed_dictionaries({"target": st.just("y")}, optional={"asks": st.just("nothing")}),
    "segment": st.fixed_dictionaries(
        {"tier": st.sampled_from(["t", "words"])},
        optional={
            "labels": st.lists(st.sampled_from(["a", "sil", 1]), min_size=1, max_size=2),
            "match": st.sampled_from(["[a-z]", ".*"]),
            "index": st.integers(-2, 2),
            "pad": st.floats(0, 4),
            "context": st.sampled_from([{"before": 2}, {"own": 1, "speaker": "words", "after": 1}]),
        },
    ),
    "window": st.fixed_dictionaries(
        {"tier": st.sampled_from(["t", "words"]), "length": st.floats(0.3, 5)},
        optional={
            "hop": st.floats(0.3, 5),
            "coverage": st.floats(0, 1),
            "pad": st.floats(0, 4),
            "average": st.booleans(),
            "asks": st.just("nothing"),
        },
    ),
}


def corpus_of(folder: Path, rows: list[Any]) -> Corpus:
    with CorpusWriter(folder) as out:
        for i, (n, start, notes, labelled) in enumerate(rows):
            times = start + np.arange(n) / 10
            streams = {"imu": Stream.of(np.zeros((n, 1)), times=times)} if n else {}
            spans = sorted((float(a), float(a + d)) for a, d, _ in notes)
            if spans:
                texts = np.array([str(label) for *_, label in notes], object)
                streams["words"] = Stream.of(texts, spans=tuple(zip(*spans)), kind="words")
            annotations = [Annotation(a, a + d, label, "t") for a, d, label in notes]
            out.add(f"r{i}", streams, labels={"y": "x"} if labelled else {}, annotations=annotations)
    return Corpus(folder / "manifest.jsonl")


ONLY_WORDS = [(0, 0.0, [(0.0, 2.0, "a"), (2.0, 2.0, "b")], True)]
SIMPLEST: dict[str, dict[str, Any]] = {
    "recording": {"target": "y"},
    "segment": {"tier": "words"},
    "window": {"tier": "words", "length": 1.0},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", parts(Unit))
def test_training_and_prediction_look_at_the_same_examples(kind: str) -> None:
    assert kind in options, f"say here which options the new unit {kind!r} takes"
    found = 0

    @settings(max_examples=150)
    @example(rows=ONLY_WORDS, unit=SIMPLEST[kind])
    @given(rows=recordings, unit=options[kind])
    def law(rows: list[Any], unit: dict[str, Any]) -> None:
        nonlocal found
        with tempfile.TemporaryDirectory() as folder:
            found += check_unit(corpus_of(Path(folder), rows), {"unit": kind, **unit})

    law()
    assert found > 20, "the law was held over examples"


def test_the_law_can_be_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = corpus_of(tmp_path, [(100, 0.0, [(0.0, 1.5, "a"), (8.5, 3.0, "b"), (2.0, 1.0, "sil")], True)])
    unit = {"unit": "segment", "tier": "t", "match": "[a-z]", "pad": 0.5}
    assert check_unit(corpus, unit) == 2

    def unclipped(corpus: Corpus, unit: Any) -> Any:
        found, notes = asked_items(corpus, unit)
        items = [Item(i.recording, i.start - 0.5, i.stop, i.target, i.group) for i in found.items]
        return type(found)(items, {}), notes

    monkeypatch.setattr("plait.testing.unit.asked_items", unclipped)
    with pytest.raises(LawBroken, match="units"):
        check_unit(corpus, unit)
