from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from plait.errors import DataError
from plait.evaluation.intervals import (
    Units,
    clustered_bootstrap,
    from_indices,
    mean_bootstrap,
    paired_bootstrap,
    resample,
)
from plait.evaluation.kernels import kernel_for


def grouped(n=200, groups=12, seed=0):
    rng = np.random.default_rng(seed)
    names = np.array([f"g{i}" for i in rng.integers(0, groups, n)])
    return names, rng


def test_same_as_scipy_when_scipy_draws_the_groups():
    groups, rng = grouped()
    values = rng.normal(size=200)
    names = np.unique(groups)
    inside = [values[groups == g] for g in names]

    def mean_of(picked):
        return np.concatenate([inside[int(i)] for i in picked]).mean()

    how = {"n_resamples": 300, "method": "percentile", "vectorized": False, "rng": np.random.default_rng(5)}
    theirs = stats.bootstrap((np.arange(len(names)),), mean_of, **how).confidence_interval
    ours = clustered_bootstrap(lambda i: values[i].mean(), groups, draws=300, seed=5)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert (ours.unit, ours.groups, ours.draws, ours.skipped) == ("group", 12, 300, 0)


def test_fast_and_general_path_agree():
    groups, rng = grouped()
    values = rng.normal(size=200)
    slow = clustered_bootstrap(lambda i: values[i].mean(), groups, draws=200, seed=3)
    fast = mean_bootstrap(values, groups, draws=200, seed=3)
    assert (slow.low, slow.high) == pytest.approx((fast.low, fast.high), abs=1e-12)


def test_same_as_scipy_with_one_item_a_group():
    values = np.random.default_rng(0).normal(size=60)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=500, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    ours = mean_bootstrap(values, np.arange(60), draws=500, seed=1)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_groups_that_are_alike_inside_widen_the_interval():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 50)
    values = rng.normal(size=20)[groups] + 0.1 * rng.normal(size=1000)
    clustered, naive = mean_bootstrap(values, groups), mean_bootstrap(values, np.arange(1000))
    assert clustered.high - clustered.low > 4 * (naive.high - naive.low)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    hits = 0
    for trial in range(200):
        rng = np.random.default_rng(trial)
        groups = np.repeat(np.arange(30), 5)
        found = mean_bootstrap(rng.normal(size=30)[groups] + rng.normal(size=150), groups, draws=300, seed=trial)
        hits += found.low <= 0 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_two_groups_fall_back_to_items_and_say_so():
    found = clustered_bootstrap(lambda i: float(i.mean()), ["a", "a", "a", "b"], draws=50)
    assert (found.unit, found.groups) == ("item", 2)
    assert found.high > found.low


def test_entries_of_one_item_go_together_when_items_are_drawn():
    values = np.array([1.0, -1.0, 2.0, -2.0, 3.0, -3.0])
    found = clustered_bootstrap(lambda i: values[i].sum(), ["a"] * 6, items=["x", "x", "y", "y", "z", "z"], draws=50)
    assert (found.low, found.high) == (0.0, 0.0)


def test_draws_on_which_the_metric_fails_are_skipped_and_counted():
    target = np.array([1, 0, 0, 0])

    def needs_a_one(i):
        if not target[i].any():
            raise ValueError("one class only")
        return 1.0

    found = clustered_bootstrap(needs_a_one, ["a", "b", "c", "d"], draws=400)
    assert found.draws + found.skipped == 400
    assert 0.2 < found.skipped / 400 < 0.45  # (3/4)^4 = 0.316
    assert (found.low, found.high) == (1.0, 1.0)
    assert np.isnan(clustered_bootstrap(lambda i: float("nan"), ["a", "b", "c"], draws=9).low)


def test_a_paired_difference_is_narrower_than_its_parts():
    groups, rng = grouped()
    a = rng.normal(size=200)
    b = a + 0.1 + 0.01 * rng.normal(size=200)
    gain = paired_bootstrap(b, a, groups)
    alone = mean_bootstrap(b, groups)
    assert 0.09 < gain.low < 0.1 < gain.high < 0.11
    assert gain.high - gain.low < 0.2 * (alone.high - alone.low)


@given(st.integers(0, 100), st.floats(0.5, 0.99))
@settings(max_examples=20, deadline=None)
def test_the_same_seed_gives_the_same_interval_and_a_higher_level_a_wider_one(seed, level):
    groups, rng = grouped(40, 6)
    values = rng.normal(size=40)
    one = mean_bootstrap(values, groups, draws=100, seed=seed, level=level)
    assert one == mean_bootstrap(values, groups, draws=100, seed=seed, level=level)
    wide = mean_bootstrap(values, groups, draws=100, seed=seed, level=0.995)
    assert wide.low <= one.low <= one.high <= wide.high


def test_what_cannot_be_done_is_said():
    with pytest.raises(DataError, match="no items"):
        mean_bootstrap([], [])
    with pytest.raises(DataError, match="level"):
        mean_bootstrap([1.0], ["a"], level=95)
    with pytest.raises(DataError, match="groups"):
        mean_bootstrap([1.0, 2.0], ["a"])
    with pytest.raises(DataError, match="same items"):
        paired_bootstrap([1.0], [1.0, 2.0], ["a"])


METRICS = {
    "accuracy": lambda s, t: (s.argmax(1) == t).mean(),
    "macro_f1": lambda s, t: f1_score(t, s.argmax(1), average="macro"),
    "all_f1": lambda s, t: f1_score(t, s.argmax(1), average="macro", labels=range(s.shape[1]), zero_division=0),
    "weighted_f1": lambda s, t: f1_score(t, s.argmax(1), average="weighted"),
    "recall": lambda s, t: recall(s.argmax(1), t),
}


def recall(said, target):
    return np.mean([(said[target == c] == c).mean() for c in np.unique(target)])


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("per_group", [1, 9])
def test_kernels_of_classes_give_the_metrics_own_values(name, per_group):
    rng = np.random.default_rng(1)
    scores = rng.dirichlet(np.ones(5), 90)
    target = np.where(rng.random(90) < 0.5, scores.argmax(1), rng.integers(0, 5, 90))
    units = Units.of(np.arange(90) // per_group)
    check(lambda i: METRICS[name](scores[i], target[i]), scores, target, units)


def test_mean_recall_is_balanced_accuracy():
    rng = np.random.default_rng(0)
    target, said = rng.integers(0, 3, 50), rng.integers(0, 3, 50)
    assert recall(said, target) == pytest.approx(balanced_accuracy_score(target, said))


@pytest.mark.parametrize("ties", [False, True])
def test_the_kernel_of_the_area_under_roc(ties):
    rng = np.random.default_rng(2)
    target = rng.integers(0, 2, 150)
    score = target * 0.7 + rng.normal(size=150)
    if ties:
        score = np.round(score)
    scores = np.stack([-score, score], 1)
    units = Units.of(np.arange(150) // 10)
    check(lambda i: roc_auc_score(target[i], scores[i, 1]), scores, target, units)


@pytest.mark.parametrize("name", ["mae", "rmse", "mse", "corr"])
def test_kernels_of_values(name):
    rng = np.random.default_rng(3)
    target = rng.normal(1000, 1, 120)
    scores = target[:, None] + rng.normal(size=(120, 1))
    metric = {
        "mae": lambda y, t: np.abs(y - t).mean(),
        "mse": lambda y, t: ((y - t) ** 2).mean(),
        "rmse": lambda y, t: np.sqrt(((y - t) ** 2).mean()),
        "corr": lambda y, t: np.corrcoef(y, t)[0, 1],
    }[name]
    check(lambda i: metric(scores[i, 0], target[i]), scores, target, Units.of(np.arange(120) // 6))


def check(metric, scores, target, units):
    kernel, fast = kernel_for(metric, scores, target, units)
    assert fast
    both = resample([kernel, from_indices(metric, units)], units.n, draws=60, seed=1)
    assert np.allclose(both[0], both[1], equal_nan=True, rtol=1e-7)


def test_a_metric_of_its_own_takes_the_general_path():
    rng = np.random.default_rng(4)
    scores, target = rng.dirichlet(np.ones(3), 60), rng.integers(0, 3, 60)

    def own(i):  # accuracy, but a draw's first item does not count
        return float((scores[i].argmax(1) == target[i])[1:].mean())

    assert not kernel_for(own, scores, target, Units.of(np.arange(60)))[1]


def test_127_subsets_take_seconds():
    rng = np.random.default_rng(0)
    target = rng.integers(0, 8, 3000)
    units = Units.of(np.arange(3000))
    began = time.perf_counter()
    kernels = []
    for _ in range(127):
        scores = rng.random((3000, 8))

        def metric(i, scores=scores):
            return float((scores[i].argmax(1) == target[i]).mean())

        kernels.append(kernel_for(metric, scores, target, units)[0])
    values = resample(kernels, units.n, draws=1000)
    assert values.shape == (127, 1000)
    assert time.perf_counter() - began < 15  # 3 s alone on one core; the machine may be shared
