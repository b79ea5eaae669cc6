from __future__ import annotations

import numpy as np
import pytest

from plait.core.errors import DataError
from plait.evaluation.cause.shortcuts import columns_of, shortcut_of

N = 300


def world(seed, *, tied=0.0, leans=0.0):
    """Classes with evidence; a background that agrees with the class in ``tied`` of the items beyond chance; a model
    that looks at the evidence, and at the background as far as ``leans``."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, 2, N)
    agree = rng.random(N) < 0.5 + tied / 2
    side = np.where(agree, target, 1 - target)
    background = side + rng.normal(0, 0.3, N)
    logit = 2 * (2 * target - 1) + rng.normal(0, 1.5, N) + leans * (2 * side - 1)
    p = 1 / (1 + np.exp(-logit))
    groups = np.array([f"g{i % 20}" for i in range(N)])
    return np.stack([1 - p, p], 1), target, columns_of(background.tolist()), groups


def alarms(count=20, **how):
    return sum(shortcut_of(*world(seed, **how), seed=seed).alarm() for seed in range(count))


def test_a_clean_world_gives_no_alarm() -> None:
    assert alarms() <= 1


def test_a_background_that_the_model_does_not_use_gives_no_alarm() -> None:
    assert alarms(tied=0.8) <= 1


def test_a_background_without_relation_to_the_class_gives_no_alarm() -> None:
    """A negative control: the model is disturbed by it, but nothing could be learnt from it."""
    assert alarms(leans=1.0) <= 1


def test_a_shortcut_that_is_taken_is_found() -> None:
    assert alarms(tied=0.8, leans=1.0) >= 19


def test_names_and_numbers_become_columns() -> None:
    assert columns_of([1, 1, 1]) is None
    assert columns_of([f"n{i}" for i in range(40)]) is None
    assert columns_of([1.0, float("nan"), 3.0])[1].tolist() == [0.0, 0.0]
    assert columns_of([True, False]).shape == (2, 2)


def test_one_class_or_one_group_cannot_be_told() -> None:
    with pytest.raises(DataError, match="two classes"):
        shortcut_of(np.full((4, 2), 0.5), np.zeros(4, int), np.ones((4, 1)), np.array(list("abcd")))
    with pytest.raises(DataError, match="two groups"):
        shortcut_of(np.full((4, 2), 0.5), np.array([0, 1, 0, 1]), np.ones((4, 1)), np.array(list("aaaa")))
