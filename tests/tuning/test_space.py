"""What is searched: words become a space, and what the recipe does not take is told before anything is trained."""

from __future__ import annotations

import json

import pytest

from plait.core.errors import ConfigError
from plait.core.parts import parts
from plait.fusion import Fusion
from plait.recipe import parse_recipe
from plait.tuning.space import KNOWN, Choice, Range, recipe_at, space_of

RECIPE = parse_recipe(
    "{corpus: m.jsonl, task: {name: classify, target: kind}, model: {dim: 8}, "
    "streams: {see: {encoder: linear}, hear: {encoder: linear}, feel: {encoder: linear}}, "
    "augment: {random_gain: {see: 0.1}}}"
)
NAMES = ["see", "hear", "feel"]


def test_words_become_values_and_ranges() -> None:
    space = space_of(
        ["model.dim=8,16", "train.lr=1e-4..1e-2", "train.steps=10..90", "train.weight_decay=0..0.1"], RECIPE, NAMES
    )
    assert space["model.dim"] == Choice(("8", "16"))
    assert space["train.lr"] == Range(1e-4, 1e-2, log=True, whole=False)
    assert space["train.steps"] == Range(10, 90, log=False, whole=True)
    assert space["train.weight_decay"] == Range(0, 0.1, log=False, whole=False)


def test_values_may_be_mappings_and_numbers_without_a_point() -> None:
    space = space_of(["fusion=late,{name: bottleneck, tokens: 2}", "train.lr=1e-4,1e-3"], RECIPE, NAMES)
    assert space["fusion"].ends() == ["late", {"name": "bottleneck", "tokens": 2}]
    assert space["train.lr"].ends() == [1e-4, 1e-3]


def test_keys_without_values_have_known_ones() -> None:
    space = space_of(["fusion,model.dim", "streams"], RECIPE, NAMES)
    assert {"concat", "late", "gated"} <= set(space["fusion"].ends()) <= set(parts(Fusion))
    assert space["model.dim"].ends() == [32, 64, 128]
    assert space["streams"].ends()[0] == NAMES
    assert len(space["streams"].ends()) == 7


@pytest.mark.parametrize("key", KNOWN)
def test_every_known_range_is_one_that_a_recipe_takes(key: str) -> None:
    assert space_of([key], RECIPE, NAMES)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["model.dimm=8,16"], "model.dimm: there is no such option. Did you mean 'dim'"),
        (["train.lrr"], "train.lrr: a recipe has no such key. Did you mean 'train.lr'"),
        (["train.patience"], "train.patience: give its values"),
        (["train.lr=-1,0.1"], "train.lr: Input should be greater than 0; got -1"),
        (["fusion=late,lat"], "fusion: there is no fusion 'lat'. Did you mean 'late'"),
        (["model.dim=8"], "two different values or more"),
        (["model.dim=8,8"], "two different values or more"),
        (["train.lr=0.1..0.01"], "from a lower to a higher number"),
        (["model.dim=8,16", "model.dim=32,64"], "named twice"),
        (["fusion=late,{name: bottleneck, tokens: many}"], "tokens"),
        ([], "names no key"),
    ],
)
def test_what_a_recipe_does_not_take_is_told_at_once(words: list[str], told: str) -> None:
    with pytest.raises(ConfigError) as error:
        space_of(words, RECIPE, NAMES)
    assert told in str(error.value)
    assert all(problem.startswith("over") for problem in error.value.problems)


def test_all_problems_come_together() -> None:
    with pytest.raises(ConfigError) as error:
        space_of(["model.dim=8", "train.lrr"], RECIPE, NAMES)
    assert len(error.value.problems) == 2


def test_a_stream_left_out_takes_its_settings_along() -> None:
    point = {"streams": ["hear"], "streams.see.encoder": "gru", "streams.hear.encoder": "gru", "train.lr": 1e-5}
    own = recipe_at(RECIPE, point, NAMES)
    assert list(own.streams) == ["hear"]
    assert own.augment.kinds["random_gain"] == {}
    assert own.streams["hear"] is not None
    assert own.streams["hear"].encoder == "gru"
    assert own.train.lr == 1e-5
    assert list(RECIPE.streams) == NAMES, "the recipe itself stays"


def test_one_stream_has_no_subsets() -> None:
    with pytest.raises(ConfigError, match="there are 1 streams; expected 2 to 6"):
        space_of(["streams=subsets"], RECIPE, ["see"])


def test_a_point_is_json() -> None:
    space = space_of(["fusion=late,{name: bottleneck, tokens: 2}"], RECIPE, NAMES)
    assert json.loads(json.dumps(space["fusion"].ends())) == space["fusion"].ends()
