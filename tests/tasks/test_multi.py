"""Several targets in one model: where they come from, their losses by name, and a whole run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from plait import Predictor, evaluate, fit
from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.examples.items import find_items
from plait.examples.targets import Named, target_from_json, target_to_json
from plait.recipe import parse_recipe
from plait.streams.recording import Annotation
from plait.streams.stream import Stream
from plait.tasks.classify import Classify
from plait.tasks.multi import Multi
from plait.tasks.regress import Regress
from plait.tasks.view import View
from plait.tokens import Tokens

TASKS = {"mood": {"name": "classify"}, "valence": {"name": "regress", "loss": "mse"}}
TARGETS = [Named({"mood": m, "valence": v}) for m, v in (("glad", 2.0), ("cross", -1.0), ("glad", 1.0))]


def test_losses_are_those_of_the_tasks_alone():
    both = Multi(TARGETS, tasks=TASKS, weights={"valence": 0.5})
    mood, valence = Classify(["glad", "cross", "glad"]), Regress([2.0, -1.0, 1.0], loss="mse")
    output, target = torch.randn(3, 3), both.encode(TARGETS)
    own = mood.loss(output[:, :2], target[:, 0].long()), valence.loss(output[:, 2:], target[:, 1])
    torch.testing.assert_close(both.loss(output, target), own[0] + 0.5 * own[1])
    tokens = Tokens(torch.ones(3, 1, 4), torch.zeros(3, 1), torch.ones(3, 1) > 0)
    found = both.step([View({"m": tokens}, {"m": output}, output, output, teacher=output)], target)
    assert set(found) == {"fused.mood", "unimodal.mood", "self_distillation.mood", "fused.valence", "unimodal.valence"}
    torch.testing.assert_close(found["fused.valence"], 0.5 * own[1].mean())
    scores = both.scores(output)
    assert both.metrics(scores, target.numpy())["valence.rmse"] == pytest.approx(
        valence.metrics(valence.scores(output[:, 2:]), target[:, 1].numpy())["rmse"]
    )


def test_targets_survive_json():
    assert target_from_json(target_to_json(TARGETS[0])) == TARGETS[0]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tasks": {}}, "is empty"),
        ({"tasks": {"mood": {"name": "tag", "target": "mood"}}}, "Choose one per item"),
        ({"tasks": {"mood": "clasify"}}, "task.tasks.mood"),
        ({"tasks": TASKS, "weights": {"moo": 1.0}}, "task.weights.moo"),
    ],
)
def test_wrong_options_are_told(options, told):
    with pytest.raises(ConfigError, match=told):
        Multi(TARGETS, **options)


def test_a_target_that_lacks_one_is_refused():
    with pytest.raises(DataError, match="has no valence"):
        Multi([Named({"mood": "glad"})], tasks=TASKS)


def talks(folder: Path) -> Corpus:
    rng = np.random.default_rng(0)
    with CorpusWriter(folder) as out:
        for i in range(40):
            level = rng.normal(size=5)
            notes = [Annotation(k, k + 1.0, "glad" if x > 0 else "cross", "mood") for k, x in enumerate(level)]
            values = [Annotation(k, k + 1.0, float(x), "valence") for k, x in enumerate(level)]
            stream = Stream.of(np.repeat(level, 10)[:, None] + 0.1 * rng.standard_normal((50, 1)), rate=10)
            out.add(
                f"r{i:02}", {"tone": stream}, annotations=notes + values[i == 0 :], split="test" if i > 29 else "train"
            )
    return Corpus(folder / "manifest.jsonl")


UNIT = {"unit": "segment", "tier": "mood", "asks": "several", "names": ["mood", "valence"]}


def test_labels_of_the_same_interval(tmp_path):
    found = find_items(talks(tmp_path), {**UNIT, "pad": 0.3})
    assert len(found) == 199
    assert found.dropped == {"target 'valence': target is not a text or a number": 1}
    assert all((i.target.labels["valence"] > 0) == (i.target.labels["mood"] == "glad") for i in found)


@pytest.mark.slow
def test_a_run_with_classes_and_values(tmp_path):
    talks(tmp_path / "talks")
    recipe = parse_recipe(
        f"""
corpus: {tmp_path}/talks/manifest.jsonl
task:
  name: multi
  unit: segment
  tier: mood
  tasks: {{mood: classify, valence: {{name: regress, loss: ccc, metric: ccc}}}}
train: {{epochs: 12, seeds: [0]}}
"""
    )
    run = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    metrics = evaluate(run, cache=tmp_path / "cache")["subsets"][-1]["metrics"]
    assert next(iter(metrics)) == "mood.accuracy"
    assert metrics["mood.accuracy"]["mean"] > 0.85
    assert metrics["valence.ccc"]["mean"] > 0.8
    (first, *_) = Predictor(run, cache=tmp_path / "cache")([tmp_path / "talks" / "manifest.jsonl"])
    assert [a.tier for a in first.annotations(tier="said")] == ["said.mood", "said.valence"]
    assert str(first.answer).startswith("mood: ")
