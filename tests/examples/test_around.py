"""Context in other segments: which ones, what the model sees of them, and that prediction sees the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plait import Predictor, evaluate, fit
from plait.core.errors import ConfigError
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.examples.data import Asked, ItemData
from plait.examples.items import Item, asked_items, find_items
from plait.examples.units.around import Around
from plait.recipe import parse_recipe
from plait.streams.clock import Grid, Spans
from plait.streams.recording import Annotation
from plait.streams.stream import Stream
from plait.testing import check_unit
from plait.training.experiment import Experiment

TURNS = [(0, 2, "ann", "a"), (2, 3, "bob", "b"), (2.5, 5, "ann", "c"), (5, 6, "bob", "d"), (6, 7, "ann", "e")]
UNIT = {"unit": "segment", "tier": "mood", "context": {"before": 2, "own": 1, "speaker": "who", "after": 1}}


def talk(folder: Path, *, moods: bool = True) -> Corpus:
    """One dialogue of `TURNS`, with its texts, a level at 10 Hz, and who speaks."""
    spans = tuple(zip(*((float(a), float(b)) for a, b, *_ in TURNS)))
    with CorpusWriter(folder) as out:
        streams = {
            "text": Stream.of([text for *_, text in TURNS], spans=spans, kind="words"),
            "who": Stream.of([who for *_, who, _ in TURNS], spans=spans, kind="words"),
            "level": Stream.of(np.arange(70.0)[:, None], rate=10),
        }
        notes = [Annotation(float(a), float(b), text, "mood") for a, b, _, text in TURNS] if moods else []
        out.add("talk", streams, annotations=notes)
    return Corpus(folder / "manifest.jsonl")


class Rows:
    """Features whose only column is the row's number."""

    def __init__(self, **clocks):
        self.clocks = clocks

    def get(self, recording, modality):
        clock = self.clocks[modality.partition(".")[0]]
        return np.arange(len(clock), dtype=np.float32)[:, None], clock


def rows_of(items, modalities, source):
    data = ItemData(items, source, Asked(torch.zeros(len(items))), modalities)
    return {
        m: [[] if (own := data.rows[m][i]) is None else own.values[:, 0].tolist() for i in range(len(items))]
        for m in modalities
    }


def test_which_segments_are_context(tmp_path):
    items = find_items(talk(tmp_path), UNIT).items
    assert [i.target for i in items] == list("abcde")
    starts = [{kind: [a for a, _ in own] for kind, own in i.others.items()} for i in items]
    assert starts == [
        {"before": [], "own": [], "after": [2]},
        {"before": [0], "own": [], "after": [2.5]},
        {"before": [0, 2], "own": [0], "after": [5]},
        {"before": [2, 2.5], "own": [2], "after": [6]},
        {"before": [2.5, 5], "own": [2.5], "after": []},
    ]


def test_the_features_within_them_are_modalities(tmp_path):
    items = find_items(talk(tmp_path), UNIT).items
    spans = Spans([a for a, *_ in TURNS], [b for _, b, *_ in TURNS])
    seen = rows_of(items, ["text", "text.before", "text.own"], Rows(text=spans))
    assert seen["text"] == [[0], [1], [2], [3], [4]], "turns that overlap do not get each other's texts"
    assert seen["text.before"] == [[], [0], [0, 1], [1, 2], [2, 3]]
    assert seen["text.own"] == [[], [], [0], [1], [2]]
    level = rows_of(items, ["level.before"], Rows(level=Grid(0, 10, 70)))["level.before"]
    assert level[3] == list(range(20, 50)), "what two segments share is there once"
    data = ItemData(items, Rows(text=spans), Asked(torch.zeros(5)), ["text.before"])
    assert data.rows["text.before"][2].times.tolist() == [1 - 2.5, 2.5 - 2.5], "seconds from the item's own start"


spans_of_talk = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 8)).map(lambda t: (float(t[0]), float(t[0] + t[1]))), max_size=14
)


@settings(max_examples=60, deadline=None)
@given(spans_of_talk, st.integers(0, 3), st.integers(0, 3), st.randoms(use_true_random=False))
def test_same_as_a_naive_search_and_causal(spans, before, own, random):
    if not before + own:
        return
    speakers = {span: random.choice("ab") for span in spans}
    found = Around(before=before, own=own, speaker="who").of_all(spans, speakers)
    assert set(found) == set(spans)
    for span, kinds in found.items():
        earlier = sorted(s for s in set(spans) if s < span and s[1] <= span[1])
        assert kinds.get("before", ()) == tuple(earlier[max(0, len(earlier) - before) :])
        mine = [s for s in earlier if speakers[s] == speakers[span]]
        assert kinds.get("own", ()) == tuple(mine[max(0, len(mine) - own) :])
        # What begins or ends later changes nothing.
        until = [s for s in spans if s[1] <= span[1]]
        assert Around(before=before, own=own, speaker="who").of_all(until, speakers)[span] == kinds


def test_who_speaks_is_who_speaks_most(tmp_path):
    with CorpusWriter(tmp_path) as out:
        moods = [Annotation(a, b, "x", "mood") for a, b in ((0.0, 2.0), (2.0, 4.0), (4.0, 6.0), (8.0, 9.0))]
        who = [
            Annotation(0.0, 2.2, "ann", "who"),
            Annotation(2.2, 4.5, "bob", "who"),
            Annotation(4.5, 7.0, "ann", "who"),
        ]
        out.add("talk", {"level": Stream.of(np.zeros((90, 1)), rate=10)}, annotations=[*moods, *who])
    found = find_items(Corpus(tmp_path / "manifest.jsonl"), {**UNIT, "context": {"own": 1, "speaker": "who"}})
    assert [dict(i.others) for i in found] == [{"own": ()}, {"own": ()}, {"own": ((0.0, 2.0),)}, {"own": ()}]
    assert found.dropped == {"context: segments whose speaker is unknown": 1}


def test_left_out_segments_are_context_too(tmp_path):
    unit = {"unit": "segment", "tier": "mood", "index": -1, "context": {"before": 1}}
    (item,) = find_items(talk(tmp_path), unit).items
    assert item.others == {"before": ((5.0, 6.0),)}


def test_prediction_sees_the_same(tmp_path):
    corpus = talk(tmp_path / "labelled")
    assert check_unit(corpus, UNIT) == 5
    trained = find_items(corpus, UNIT).items
    (asked, notes) = asked_items(talk(tmp_path / "new", moods=False), UNIT)
    assert not notes, "without labels, turns of the speakers are the segments"
    assert [(i.start, i.stop, i.others) for i in asked] == [(i.start, i.stop, i.others) for i in trained]
    (one,) = asked_items(corpus, UNIT, [(5.0, 6.0)])[0].items
    assert one.others == trained[3].others


@pytest.mark.parametrize(
    ("context", "told"),
    [
        ({}, "is empty"),
        ({"own": 1}, "needs speaker"),
        ({"befor": 1}, "Did you mean 'before'"),
        ({"before": "two"}, "expected a whole number"),
        ({"before": 1, "of": "text"}, "expected a list"),
        ({"own": 1, "speaker": "whom"}, "no recording has 'whom'"),
    ],
)
def test_wrong_options_are_told(tmp_path, context, told):
    with pytest.raises(ConfigError, match=told):
        find_items(talk(tmp_path), {**UNIT, "context": context})


RECIPE = """
corpus: {folder}/manifest.jsonl
task: {{name: classify, unit: segment, tier: mood, context: {{before: 1, own: 1, speaker: who, of: [level]}}}}
split: {{by: manifest}}
streams: {{level: {{feature: series}}, level.own: {{encoder: linear}}}}
train: {{epochs: 12, seeds: [0]}}
"""


def echoes(folder: Path) -> None:
    """Dialogues in which the mood is the level of the turn before; the present level says nothing."""
    rng = np.random.default_rng(0)
    with CorpusWriter(folder) as out:
        for i in range(40):
            level = rng.choice([-1.0, 1.0], 6)
            notes = [
                Annotation(float(k), k + 1.0, "up" if level[k - 1] > 0 else "down", "mood") for k in range(1, 6)
            ] + [Annotation(0.0, 1.0, "up", "mood")]
            who = [Annotation(float(k), k + 1.0, "ab"[k % 2], "who") for k in range(6)]
            stream = Stream.of(np.repeat(level, 10)[:, None] + 0.1 * rng.standard_normal((60, 1)), rate=10)
            out.add(f"r{i:02}", {"level": stream}, annotations=notes + who, split="test" if i >= 30 else "train")


def test_modalities_of_a_recipe(tmp_path):
    echoes(tmp_path)
    recipe = parse_recipe(RECIPE.format(folder=tmp_path))
    found = Experiment.of(recipe, Corpus(tmp_path / "manifest.jsonl"))
    assert found.streams == dict.fromkeys(["level", "level.before", "level.own"], "level")
    assert found.features["level.before"] == found.features["level"]
    for change, told in (
        ("streams.level.own.rate=5", "nothing else of its own"),
        ("streams.level.after.encoder=gru", "no recording has a stream"),
        ("task.context.of=[levl]", "no modality 'levl'"),
    ):
        with pytest.raises(ConfigError, match=told):
            Experiment.of(changed(tmp_path, change), Corpus(tmp_path / "manifest.jsonl"))


def changed(folder, change):
    key, _, value = change.partition("=")
    recipe = parse_recipe(RECIPE.format(folder=folder))
    if key.startswith("task"):
        return parse_recipe(RECIPE.format(folder=folder), [change])
    _, stream, kind, option = key.split(".")
    plan = {"encoder": value} if option == "encoder" else {"rate": float(value)}
    recipe.streams[f"{stream}.{kind}"] = type(recipe.streams["level"])(**plan)
    return recipe


@pytest.mark.slow
def test_what_came_before_is_learnt_scored_and_predicted(tmp_path):
    echoes(tmp_path / "talks")
    recipe = parse_recipe(RECIPE.format(folder=tmp_path / "talks"))
    run = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    result = evaluate(run, cache=tmp_path / "cache")
    accuracy = {"+".join(s["modalities"]): s["metrics"]["accuracy"]["mean"] for s in result["subsets"]}
    assert accuracy["level+level.before+level.own"] > 0.8
    assert accuracy["level"] < 0.75
    found = Predictor(run, cache=tmp_path / "cache")([tmp_path / "talks" / "manifest.jsonl"])
    assert found[0].missing == ("level.before", "level.own")
    assert found[5].used == ("level", "level.before", "level.own")


def test_an_item_of_a_run_from_before_has_no_context():
    assert Item("r", 0.0, 1.0, "x").others == {}
    assert Around(before=1).of_recording(None, [], Counter()) == {}
