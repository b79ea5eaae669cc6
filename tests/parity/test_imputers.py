"""Methods of imputation against scikit-learn, dense algebra and naive loops."""

from __future__ import annotations

import numpy as np
import pytest

from plait.streams.clock import Grid
from plait.transforms.imputation import impute
from plait.transforms.imputation.autoregressive import least_surprise
from plait.transforms.imputation.knn import distances
from plait.transforms.imputation.low_rank import soft_impute


@pytest.mark.parametrize("neighbours", [1, 3, 8])
def test_knn_over_channels_is_that_of_scikit_learn(neighbours: int) -> None:
    from sklearn.impute import KNNImputer

    rng = np.random.default_rng(neighbours)
    x = rng.normal(size=(120, 5))
    x[rng.random(x.shape) < 0.2] = np.nan
    x[50] = np.nan  # of a row that is missing whole scikit-learn makes the mean; here nothing is known
    spec = {"name": "knn", "around": 0, "neighbours": neighbours, "look": 1000, "scale": False}
    filled, _ = impute(x, Grid(0, 1, len(x)), spec, edges=True)
    expected = KNNImputer(n_neighbors=neighbours).fit_transform(x)
    rows = np.arange(len(x)) != 50
    np.testing.assert_allclose(filled[rows], expected[rows], rtol=1e-9)


def test_patterns_are_compared_as_by_a_loop() -> None:
    rng = np.random.default_rng(0)
    values, pattern = rng.normal(size=(60, 3)), rng.normal(size=(7, 3))
    values[rng.random(values.shape) < 0.2] = np.nan
    pattern[2:4, 1] = np.nan
    found = distances(values, pattern)
    assert len(found) == 54
    for place in range(54):
        both = np.isfinite(values[place : place + 7]) & np.isfinite(pattern)
        off = (values[place : place + 7] - pattern)[both]
        assert found[place] == pytest.approx((off**2).mean(), rel=1e-9)


def test_soft_impute_minimises_its_objective() -> None:
    """Mazumder et al. 2010, eq. 8: at the optimum the completed matrix is its own soft-thresholded version."""
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(40, 3)) @ rng.normal(size=(3, 8))
    observed = rng.random(clean.shape) > 0.3
    made = soft_impute(np.where(observed, clean, 0.0), observed, 1, 0.05, 2000)
    left, size, right = np.linalg.svd(made, full_matrices=False)
    low = (left * np.maximum(size - 0.05 * size[0], 0)) @ right
    np.testing.assert_allclose(made[~observed], low[~observed], atol=1e-3)
    np.testing.assert_array_equal(made[observed], clean[observed])


def test_copies_of_an_instant_are_averaged() -> None:
    rng = np.random.default_rng(0)
    table, observed = rng.normal(size=(30, 2)), np.ones((30, 2), bool)
    observed[12:15, 0] = False
    lags, rows = 6, 25
    trajectory = np.stack([table[i : i + lags].T.ravel() for i in range(rows)])
    left, size, right = np.linalg.svd(trajectory, full_matrices=False)
    low = ((left * np.maximum(size - 0.3 * size[0], 0)) @ right).reshape(rows, 2, lags)
    copies = [[low[i, 0, t - i] for i in range(rows) if 0 <= t - i < lags] for t in range(12, 15)]
    made = soft_impute(table, observed, lags, 0.3, 1)
    np.testing.assert_allclose(made[12:15, 0], [np.mean(c) for c in copies], rtol=1e-6)


@pytest.mark.parametrize("length", [1, 3, 20])
def test_the_least_surprise_is_that_of_dense_least_squares(length: int) -> None:
    rng = np.random.default_rng(length)
    x, model = rng.normal(size=60), np.array([1.0, -1.2, 0.5, 0.1])
    first, last, order = 20, 20 + length, 3
    errors = np.zeros((length + order, 60))
    for row in range(length + order):
        for k in range(order + 1):
            errors[row, first + row - k] = model[k]
    known = x.copy()
    known[first:last] = 0
    expected = np.linalg.lstsq(errors[:, first:last], -errors @ known, rcond=None)[0]
    np.testing.assert_allclose(least_surprise(x, model, first, last), expected, atol=1e-6)
