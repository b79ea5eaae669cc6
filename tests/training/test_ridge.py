"""Ridge regression: what is said of held-out groups is what fits without them say, one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from plait.core.errors import DataError
from plait.training.ridge import Ridge, fit_ridge

Array = NDArray[np.float64]


def fitted(x: Array, y: Array, scale: Array, alpha: float, items: Array, asked: Array) -> Array:
    """The textbook's ridge regression with an intercept, of some items, asked about others."""
    z = x * np.sqrt(scale)
    mean, level = z[items].mean(0), y[items].mean(0)
    centred = z[items] - mean
    weight = np.linalg.solve(centred.T @ centred + alpha * np.eye(z.shape[1]), centred.T @ (y[items] - level))
    return (z[asked] - mean) @ weight + level


def scale_of(x: Array, sizes: list[int], found: Ridge) -> Array:
    """How much each feature counts: its kind's share over the kind's mean square of items."""
    parts = np.split(x, np.cumsum(sizes)[:-1], axis=1)
    return np.concatenate([np.full(p.shape[1], s * len(x) / np.square(p).sum()) for s, p in zip(found.shares, parts)])


@settings(max_examples=25)
@example(412, 13, 1, 2, False)
@given(st.integers(0, 10**6), st.integers(12, 40), st.integers(1, 30), st.integers(2, 9), st.booleans())
def test_held_out_answers_are_those_of_fits_without_the_group(
    seed: int, items: int, features: int, groups: int, classes: bool
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(items, features + 2)).astype(np.float32).astype(np.float64)
    group = np.arange(items) % groups
    labels = rng.integers(0, 2, items)
    labels[: 2 * groups] = (np.arange(2 * groups) // groups)[:items]  # each class in more than one group
    y = np.eye(2)[labels] if classes else rng.normal(size=(items, 1)) + x[:, :1]
    sizes = [features, 2]
    found = fit_ridge(x.astype(np.float32), sizes, y, group, classes=classes)
    scale, every = scale_of(x, sizes, found), np.arange(items)
    for g in range(groups):
        out = every[group == g]
        wanted = fitted(x, y, scale, found.alpha, every[group != g], out)
        np.testing.assert_allclose(found.held_out[out], wanted, rtol=5e-3, atol=5e-3)  # float32, alpha 1e-4
    said = x @ found.weight + found.bias
    np.testing.assert_allclose(said, fitted(x, y, scale, found.alpha, every, every), rtol=5e-3, atol=5e-3)
    assert found.told.all()


def test_one_group_is_left_out_item_by_item() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 3)).astype(np.float32), rng.normal(size=(20, 1))
    one = fit_ridge(x, [3], y, np.zeros(20), classes=False)
    each = fit_ridge(x, [3], y, np.arange(20), classes=False)
    np.testing.assert_array_equal(one.held_out, each.held_out)


def test_a_class_that_only_one_group_has_is_not_held_against_the_features() -> None:
    rng = np.random.default_rng(0)
    labels, group = np.repeat([0, 1, 2], 20), np.tile(np.arange(4), 15)
    group[labels == 2] = 9
    x = (np.eye(3)[labels] * 3 + rng.normal(size=(60, 3))).astype(np.float32)
    found = fit_ridge(x, [3], np.eye(3)[labels], group, classes=True)
    assert found.told.tolist() == (labels != 2).tolist()
    said = x @ found.weight + found.bias
    assert (said.argmax(1) == labels).mean() > 0.9
    own = fit_ridge(x, [3], np.eye(3)[labels], labels, classes=True)  # each class a group of its own
    assert own.told.all(), "then items are left out one by one"
    assert (own.held_out.argmax(1) == labels).mean() > 0.9


def test_the_kind_of_features_that_tells_more_counts_more() -> None:
    rng = np.random.default_rng(0)
    y, noise = rng.normal(size=(200, 1)), rng.normal(size=(200, 50))
    tells = y + 0.3 * rng.normal(size=(200, 50))
    first = fit_ridge(np.hstack([tells, noise]).astype(np.float32), [50, 50], y, np.arange(200) // 4, classes=False)
    second = fit_ridge(np.hstack([noise, tells]).astype(np.float32), [50, 50], y, np.arange(200) // 4, classes=False)
    assert first.shares[1] < 0.5 < second.shares[1]


def test_features_that_say_nothing_give_the_mean() -> None:
    y = np.arange(10.0)[:, None]
    found = fit_ridge(np.zeros((10, 4), np.float32), [4], y, np.arange(10), classes=False)
    assert found.bias.tolist() == [4.5]
    np.testing.assert_array_equal(found.weight, np.zeros((4, 1)))
    np.testing.assert_allclose(found.held_out, (45 - y) / 9)


def test_one_item_is_refused() -> None:
    with pytest.raises(DataError, match="two or more"):
        fit_ridge(np.ones((1, 2), np.float32), [2], [[1.0]], ["a"], classes=False)
