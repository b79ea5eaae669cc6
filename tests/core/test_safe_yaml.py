from __future__ import annotations

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.core.errors import ConfigError, PlaitError
from plait.core.safe_yaml import brief, parse_yaml, wild_numbers
from plait.recipe import parse_recipe

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi")
)
HEAD = "corpus: m.jsonl\ntask: classify\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (BOMB, "stands for more than"),
        ("a: &a [*a]", "contains itself"),
        ("[" * 60 + "]" * 60, "nested too deeply"),
        ("[" * 100_000, "nested too deeply|is not YAML"),
        ("x: " + "9" * 5000, "cannot read"),
        ("x: a\0b", "is not YAML"),
        ("x: a\x0bb", "is not YAML"),
        ("x: !!python/object/apply:os.system [ls]", "is not YAML"),
        ("{[1]: 2}", "is not YAML"),
        ("x" * 1_000_001, "characters"),
    ],
)
def test_hostile_texts_are_refused_at_once(text: str, told: str) -> None:
    started = time.process_time()
    with pytest.raises(ConfigError, match=told) as error:
        parse_yaml(text, "recipe.yaml")
    assert time.process_time() - started < 3
    assert len(str(error.value)) < 2000


def test_a_bomb_in_a_recipe_makes_no_long_message() -> None:
    small = BOMB[: BOMB.index("d:")]
    with pytest.raises(ConfigError) as error:
        parse_recipe(HEAD + small + "streams: {x: {rate: *c}}")
    assert len(str(error.value)) < 2000


def test_dates_and_versions_stay_texts() -> None:
    assert parse_yaml("{a: 2024-01-05, b: 2024-01-05 10:00:00, c: 1.2.3}", "x")[0] == {
        "a": "2024-01-05",
        "b": "2024-01-05 10:00:00",
        "c": "1.2.3",
    }


@pytest.mark.parametrize(
    "line",
    [
        "train: {lr: .inf}",
        "train: {lr: 1.0e+30}",
        "train: {lr: 1e30}",
        "train: {weight_decay: .nan}",
        "train: {steps: 1000000000000000000000}",
        "train: {seeds: [-1]}",
        "train: {seeds: [4294967296]}",
        "evaluate: {missing: [.nan]}",
        "streams: {x: {rate: .inf}}",
        "streams: {x: {feature: {name: log_mel, hop: .nan}}}",
        "model: {dim: 1.0e+300}",
        "augment: {gaussian_noise: .inf}",
        "fusion: {name: concat, time_bins: -.inf}",
        "name: ../../elsewhere",
        "name: a/b",
    ],
)
def test_numbers_and_names_that_nothing_can_be_made_of(line: str) -> None:
    with pytest.raises(ConfigError, match="recipe:3"):
        parse_recipe(HEAD + line)


def test_an_override_is_bounded_too() -> None:
    with pytest.raises(ConfigError, match=r"train\.lr: got inf"):
        parse_recipe(HEAD, ["train.lr=.inf"])
    with pytest.raises(ConfigError, match="nested too deeply"):
        parse_recipe(HEAD, ["train.lr=" + "[" * 60 + "]" * 60])


@pytest.mark.slow
@given(
    st.recursive(
        st.none() | st.floats() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(st.text(), c)
    )
)
def test_brief_is_brief_and_wild_numbers_never_fails(data: object) -> None:
    assert len(brief(data)) <= 80
    wild_numbers(data)


@given(st.text(alphabet="[]{}:,-&*!'\"\n #ab1.", max_size=60))
def test_any_text_is_data_or_a_told_problem(text: str) -> None:
    with suppress(PlaitError):
        parse_yaml(text, "x")
