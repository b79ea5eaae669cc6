"""Metrics against scikit-learn and against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from plait import metrics
from plait.tasks.regress import sentiment_metrics


@st.composite
def guesses(draw):
    classes, n = draw(st.integers(2, 5)), draw(st.integers(2, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    raw = rng.integers(1, 6, (n, classes)).astype(float)  # small integers: many ties
    return rng.integers(0, classes, n), raw / raw.sum(1, keepdims=True)


@settings(max_examples=60, deadline=None)
@given(guesses())
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
def test_classification_as_scikit_learn(case):
    truth, scores = case
    guess = scores.argmax(1)
    classes = scores.shape[1]
    assert metrics.accuracy(truth, guess) == pytest.approx(sk.accuracy_score(truth, guess))
    assert metrics.balanced_accuracy(truth, guess) == pytest.approx(sk.balanced_accuracy_score(truth, guess))
    assert metrics.f1(truth, guess) == pytest.approx(sk.f1_score(truth, guess, average="macro"))
    weighted = sk.f1_score(truth, guess, average="weighted")
    assert metrics.f1(truth, guess, weighted=True) == pytest.approx(weighted)
    want = sk.log_loss(truth, scores, labels=range(classes))
    assert metrics.log_loss(truth, scores) == pytest.approx(want)
    want = sk.confusion_matrix(truth, guess, labels=range(classes))
    assert metrics.confusion(truth, guess, classes).tolist() == want.tolist()


@settings(max_examples=60, deadline=None)
@given(guesses())
def test_roc_auc_as_scikit_learn(case):
    truth, scores = case
    positive = truth == truth[0]
    if positive.all():
        assert math.isnan(metrics.roc_auc(positive, scores[:, 0]))
    else:
        want = sk.roc_auc_score(positive, scores[:, 0])
        assert metrics.roc_auc(positive, scores[:, 0]) == pytest.approx(want)


@settings(max_examples=30, deadline=None)
@given(guesses())
def test_calibration_error_as_loops_over_bins(case):
    truth, scores = case
    total = 0.0
    for b in range(15):
        inside = [i for i, p in enumerate(scores) if b / 15 < p.max() <= (b + 1) / 15]
        if inside:
            right = np.mean([scores[i].argmax() == truth[i] for i in inside])
            total += len(inside) / len(truth) * abs(right - np.mean([scores[i].max() for i in inside]))
    assert metrics.calibration_error(truth, scores) == pytest.approx(total, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 30), st.integers(0, 2**31), st.sampled_from([1e-3, 1.0, 1e4]))
def test_regression_as_scikit_learn_and_numpy(n, seed, scale):
    truth, guess = np.random.default_rng(seed).normal(size=(2, n)) * scale + scale
    assert metrics.mean_absolute_error(truth, guess) == pytest.approx(sk.mean_absolute_error(truth, guess))
    want = sk.root_mean_squared_error(truth, guess)
    assert metrics.root_mean_squared_error(truth, guess) == pytest.approx(want)
    assert metrics.correlation(truth, guess) == pytest.approx(np.corrcoef(truth, guess)[0, 1])


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
def test_correlation_with_a_constant_is_zero(constant):
    assert metrics.correlation(np.arange(9.0), np.full(9, constant)) == 0.0
    assert metrics.correlation(np.full(9, constant), np.arange(9.0)) == 0.0


def test_of_nothing_there_is_no_metric():
    none, rows = np.zeros(0), np.zeros((0, 3))
    found = [
        metrics.accuracy(none, none),
        metrics.balanced_accuracy(none, none),
        metrics.f1(none, none),
        metrics.log_loss(none, rows),
        metrics.calibration_error(none, rows),
        metrics.roc_auc(none, none),
        metrics.mean_absolute_error(none, none),
        metrics.root_mean_squared_error(none, none),
        metrics.correlation(none, none),
    ]
    assert all(math.isnan(v) for v in found)


def test_a_probability_of_zero_does_not_make_the_log_loss_infinite():
    assert 30 < metrics.log_loss(np.array([1]), np.array([[1.0, 0.0]])) < 40


def test_sentiment_metrics_by_hand():
    truth = np.array([-2.6, -0.4, 0.0, 0.0, 1.2, 3.0])
    guess = np.array([-3.4, 0.2, 0.1, -0.1, 0.0, 2.6])
    found = sentiment_metrics(truth, guess)
    # without the zeros: neg neg pos pos against neg pos neg(0) pos
    assert found["acc2_nonzero"] == pytest.approx(2 / 4)
    # negative against the rest, zeros kept, 0 is not negative
    assert found["acc2_nonneg"] == pytest.approx(4 / 6)
    # -3/-3, 0/0, 0/0, 0/0, 1/0, 3/3
    assert found["acc7"] == pytest.approx(5 / 6)
    some = truth != 0
    want = sk.f1_score(truth[some] > 0, guess[some] > 0, average="weighted")
    assert found["f1_nonzero"] == pytest.approx(want)
    assert found["f1_nonneg"] == pytest.approx(sk.f1_score(truth >= 0, guess >= 0, average="weighted"))
