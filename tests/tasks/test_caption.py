"""Captions: references, what is refused, what is read of which stream, evidence, and a small world that is learnt."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from plait import fit
from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import CorpusWriter
from plait.evaluation.deletion import deletion_of, effects_of
from plait.examples.data import ItemData
from plait.examples.items import Item
from plait.examples.targets import Annotated
from plait.models.model import Model
from plait.prediction.predict import Predictor
from plait.recipe import parse_recipe
from plait.store.store import Store
from plait.streams.recording import Annotation
from plait.streams.stream import Stream
from plait.tasks.caption import Caption
from plait.tasks.evidence import Caption as Answer
from plait.tasks.evidence import Layout, evidence_of, key_times
from plait.tasks.references import Vocabulary, rows_of, words_of
from plait.tasks.spelling import Words
from plait.tokens import Tokens
from plait.training.experiment import Experiment, open_corpus


def told(*texts: str, seconds: float = 1.0) -> Annotated:
    return Annotated(seconds, tuple((0.0, seconds, text) for text in texts))


KNOWN = [told("A dog runs.", "the dog runs"), told("Two men sit")]


def made(**options: object) -> Caption:
    return Caption(list(KNOWN), target="caption", least=1, width=16, layers=1, **options)  # type: ignore[arg-type]


def test_texts_that_training_lacks_stay_themselves() -> None:
    task = made()
    row = task.encode([told("a zebra runs", "a yak runs")]).numpy()
    assert task.judge.texts(np.array([task.words.numbers(["a", "dog"])], float), row) == [
        ("a zebra runs | a yak runs", "a dog")
    ]
    restored = Caption.restore(json.loads(json.dumps(task.state())), **task.options)
    assert restored.encode([told("a zebra runs", "a yak runs")]).numpy().tolist() == row.tolist()
    other = restored.judge.texts(row, row)[0][0].split(" | ")
    assert len(set(other)) == 2  # even where nobody told the words


def test_words_that_are_rare_are_neither_said_nor_taught() -> None:
    words = Vocabulary([["a", "dog"], ["a", "cat"]], Words(), 2)
    assert words.tokens == ["a"]
    with pytest.raises(DataError, match="no word occurs 3 times"):
        Vocabulary([["a", "dog"], ["a", "cat"]], Words(), 3)
    task = made().train()
    target = task.encode([told("a zebra runs")])
    output = torch.zeros(1, 2, task.n_outputs)
    same = torch.where(target > len(task.words), len(task.words) + 7, target)
    task.reader.eval()
    assert torch.equal(task.loss(output, target), task.loss(output, same))


def test_some_references_are_drawn_in_training() -> None:
    rows = torch.tensor([[1, 0, 2, 0, 3, 0], [4, 0, -1, -1, -1, -1]])
    texts, owner = rows_of(rows, 2)
    assert owner.tolist() == [0, 0, 1]
    assert texts[2].tolist() == [4]
    drawn = {tuple(rows_of(rows, 1)[0][:, 0].tolist()) for _ in range(40)}
    assert drawn == {(1, 4), (2, 4), (3, 4)}


def test_words_of_any_script_are_words() -> None:
    assert words_of("Zwei Hunde, naïf; 二匹の犬 !") == ["zwei", "hunde", "naïf", "二匹の犬"]
    assert words_of("A dog .", lower=False, punctuation=True) == ["A", "dog", "."]


def test_items_that_nobody_described_are_refused_by_name() -> None:
    items = [Item("a", 0.0, 1.0, told("a dog")), Item("b", 0.0, 1.0, Annotated(1.0), whole=True)]
    items.append(Item("c", 0.0, 1.0, told("...", " "), whole=True))
    with pytest.raises(DataError) as error:
        made().check_items(items)
    assert "b: nothing is annotated on the tier 'caption'" in str(error.value)
    assert "c: the texts on the tier 'caption' have no words" in str(error.value)
    for options, what in (({"token": "syllable"}, "token"), ({"temperature": 0.0}, "temperature")):
        with pytest.raises(ConfigError, match=what):
            made(**options)


def test_a_place_knows_its_stream_and_hidden_places_change_nothing() -> None:
    model = Model({"eye": 3, "ear": 2}, made(), fusion="late", dim=16).eval()
    eye = Tokens(torch.randn(2, 4, 3), torch.arange(4.0).expand(2, 4), torch.ones(2, 4) > 0)
    ear = Tokens(torch.randn(2, 6, 2), torch.arange(6.0).expand(2, 6), torch.ones(2, 6) > 0)
    both, one = model({"eye": eye, "ear": ear})[""], model({"eye": eye})[""]
    assert sorted(set(both[0, :, 2].tolist())) == [0.0, 1.0]
    target = model.task.encode(KNOWN)
    hidden = model({"eye": eye, "ear": ear._replace(mask=ear.mask & False)})[""]
    torch.testing.assert_close(model.task.loss(hidden, target), model.task.loss(one, target))
    torch.testing.assert_close(
        model.forward_subset(model.encode({"eye": eye, "ear": ear}), ["eye"])[""][:, :3], one[:, :3]
    )
    joined = model.task.joined([both, one])
    assert joined.shape[:2] == (4, both.shape[1])
    torch.testing.assert_close(model.task.loss(joined[2:], target), model.task.loss(one, target))


def test_evidence_is_the_region_and_the_time_of_most_attention() -> None:
    times = np.repeat([0.0, 0.5, 1.0], 4)
    layout = Layout(np.append(times, 0.2), ["eye"] * 12 + ["ear"], np.ones(13, bool), {"eye": (2, 2)})
    attention = np.full(13, 0.01)
    attention[6] = 0.7  # lower left at 0.5 s
    found = evidence_of(attention, layout)
    assert found == (0.25, 0.75, "eye", (0.0, 0.5, 0.5, 0.5))
    attention[12] = 2.0
    assert evidence_of(attention, layout)[:3] == (0.2, 0.2, "ear")
    assert key_times(attention[None], layout, most=1) == (0.5,)  # frames, not sounds
    nothing = Layout(times, ["eye"] * 12, np.zeros(12, bool), {})
    assert evidence_of(attention[:12], nothing) == (0.0, 0.0, "", None)


RECIPE = """
corpus: {folder}/manifest.jsonl
task: {{name: caption, target: caption, least: 1, width: 32, layers: 1, smoothing: 0, dropout: 0, word_dropout: 0,
  beam: 1, neighbours: {neighbours}}}
split: {{by: manifest}}
streams:
  sensor: {{encoder: {{name: linear, dropout: 0}}}}
augment: {{crop_resize: 0, gaussian_noise: 0, modality_dropout: 0}}
fusion: late
model: {{dim: 32}}
train: {{epochs: 40, batch: 16, lr: 0.01, temperature_scaling: false}}
"""
MOVES = ["rises", "falls", "turns"]


def small_world(folder: Path) -> None:
    """One of three channels is up for a while, then another one; the text names both in order."""
    rng = np.random.default_rng(0)
    with CorpusWriter(folder) as out:
        for i in range(96):
            first, second = rng.choice(3, 2, replace=False)
            values = 0.1 * rng.normal(size=(16, 3))
            values[2:6, first] += 2
            values[9:13, second] += 2
            note = Annotation(0.0, 4.0, f"it {MOVES[first]} then {MOVES[second]}", "caption")
            stream = Stream.of(values.astype(np.float32), rate=4)
            out.add(f"r{i:02}", {"sensor": stream}, annotations=[note], split="train" if i < 64 else "test")


@pytest.mark.slow
@pytest.mark.parametrize("neighbours", [0, 4])
def test_a_small_world_is_told_from_a_sensor_and_words_stand_on_their_evidence(tmp_path: Path, neighbours: int) -> None:
    small_world(tmp_path / "world")
    recipe = parse_recipe(RECIPE.format(folder=tmp_path / "world", neighbours=neighbours))
    run = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    experiment = Experiment.of(run.recipe, open_corpus(run.recipe, run.folder))
    (fold,) = experiment.folds
    model = run.model(run.finished[0])
    assert isinstance(model.task, Caption)
    data = ItemData(fold.test, experiment.prepare(Store(tmp_path / "cache")), model.task.asked(fold.test), ["sensor"])
    batch = data.batch(range(len(data)), model.dims)
    answers = model.task.decode(model(batch.inputs)[""])
    true = [model.task.words.texts(row)[0] for row in batch.targets.numpy()]
    assert np.mean([str(answer) == text for answer, text in zip(answers, true)]) > 0.9
    inside = [
        (0.5 <= (a + b) / 2 <= 1.5) if k == 1 else (2.0 <= (a + b) / 2 <= 3.5)
        for answer in answers
        if isinstance(answer, Answer)
        for k, (a, b, _, _) in enumerate(answer.words)
        if k in (1, 3)
    ]
    assert np.mean(inside) > 0.7
    found = deletion_of(effects_of(model, data))
    assert found is not None
    assert (found["ratio"] or 0) > 2
    (answer,) = Predictor(run, cache=tmp_path / "cache")(tmp_path / "world" / "manifest.jsonl")[:1]
    assert answer.annotations(tier="said")[0].label == str(answer.answer)


@pytest.mark.parametrize("metric", ["cider", "bleu4"])
def test_the_metric_of_some_items_by_their_indices_is_that_of_the_items(metric: str) -> None:
    task = made(metric=metric)
    target = task.encode([told("A dog runs.", "the dog runs"), told(), told("Two men sit"), told("a dog")]).numpy()
    said = ["a dog runs", "two men", "the men sit", "a dog"]
    numbers = [task.words.numbers(text.split()) for text in said]
    scores = np.array([[*row, -1, -1, -1][:4] for row in numbers], float)
    of = task.scorer(scores, target)
    for rows in ([0, 1, 2, 3], [0, 2], [1, 3, 3, 2], [2, 0]):
        assert of(np.array(rows)) == pytest.approx(task.main(scores[rows], target[rows]), rel=1e-9)
    assert np.isnan(of(np.array([1])))  # an item without a true text
