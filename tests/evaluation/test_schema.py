"""What is computed is what the schema says, and what is read back is checked against it."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

import plait
from plait.core.errors import DataError
from plait.evaluation.evaluate import evaluate
from plait.evaluation.schema import _ADAPTER, Evaluation, evaluation_schema, read_evaluation
from plait.evaluation.summary import summarise
from plait.recipe import load_recipe
from plait.report.report import save_evaluation
from plait.training.fit import fit

ROOT = Path(__file__).parents[2]


@pytest.fixture
def evaluation(make_replicates, classify):
    return summarise(classify(["x", "y", "z"]), make_replicates(["see", "hear"]))


def kept(found):
    """It fits the schema, with no key at the top that the schema does not have."""
    _ADAPTER.validate_python(found, strict=True)
    assert set(found) <= set(Evaluation.__annotations__)


@pytest.mark.parametrize("change", [{}, {"seeds": 1}, {"groups": 3, "folds": 1}, {"modalities": ["see"]}])
@pytest.mark.parametrize("classes", [0, 3])
def test_every_evaluation_fits(make_replicates, classify, regress, change, classes):
    options = {"modalities": ["see", "hear"], **change}
    task = classify(["x", "y", "z"]) if classes else regress
    kept(summarise(task, make_replicates(options.pop("modalities"), classes=classes, **options)))


@pytest.mark.slow
@pytest.mark.parametrize("task", ["{name: classify, target: kind}", "{name: regress, target: score, sentiment: true}"])
def test_so_does_that_of_a_run_and_it_comes_back_the_same(tiny_recipe, tmp_path, task):
    recipe = load_recipe(tiny_recipe, [f"task={task}", "train.seeds=[0, 1]"])
    run = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    found = evaluate(run, cache=tmp_path / "cache")
    kept(found)
    assert {"parts", "training", "recipe_yaml", "versions", "date", "unfinished"} <= set(found)
    save_evaluation(found, tmp_path / "run")
    assert plait.read_evaluation(tmp_path / "run") == found == read_evaluation(tmp_path / "run/evaluation.json")


def test_the_schemas_file_is_that_of_the_code():
    made = runpy.run_path(str(ROOT / "docs/pictures/evaluation_schema.py"))
    assert made["FILE"].read_text(encoding="utf-8") == made["text"](), "run: python docs/pictures/evaluation_schema.py"
    assert set(evaluation_schema()["properties"]) == set(Evaluation.__annotations__)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", "no JSON"),
        ("[]", "no evaluation: got .*; expected an object with 'subsets'"),
        ('{"variants": []}', "no evaluation"),
        ('{"subsets": []}', "version none, so that it is from an older plait; expected 1"),
        ('{"subsets": [], "version": 2}', "version 2; expected 1"),
    ],
)
def test_what_is_older_or_foreign_is_told_with_what_to_do(tmp_path, text, said):
    (tmp_path / "evaluation.json").write_text(text)
    with pytest.raises(DataError, match=f"evaluation.json: {said}.*plait evaluate RUN"):
        read_evaluation(tmp_path)


def test_every_wrong_value_is_told_with_its_place(evaluation, tmp_path):
    evaluation["subsets"][0]["interval"]["low"] = "little"
    evaluation["task"]["colour"] = "red"
    del evaluation["seeds"]
    (tmp_path / "e.json").write_text(json.dumps(evaluation))
    with pytest.raises(DataError) as error:
        read_evaluation(tmp_path / "e.json")
    assert len(error.value.problems) == 3
    told = "\n".join(error.value.problems)
    assert "subsets.0.interval.low: got 'little'; input should be a valid number" in told
    assert "task.colour: got 'red'; extra inputs are not permitted" in told
    assert "seeds: " in told


def test_a_section_of_ones_own_may_stand_beside_the_others(evaluation, tmp_path):
    (tmp_path / "e.json").write_text(json.dumps({**evaluation, "mine": [1]}))
    assert read_evaluation(tmp_path / "e.json")["mine"] == [1]
