"""Metrics against scikit-learn and against their definitions."""

from __future__ import annotations

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from plait.core.errors import DataError
from plait.core.parts import part_name
from plait.metrics import functional as metrics
from plait.metrics.sentiment import SENTIMENT


@st.composite
def guesses(draw):
    classes, n = draw(st.integers(2, 5)), draw(st.integers(2, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    raw = rng.integers(1, 6, (n, classes)).astype(float)  # small integers: many ties
    return rng.integers(0, classes, n), raw / raw.sum(1, keepdims=True)


@pytest.mark.slow
@settings(max_examples=60)
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


@settings(max_examples=60)
@given(guesses())
def test_roc_auc_as_scikit_learn(case):
    truth, scores = case
    positive = truth == truth[0]
    if positive.all():
        assert math.isnan(metrics.roc_auc(positive, scores[:, 0]))
    else:
        want = sk.roc_auc_score(positive, scores[:, 0])
        assert metrics.roc_auc(positive, scores[:, 0]) == pytest.approx(want)


@settings(max_examples=30)
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


@settings(max_examples=40)
@given(st.integers(3, 30), st.integers(0, 2**31), st.sampled_from([1e-3, 1.0, 1e4]))
def test_regression_as_scikit_learn_and_numpy(n, seed, scale):
    truth, guess = np.random.default_rng(seed).normal(size=(2, n)) * scale + scale
    assert metrics.mean_absolute_error(truth, guess) == pytest.approx(sk.mean_absolute_error(truth, guess))
    want = sk.root_mean_squared_error(truth, guess)
    assert metrics.root_mean_squared_error(truth, guess) == pytest.approx(want)
    assert metrics.correlation(truth, guess) == pytest.approx(np.corrcoef(truth, guess)[0, 1])


@pytest.mark.parametrize("seed", range(5))
def test_concordance_is_the_slope_of_agreement(seed):
    """Lin 1989, equations 1 and 2: Pearson's correlation times the bias correction."""
    rng = np.random.default_rng(seed)
    truth, guess = rng.normal(2.0, 1.5, 30), rng.normal(size=30)
    guess += truth * rng.uniform(0, 2)
    ratio, shift = truth.std() / guess.std(), (truth.mean() - guess.mean()) / np.sqrt(truth.std() * guess.std())
    bias = 2 / (ratio + 1 / ratio + shift**2)
    assert metrics.concordance(truth, guess) == pytest.approx(bias * np.corrcoef(truth, guess)[0, 1])
    assert metrics.concordance(1e200 * truth, 1e200 * guess) == pytest.approx(metrics.concordance(truth, guess))
    assert metrics.concordance(truth, truth) == pytest.approx(1.0)
    assert metrics.concordance(truth, np.full(30, 2.0)) == 0.0


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
    found = {part_name(metric): metric()(truth, guess) for metric in SENTIMENT}
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


# ---- one gate


CLASSES = [metrics.accuracy, metrics.balanced_accuracy, metrics.f1, lambda t, g: metrics.f1(t, g, weighted=True)]
VALUES = [metrics.mean_absolute_error, metrics.root_mean_squared_error, metrics.correlation, metrics.concordance]
PROBABILITIES = [metrics.log_loss, metrics.calibration_error]


@pytest.mark.parametrize("metric", [*CLASSES, *VALUES, metrics.roc_auc])
@pytest.mark.parametrize("side", [0, 1])
def test_nan_is_refused_by_every_metric_with_its_place(metric, side):
    pair = [np.array([0.0, 1.0, 1.0, 0.0]), np.array([0.0, 1.0, 0.0, 1.0])]
    assert math.isfinite(metric(*pair))
    pair[side][2] = np.nan
    with pytest.raises(DataError, match=r"is nan at item 2 \(1 of 4 items are like that\)"):
        metric(*pair)


@pytest.mark.parametrize("metric", [*VALUES, metrics.roc_auc])
@pytest.mark.filterwarnings("ignore:invalid value encountered in reduce")
def test_infinite_numbers_are_refused_as_scikit_learn_does(metric):
    truth, guess = np.array([0.0, 1.0, 1.0]), np.array([0.0, -np.inf, np.inf])
    for theirs in (sk.mean_absolute_error, sk.roc_auc_score):
        with pytest.raises(ValueError, match="infinity"):
            theirs(truth, guess)
    with pytest.raises(DataError, match=r"is -inf at item 1 \(2 of 3"):
        metric(truth, guess)


@pytest.mark.parametrize("metric", PROBABILITIES)
@pytest.mark.parametrize(
    ("truth", "rows", "said"),
    [
        ([0, 1], [[0.5, 0.5], [0.5, np.nan]], r"\[0.5, nan\] at item 1"),
        ([0, np.nan], [[0.5, 0.5], [0.5, 0.5]], "truth is nan at item 1"),
        ([0, -1], [[0.5, 0.5], [0.5, 0.5]], "classes from 0 to 1"),
        ([0, 2], [[0.5, 0.5], [0.5, 0.5]], "classes from 0 to 1"),
        ([0, 0.5], [[0.5, 0.5], [0.5, 0.5]], "classes from 0 to 1"),
        ([0, 1], [[2.0, -1.0], [0.5, 0.5]], "add up to 1"),
        ([0, 1], [[3.0, 1.0], [0.5, 0.5]], "add up to 1"),
        ([0, 1, 1], [[0.5, 0.5], [0.5, 0.5]], r"truth \[3\] and probabilities \[2, 2\]"),
        ([0, 1], [0.5, 0.5], "expected"),
    ],
)
def test_what_is_no_probability_or_no_class_is_refused(metric, truth, rows, said):
    with pytest.raises(DataError, match=said):
        metric(np.array(truth), np.array(rows))


@pytest.mark.parametrize("metric", [*CLASSES, *VALUES, metrics.roc_auc])
def test_shapes_that_would_be_stretched_are_refused(metric):
    with pytest.raises(DataError, match=r"truth \[3\] and (guess|score) \[3, 1\]"):
        metric(np.zeros(3), np.zeros((3, 1)))
    with pytest.raises(DataError, match=r"truth \[3\] and (guess|score) \[2\]"):
        metric(np.zeros(3), np.zeros(2))


@pytest.mark.parametrize("metric", CLASSES)
def test_classes_may_be_texts_but_not_both_texts_and_numbers(metric):
    truth, guess = np.array(["a", "b", "b"]), np.array(["a", "b", "a"])
    assert metric(truth, guess) == metric(truth.astype(object), guess) == metric(truth == "a", guess == "a")
    with pytest.raises(DataError, match="numbers and texts"):
        metric(truth, np.zeros(3))
    with pytest.raises(DataError, match="numbers and texts"):
        metric(truth, np.array(["a", 1, "b"], object))
    with pytest.raises(DataError, match="is None at item 0"):
        metric(np.array([None, "a", "b"]), guess)


def test_a_ranking_needs_truths_of_two_kinds_that_are_called_so():
    for truth in (["yes", "no"], [0, 2], [-1, 1]):
        with pytest.raises(DataError, match="truth"):
            metrics.roc_auc(np.array(truth), np.array([0.1, 0.2]))
    assert math.isnan(metrics.roc_auc(np.ones(4), np.arange(4.0)))
    assert metrics.roc_auc(np.array([0, 1, 0, 1]), np.zeros(4)) == 0.5


def test_confusion_counts_no_class_under_anothers_name():
    for truth, guess in (([0, -1], [0, 0]), ([0, 1], [0, 2])):
        with pytest.raises(DataError, match="classes from 0 to 1"):
            metrics.confusion(np.array(truth), np.array(guess), 2)


# ---- any scale


def exactly(a, b):
    """Pearson's correlation in rational numbers; only its root is rounded."""
    x, y = ([Fraction(float(v)) for v in values] for values in (a, b))
    x, y = ([v - sum(values) / len(values) for v in values] for values in (x, y))
    both, one, two = (sum(p * q for p, q in zip(u, v)) for u, v in ((x, y), (x, x), (y, y)))
    return math.sqrt(both**2 / (one * two)) * (1 if both > 0 else -1)


@st.composite
def measured(draw):
    """Two things that were measured of the same items, in any unit and with any offset."""
    n = draw(st.integers(3, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    x = rng.normal(size=n)
    y = x + draw(st.sampled_from([0.0, 1e-3, 1.0, 1e3])) * rng.normal(size=n)
    scale, offset = st.sampled_from([1e-300, 1e-150, 1e-8, 1.0, 1e8, 1e150, 1e300]), st.sampled_from([0, 1, -1e4, 1e7])
    return [draw(scale) * (v + draw(offset)) for v in (x, y)]


@settings(max_examples=150)
@given(measured())
def test_correlation_is_exact_at_any_scale(pair):
    assert metrics.correlation(*pair) == pytest.approx(exactly(*pair), abs=1e-7)
    assert metrics.correlation(*pair) == metrics.correlation(*pair[::-1])


@settings(max_examples=100)
@given(measured())
def test_correlation_is_scipys_wherever_scipy_has_one(pair):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy warns of numbers that are nearly constant
        want = stats.pearsonr(*pair).statistic
    assert math.isnan(want) or metrics.correlation(*pair) == pytest.approx(want, abs=1e-7)


def test_correlation_of_large_numbers_is_not_nothing():
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    y = x + 0.1 * rng.normal(size=200)
    want = stats.pearsonr(1e7 + x, y).statistic
    assert want > 0.99
    assert metrics.correlation(1e7 + x, y) == pytest.approx(want, abs=1e-9)
    assert metrics.correlation(1e7 + x, 1e-300 * y) == pytest.approx(want, abs=1e-9)


@settings(max_examples=60)
@given(st.lists(st.tuples(*[st.floats(-1e307, 1e307)] * 2), min_size=1, max_size=20))
def test_errors_neither_overflow_nor_vanish(pairs):
    truth, guess = np.array(pairs).T
    exact = [abs(Fraction(t) - Fraction(g)) for t, g in pairs]
    want = sum(exact) / len(exact), sum(e * e for e in exact) / len(exact)
    assert metrics.mean_absolute_error(truth, guess) == pytest.approx(float(want[0]), rel=1e-12, abs=1e-320)
    found = metrics.root_mean_squared_error(truth, guess)
    close = Fraction(found) ** 2 / want[1] if want[1] else 1 - Fraction(found)
    assert abs(close - 1) < 1e-9 or found < 1e-307
