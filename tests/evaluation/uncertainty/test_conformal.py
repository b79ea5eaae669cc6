from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.errors import DataError
from plait.evaluation.uncertainty.conformal import across_groups, band, resplit
from plait.models.conformal import threshold


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0.05, 0.95))
@settings(max_examples=60)
def test_a_further_item_is_inside_as_often_as_promised(values, level) -> None:
    """Each of n + 1 items in turn is the further one: at least ``level`` of them are inside."""
    values = np.array(values)
    inside = [values[i] <= threshold(np.delete(values, i), level) for i in range(len(values))]
    assert np.mean(inside) >= level - 1e-9


def test_the_band_is_that_of_simulated_tests() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(3000):
        limit = threshold(rng.random(100), 0.9)
        found.append((rng.random(430) <= limit).mean())
    low, high = band(100, 430)
    assert np.quantile(found, [0.025, 0.975]) == pytest.approx([low, high], abs=0.005)
    assert band(5, 100) == (1.0, 1.0)


def test_halves_hold_what_they_promise_and_groups_may_not() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat([f"g{i}" for i in range(10)], 60)
    values = rng.random(600) + np.repeat(rng.normal(0, 0.5, 10), 60)
    assert resplit(values).mean() == pytest.approx(0.9, abs=0.01)
    found = across_groups(values, groups)
    assert min(found.each.values()) < 0.8
    assert found.coverage == pytest.approx(np.mean([*found.each.values()]))


def test_bad_levels_and_single_groups_are_told() -> None:
    with pytest.raises(DataError, match="between 0 and 1"):
        threshold(np.zeros(3), 1.0)
    with pytest.raises(DataError, match="one group"):
        across_groups(np.zeros(3), np.array(["a"] * 3))
    assert threshold(np.zeros(3), 0.9) == math.inf
