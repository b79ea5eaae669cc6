"""A unit and a split of one's own, in a module outside of plait, from the recipe to the prediction."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plait.cli import main
from plait.core.errors import ConfigError, DataError
from plait.core.parts import options_of, parts
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.evaluation.evaluate import evaluate
from plait.examples.items import Item, find_items, full_unit, split_items, unit_of
from plait.examples.splits import Split, full_split, holds_back
from plait.examples.units import ASKED, Unit
from plait.prediction.predict import predict
from plait.recipe import load_recipe
from plait.streams.recording import Annotation
from plait.streams.stream import Stream
from plait.tasks import Task
from plait.training.experiment import task_and_unit
from plait.training.fit import fit
from plait.training.full import full_recipe
from plait.training.run import Run

MODULE = '''
from dataclasses import replace
from typing import Literal

from plait.examples.splits import Fold, Split, fold_of
from plait.examples.units import Cut, Length, Unit, measured_span


class Half(Unit):
    """The first and the second half of a recording."""

    source = "target"
    needs = {"target": "the name of a label"}

    def __init__(self, *, target: str | None, least: Length = 0.5, dropout: float = 0.0) -> None:
        self.target, self.least = target, least

    def cut(self, recording, dropped, *, asked):
        start, stop = measured_span(recording)
        middle = (start + stop) / 2
        if middle - start < self.least:
            dropped["recordings: too short"] += 1
            return []
        target = None if asked else recording.labels[self.target]
        return [Cut(start, middle, target), Cut(middle, stop, target)]


class Odd(Split):
    """Recordings with an odd number in their name are tested on."""

    def __init__(self, *, digits: int = 1, how: Literal["well", "twice", "regroup", "empty", "many", "none"] = "well"):
        self.digits, self.how = digits, how

    def divide(self, items, corpus):
        side = {e.id: "test" if int(e.group[1:]) % 2 else "train" for e in corpus.entries}
        fold = fold_of(items, side)
        if self.how == "twice":
            return [Fold(fold.train, fold.train[:1], fold.test)]
        if self.how == "regroup":
            alone = [replace(i, group=i.id) for i in items]
            return [Fold(alone[:9], [], alone[9:])]
        if self.how == "empty":
            return [Fold([], [], items)]
        return {"well": [fold], "many": [fold, fold], "none": None}[self.how]


class Within(Split):
    """Every other item, without a look at its group; the items do not say their sides."""

    def divide(self, items, corpus):
        return [Fold(items[::2], [], items[1::2])]


class Twice(Split):
    holds_back = False

    def __init__(self, *, names: list[str]):
        self.names = names

    def divide(self, items, corpus):
        group = items[0].group
        own, rest = [i for i in items if i.group == group], [i for i in items if i.group != group]
        return [Fold(own, [], rest, self.names[0]), Fold(rest, [], own, self.names[1])]
'''


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module outside of plait."""
    (tmp_path / "mylab_parts.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mylab_parts", raising=False)
    return "mylab_parts"


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    with CorpusWriter(tmp_path / "c") as out:
        for i in range(12):
            imu = Stream.of(np.full((20, 1), i % 2.0), rate=10)
            out.add(f"r{i}", {"imu": imu}, labels={"y": "ab"[i % 2]}, group=f"g{i // 2}")
    return Corpus(tmp_path / "c/manifest.jsonl")


@pytest.mark.slow
def test_from_the_recipe_to_the_prediction(module: str, corpus: Corpus, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(
        f"corpus: {corpus.path}\ntask: {{name: classify, unit: {module}.Half, target: y, smoothing: 0.2}}\n"
        f"split: {{name: {module}.Odd, digits: 2}}\nmodel: {{dim: 8}}\n"
        "train: {epochs: 2, wide: false, temperature_scaling: false}\n"
    )
    recipe, cache = load_recipe(path), tmp_path / "cache"
    assert full_recipe(recipe).task["least"] == 0.5
    assert full_recipe(recipe).task["smoothing"] == 0.2
    run = fit(recipe, tmp_path / "run", cache=cache, quiet=True)
    (fold,) = run.info.folds
    assert (len(fold.train), len(fold.test)) == (6, 6)
    result = evaluate(run, cache=cache)
    assert (result["task"]["unit"], result["task"]["target"], result["items"]) == ("half", "y", 12)
    rows = predict(run, [corpus.path], cache=cache)
    assert [(r.start, r.stop) for r in rows[:2]] == [(0.0, 1.0), (1.0, 2.0)]
    assert len(rows) == 24
    assert [(r.start, r.stop) for r in predict(run, [corpus.path], cache=cache, segments=[(0.2, 1)])[:1]] == [
        (0.2, 1.0)
    ]
    stranger = Run(run.folder)
    for ask in (lambda: predict(stranger, [corpus.path], cache=cache), lambda: evaluate(stranger, cache=cache)):
        with pytest.raises((ConfigError, DataError), match="--allow-code"):
            ask()
    assert main(["show", str(run.folder)]) == 2
    assert main(["show", str(run.folder), "--allow-code"]) == 0


def test_where_nothing_is_found_the_whole_is_asked_about(module: str, corpus: Corpus) -> None:
    from plait.examples.items import asked_items

    asked, notes = asked_items(corpus, {"unit": f"{module}.Half", "target": "y", "least": 2.0})
    assert {i.whole for i in asked} == {True}
    assert notes["r0"] == "recordings: too short: asked about as a whole"


def test_the_units_options_are_the_units_and_the_rest_the_tasks(module: str, corpus: Corpus, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"corpus: {corpus.path}\ntask: {{name: classify, unit: {module}.Half, target: y, dropout: 0.1}}\n")
    task, unit = task_and_unit(load_recipe(path))
    assert task == {"name": "classify"}
    assert unit == unit_of({**unit, "smoothing": 0.1}) == {"unit": f"{module}.Half", "target": "y", "dropout": 0.1}


@pytest.mark.parametrize("task", parts(Task))
def test_no_task_of_plait_shares_an_option_with_a_unit(task: str) -> None:
    units = set(ASKED).union(*map(options_of, parts(Unit).values()))
    told = {"causal"}  # by the task, to the unit
    several = ("annotations", "relations", "future")
    told |= {"target"} if parts(Task)[task].asks in several else set()  # of those, not of a recording
    assert not (units - told) & {*options_of(parts(Task)[task])}


@pytest.mark.parametrize(
    ("unit", "told"),
    [
        ({"unit": "windwo"}, "task.unit: there is no unit 'windwo'. Did you mean 'window'"),
        ({"unit": "{}.Halv"}, r"task.unit: cannot import"),
        ({"unit": "{}.Odd"}, r"task.unit: .*Odd is not a concrete subclass of plait.examples.units.Unit"),
        ({"unit": "{}.Half", "target": "y", "leest": 1}, "task.leest: unit .*Half has no such option. Did you mean"),
        ({"unit": "{}.Half", "target": "y", "hop": 1}, "task.hop: .* It belongs to unit: window"),
        ({"unit": "{}.Half", "target": "y", "least": -1}, "task.least: got -1; expected seconds above 0"),
        ({"unit": "{}.Half"}, "task.target: missing. Unit .*Half needs the name of a label"),
        ({"unit": "window", "tier": "t", "length": "x"}, "task.length: got 'x'; expected seconds above 0."),
        ({"unit": "segment", "tier": "t", "match": "("}, r"task.match: got '\('; expected a regular expression"),
    ],
)
def test_what_is_wrong_with_a_unit_is_said(module: str, unit: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        full_unit({**unit, "unit": unit["unit"].format(module)})


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"name": "fold"}, "split: there is no split 'fold'. Did you mean 'folds'"),
        ({"name": "{}.Od"}, "split: cannot import"),
        ({"name": "{}.Half"}, "split: .*Half is not a concrete subclass of plait.examples.splits.Split"),
        ({"name": "{}.Odd", "digts": 1}, "split.digts: a split by .*Odd has no such option. Did you mean 'digits'"),
        ({"name": "{}.Odd", "digits": "two"}, "split.digits: got 'two'; expected a whole number"),
        ({"name": "{}.Odd", "tune": 1}, "split.tune: got 1; expected a whole number from 2 up"),
        ({"name": "{}.Twice", "names": ["a", "b"], "tune": 2}, "split.tune: .* nothing to protect"),
        ({"hash": "group", "subject_dependnt": True}, "Did you mean 'subject_dependent'"),
        ({"hash": 3}, "split.hash: got 3; expected a text. Put a number in quotes."),
        ({"nme": "hash"}, "Did you mean 'name'"),
    ],
)
def test_what_is_wrong_with_a_split_is_said(module: str, spec: dict[str, Any], told: str) -> None:
    named = {"name": spec["name"].format(module)} if "name" in spec else {}
    with pytest.raises(ConfigError, match=told):
        full_split({**spec, **named})


def items_of(corpus: Corpus) -> list[Item]:
    return find_items(corpus, {"target": "y"}).items


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"name": "Within"}, "group 'g0' is on two sides .'r0' in train, 'r1' in test"),
        ({"name": "Odd", "how": "twice"}, "Odd put 'r0' on two sides, or twice on one"),
        ({"name": "Odd", "how": "twice", "subject_dependent": True}, "Odd put 'r0' on two sides"),
        ({"name": "Odd", "how": "regroup"}, "Odd gave 'r0' another group"),
        ({"name": "Odd", "how": "empty"}, "no item to train on"),
        ({"name": "Odd", "how": "many"}, "holds_back = False"),
        ({"name": "Odd", "how": "none"}, "gave None; expected a list of plait.examples.splits.Fold"),
        ({"name": "Twice", "names": ["a", "a"]}, "names that differ"),
        ({"name": "Twice", "names": ["a", "../b"]}, "of letters, digits"),
    ],
)
def test_no_split_gets_past_the_checks(module: str, corpus: Corpus, spec: dict[str, Any], told: str) -> None:
    with pytest.raises((ConfigError, DataError), match=told):
        split_items(items_of(corpus), corpus, {**spec, "name": f"{module}.{spec['name']}"})


def test_what_is_common_holds_for_all(module: str, corpus: Corpus) -> None:
    items = items_of(corpus)
    (fold,) = split_items(items, corpus, {"name": f"{module}.Within", "subject_dependent": True})
    assert [i.split for i in fold.train + fold.test] == ["train"] * 6 + ["test"] * 6
    tuned = split_items(items, corpus, {"name": f"{module}.Odd", "tune": 3})
    assert [f.name for f in tuned] == ["tune1", "tune2", "tune3"]
    names = {"name": f"{module}.Twice", "names": ["a", "b"]}
    assert [f.name for f in split_items(items, corpus, names)] == ["a", "b"]
    assert [holds_back(s) for s in ({}, {"by": "manifest"}, {"folds": 2}, names)] == [True, True, False, False]


def test_a_form_of_plait_may_be_named_too(module: str, corpus: Corpus) -> None:
    assert full_split({"name": "folds"}) == full_split({"folds": 5})
    assert full_split({"name": f"{module}.Odd"})["name"] == f"{module}.Odd"
    assert parts(Split).keys() == {"manifest", "lists", "hash", "folds"}


def test_a_hop_that_never_ends_is_refused_at_once(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path) as out:
        for i in range(3):
            out.add(f"r{i}", {"imu": Stream.of(np.zeros((40, 1)), rate=10)}, annotations=[Annotation(0, 4, "a", "act")])
    unit = full_unit({"unit": "window", "tier": "act", "length": 1.0, "hop": 5e-254})
    with pytest.raises(DataError, match=r"task\.hop: got 5e-254 s, so a recording has more than") as caught:
        find_items(Corpus(tmp_path / "manifest.jsonl"), unit)
    assert len(caught.value.problems) == 1
