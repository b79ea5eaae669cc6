from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.errors import DataError
from plait.evaluation.uncertainty.calibration import brier, expected_error, reliability
from plait.metrics.functional import calibration_error


def naive(scores, target, bins):
    """Equations 1 to 3 of Guo et al. 2017, word for word."""
    total = 0.0
    for m in range(1, bins + 1):
        inside = [i for i in range(len(target)) if (m - 1) / bins < max(scores[i]) <= m / bins]
        if inside:
            accuracy = sum(int(np.argmax(scores[i])) == target[i] for i in inside) / len(inside)
            confidence = sum(max(scores[i]) for i in inside) / len(inside)
            total += len(inside) / len(target) * abs(accuracy - confidence)
    return total


@given(st.integers(0, 1000), st.integers(2, 6), st.integers(1, 20))
@settings(max_examples=50)
def test_error_is_the_papers(seed, classes, bins):
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(classes), 40)
    target = rng.integers(0, classes, 40)
    assert calibration_error(target, scores, bins) == pytest.approx(naive(scores, target, bins), abs=1e-12)


def test_bins_hold_every_item_once():
    rng = np.random.default_rng(0)
    scores, target = rng.dirichlet(np.ones(3), 500), rng.integers(0, 3, 500)
    rows = reliability(scores, target)
    assert sum(r["count"] for r in rows) == 500
    assert all(r["low"] < r["confidence"] <= r["high"] for r in rows)


def test_a_model_that_means_what_it_says_has_no_error():
    scores = np.tile([0.75, 0.25], (4, 1))
    assert calibration_error(np.array([0, 0, 0, 1]), scores) == 0
    assert calibration_error(np.array([1, 1, 1, 1]), scores) == 0.75
    assert calibration_error(np.array([0]), np.array([[1.0, 0.0]])) == 0


def test_shapes_that_do_not_fit_are_said():
    with pytest.raises(DataError, match="expected"):
        reliability(np.full((3, 2), 0.5), np.zeros(4))
    with pytest.raises(DataError, match="add up to 1"):
        reliability(np.full((3, 2), 0.7), np.zeros(3))


def test_the_error_is_the_mean_gap_of_the_bins():
    rng = np.random.default_rng(3)
    scores, target = rng.dirichlet(np.ones(4), 200), rng.integers(0, 4, 200)
    gaps = sum(r["count"] * abs(r["accuracy"] - r["confidence"]) for r in reliability(scores, target))
    assert calibration_error(target, scores) == pytest.approx(gaps / 200, abs=1e-12)


def test_the_expected_error_is_that_of_calibrated_models():
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.full(4, 0.5), 200)
    found = [calibration_error(np.array([rng.choice(4, p=p) for p in scores]), scores) for _ in range(300)]
    told = expected_error(scores)
    assert told.mean == pytest.approx(np.mean(found), abs=0.003)
    assert told.high == pytest.approx(np.quantile(found, 0.95), abs=0.008)


@pytest.mark.slow
def test_the_error_is_netcals():
    metrics = pytest.importorskip("netcal.metrics")
    rng = np.random.default_rng(1)
    scores = rng.dirichlet(np.ones(3), 400)
    target = rng.integers(0, 3, 400)
    assert calibration_error(target, scores) == pytest.approx(float(metrics.ECE(15).measure(scores, target)), abs=1e-9)


def test_brier_is_scikit_learns():
    from sklearn.metrics import brier_score_loss

    rng = np.random.default_rng(2)
    scores, target = rng.dirichlet(np.ones(3), 50), rng.integers(0, 3, 50)
    expected = brier_score_loss(target, scores, labels=[0, 1, 2], scale_by_half=False)
    assert brier(scores, target) == pytest.approx(expected)
