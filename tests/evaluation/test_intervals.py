"""Intervals over groups: against SciPy where it has the same, against simulation where it has not."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from plait.core.errors import DataError
from plait.evaluation.intervals import (
    FEWEST_GROUPS,
    MOST_BLOCKS,
    NO_SPREAD,
    TOO_FEW,
    UNDEFINED,
    Units,
    bounds_within,
    degrees_of_freedom,
    difference_of,
    from_indices,
    jackknife_interval,
    jackknife_t,
    leave_one_out,
    mean_interval,
    paired_interval,
)
from plait.evaluation.kernels import kernel_for
from plait.metrics import known_bounds
from plait.metrics.functional import correlation


def grouped(n=200, groups=12, seed=0):
    rng = np.random.default_rng(seed)
    names = np.array([f"g{i}" for i in rng.integers(0, groups, n)])
    return names, rng


# ---- the method


@pytest.mark.parametrize("groups", [5, 12, 60])
def test_groups_of_one_size_give_the_t_interval_of_their_means(groups):
    rng = np.random.default_rng(groups)
    values = rng.normal(size=(groups, 7)) + rng.normal(size=(groups, 1))
    want = stats.ttest_1samp(values.mean(1), 0).confidence_interval(0.95)
    found = mean_interval(values.ravel(), np.repeat(np.arange(groups), 7))
    assert (found.low, found.high) == pytest.approx((want.low, want.high), abs=1e-12)
    assert (found.groups, found.reason) == (groups, "")


@pytest.mark.parametrize("sizes", [[9] * 6, [1, 2, 3, 4, 5, 30], [4, 4, 8, 8, 40]])
def test_degrees_of_freedom_are_those_of_the_chi_square_with_the_variances_own_moments(sizes):
    """Simulated: means of groups that are equally uncertain, and the jackknife variance of their weighted mean."""
    share, n = np.array(sizes) / np.sum(sizes), len(sizes)
    means = np.random.default_rng(0).normal(size=(200_000, n))
    whole = means @ share
    without = (whole[:, None] - share * means) / (1 - share)
    variance = (n - 1) / n * np.square(without - whole[:, None]).sum(1)
    assert float(degrees_of_freedom(sizes)) == pytest.approx(2 * variance.mean() ** 2 / variance.var(), rel=0.05)


def test_degrees_of_freedom_of_many_sets_at_once_and_of_one_group():
    sizes = np.array([[5, 5, 5, 5], [1, 1, 1, 9]])
    found = degrees_of_freedom(sizes)
    assert found.tolist() == [float(degrees_of_freedom(row)) for row in sizes]
    assert found[0] == pytest.approx(3)
    assert 1 <= found[1] < 1.2
    assert np.isnan(degrees_of_freedom([7]))


@pytest.mark.parametrize(("bounds", "opened"), [((0.0, 1.0), stats.logistic.ppf), ((-1.0, 1.0), np.arctanh)])
def test_a_metric_with_bounds_moves_where_it_has_none(bounds, opened):
    values = np.array([0.83, 0.85, 0.8, 0.84, 0.82, 0.83])
    error = np.sqrt(4 / 5 * np.square(values[1:] - 0.83).sum())
    slope = (opened(0.83 + 1e-6) - opened(0.83 - 1e-6)) / 2e-6
    low, high = jackknife_t(values, 4, 5, bounds=bounds)
    by = stats.t.ppf(0.975, 4) * error * slope
    assert opened(np.array([low, high])) == pytest.approx(opened(0.83) + np.array([-by, by]), abs=1e-6)


def test_errors_move_by_their_logarithm():
    values = np.array([0.3, 0.1, 0.6, 0.3, 0.2, 0.3])
    low, high = jackknife_t(values, 4, 5, bounds=(0.0, np.inf))
    assert 0 < low < 0.3 < high
    assert low * high == pytest.approx(0.09)
    assert jackknife_t(values, 4, 5)[0] < 0


@pytest.mark.slow
@given(
    st.lists(st.floats(0, 1), min_size=6, max_size=20),
    st.sampled_from([(0.0, 1.0), (-1.0, 1.0), (0.0, np.inf), (-np.inf, np.inf)]),
    st.floats(1, 30),
)
@settings(max_examples=200)
def test_an_interval_holds_the_value_and_keeps_to_the_bounds(values, bounds, df):
    low, high = jackknife_t(np.array(values), df, len(values) - 1, bounds=bounds)
    if np.isfinite(low) and np.isfinite(high):
        assert bounds[0] <= low <= values[0] + 1e-12
        assert values[0] - 1e-12 <= high <= bounds[1]


def simulated(groups, sets=2000, seed=0):
    """Right answers in groups of uneven size, each with a share of its own; 0.85 of all are right."""
    rng = np.random.default_rng([seed, groups])
    sizes = np.maximum(np.round(20 * np.exp(rng.normal(-0.18, 0.6, (sets, groups)))), 4)
    right = rng.binomial(sizes.astype(int), rng.beta(0.85 * 3, 0.15 * 3, (sets, groups)))
    return sizes, right.astype(float)


@pytest.mark.parametrize(("groups", "wanted"), [(5, 0.90), (10, 0.93), (30, 0.93)])
def test_the_truth_is_inside_as_often_as_promised_and_not_in_a_percentile_bootstrap(groups, wanted):
    """`benchmarks/intervals.py` has more metrics, likenesses and methods."""
    sizes, right = simulated(groups)
    counts = np.vstack([np.ones(groups), 1 - np.eye(groups)])
    values = (right @ counts.T) / (sizes @ counts.T)
    low, high = jackknife_t(values, degrees_of_freedom(sizes), groups, bounds=(0.0, 1.0))
    assert np.mean((low <= 0.85) & (high >= 0.85)) >= wanted
    drawn = np.random.default_rng(1).multinomial(groups, np.full(groups, 1 / groups), 400)
    ends = np.quantile((right @ drawn.T) / (sizes @ drawn.T), [0.025, 0.975], axis=1)
    assert np.mean((ends[0] <= 0.85) & (ends[1] >= 0.85)) < 0.93


def test_two_that_are_equally_good_are_seldom_called_different():
    groups = FEWEST_GROUPS
    sizes, _ = simulated(groups)
    rng = np.random.default_rng(3)
    gap = rng.binomial(sizes.astype(int), 0.2) - rng.binomial(sizes.astype(int), 0.2)
    counts = np.vstack([np.ones(groups), 1 - np.eye(groups)])
    low, high = jackknife_t((gap @ counts.T) / (sizes @ counts.T), degrees_of_freedom(sizes), groups)
    assert np.mean((low > 0) | (high < 0)) <= 0.05


# ---- when there is none


def test_with_too_few_groups_there_is_no_interval_and_it_says_so():
    values = np.random.default_rng(0).normal(size=400)
    for groups in range(1, FEWEST_GROUPS):
        found = mean_interval(values, np.arange(400) % groups)
        assert np.isnan([found.low, found.high]).all()
        assert (found.groups, found.reason) == (groups, TOO_FEW)
    assert mean_interval(values, np.arange(400) % FEWEST_GROUPS).reason == ""


def test_a_metric_that_hangs_on_one_group_has_no_interval():
    target = np.array([1, 0, 0, 0, 0, 0])

    def needs_a_one(i):
        if not target[i].any():
            raise ValueError("one class only")
        return 1.0

    assert jackknife_interval(needs_a_one, list("abcdef")).reason == UNDEFINED
    assert jackknife_interval(lambda i: float("nan"), list("abcdef")).reason == UNDEFINED


def test_what_is_the_same_in_all_groups_has_no_interval_but_a_faultless_share_has_one():
    assert mean_interval([0.3] * 12, list("aabbccddeeff")).reason == NO_SPREAD
    found = mean_interval([1.0] * 12, list("aabbccddeeff"), bounds=(0.0, 1.0))
    assert (found.low, found.high) == (pytest.approx(0.025 ** (1 / 6)), 1.0)
    # with that many groups faultless, a share of faultless groups below it is refused by the exact binomial test
    assert stats.binomtest(6, 6, found.low - 1e-6, alternative="greater").pvalue < 0.025
    assert mean_interval([0.0] * 12, list("aabbccddeeff"), bounds=(0.0, 1.0)).high == pytest.approx(1 - found.low)
    a = np.linspace(0, 1, 12)
    assert paired_interval(a, a * (1 + 1e-15), list("aabbccddeeff")).reason == NO_SPREAD


def test_bounds_are_those_of_the_name_unless_the_values_say_otherwise():
    assert bounds_within(known_bounds("corr"), [0.2, np.nan]) == (-1, 1)
    assert bounds_within(known_bounds("mae"), [3.0]) == (0, np.inf)
    assert bounds_within(known_bounds("accuracy"), [93.0]) == known_bounds("profit") == (-np.inf, np.inf)


def test_what_cannot_be_done_is_said():
    with pytest.raises(DataError, match="no items"):
        mean_interval([], [])
    with pytest.raises(DataError, match="level"):
        mean_interval([1.0], ["a"], level=95)
    with pytest.raises(DataError, match="groups"):
        mean_interval([1.0, 2.0], ["a"])
    with pytest.raises(DataError, match="same items"):
        paired_interval([1.0], [1.0, 2.0], ["a"])


# ---- what it is of


def test_fast_and_general_path_agree_and_names_and_order_do_not_matter():
    groups, rng = grouped()
    values = rng.normal(size=200)
    slow = jackknife_interval(lambda i: values[i].mean(), groups)
    fast = mean_interval(values, groups)
    assert (slow.low, slow.high) == pytest.approx((fast.low, fast.high), abs=1e-12)
    order = rng.permutation(200)
    other = mean_interval(values[order], [f"z{g[::-1]}" for g in groups[order]])
    assert (other.low, other.high) == pytest.approx((fast.low, fast.high), abs=1e-12)


def test_groups_that_are_alike_inside_widen_the_interval():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(20), 50)
    values = rng.normal(size=20)[groups] + 0.1 * rng.normal(size=1000)
    clustered, naive = mean_interval(values, groups), mean_interval(values, np.arange(1000))
    assert clustered.high - clustered.low > 4 * (naive.high - naive.low)


def test_more_groups_than_are_left_out_one_by_one_go_in_blocks():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(1500), 2)
    units = Units.of(groups)
    assert (units.n, units.groups) == (MOST_BLOCKS, 1500)
    assert set(np.bincount(units.codes)) == {14, 16}
    assert (units.codes[::2] == units.codes[1::2]).all(), "a group is never cut"
    widths = []
    for _ in range(20):
        values = rng.normal(size=1500)[groups] + rng.normal(size=3000)
        found, want = mean_interval(values, groups), stats.ttest_1samp(values.reshape(-1, 2).mean(1), 0)
        widths.append((found.high - found.low) / np.subtract(*reversed(want.confidence_interval())))
    assert np.mean(widths) == pytest.approx(1, abs=0.05)


def test_a_paired_difference_is_narrower_than_its_parts():
    groups, rng = grouped()
    a = rng.normal(size=200)
    b = a + 0.1 + 0.01 * rng.normal(size=200)
    gain = paired_interval(b, a, groups)
    alone = mean_interval(b, groups)
    assert 0.09 < gain.low < 0.1 < gain.high < 0.11
    assert gain.high - gain.low < 0.2 * (alone.high - alone.low)
    assert difference_of(np.array([0.1 + 0.2]), np.array([0.3])) == 0


@given(st.integers(0, 100), st.floats(0.5, 0.99))
@settings(max_examples=20)
def test_a_higher_level_gives_a_wider_interval(seed, level):
    groups, rng = grouped(40, 6, seed)
    values = rng.normal(size=40)
    one, wide = mean_interval(values, groups, level=level), mean_interval(values, groups, level=0.995)
    assert one == mean_interval(values, groups, level=level)
    assert wide.low <= one.low <= one.high <= wide.high


# ---- fast paths


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
    asked = []

    def counted(i):
        asked.append(i)
        return metric(i)

    kernel = kernel_for(counted, scores, target, units)
    slow = leave_one_out([from_indices(metric, units)], units)[0]
    once = len(asked)
    found = leave_one_out([kernel], units)[0]
    assert len(asked) == once, "a fast kernel asks the metric no more"
    assert np.allclose(found, slow, equal_nan=True, rtol=1e-7)


def test_a_metric_of_its_own_takes_the_general_path():
    rng = np.random.default_rng(4)
    scores, target = rng.dirichlet(np.ones(3), 60), rng.integers(0, 3, 60)

    def own(i):  # accuracy, but a draw's first item does not count
        return float((scores[i].argmax(1) == target[i])[1:].mean())

    units = Units.of(np.arange(60))
    found = leave_one_out([kernel_for(own, scores, target, units)], units)[0]
    assert found[0] == own(np.arange(60))
    assert np.array_equal(found[1:], [own(np.delete(np.arange(60), i)) for i in range(60)])


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_a_correlation_of_hostile_scales_has_a_fast_path_too(scale):
    rng = np.random.default_rng(5)
    target = rng.normal(size=120)
    scores = scale * (1e7 + target + rng.normal(size=120))[:, None]
    check(lambda i: correlation(target[i], scores[i, 0]), scores, target, Units.of(np.arange(120) // 6))


def test_127_subsets_take_seconds():
    rng = np.random.default_rng(0)
    target = rng.integers(0, 8, 3000)
    units = Units.of(np.arange(3000))
    began = time.process_time()
    kernels = []
    for _ in range(127):
        scores = rng.random((3000, 8))

        def metric(i, scores=scores):
            return float((scores[i].argmax(1) == target[i]).mean())

        kernels.append(kernel_for(metric, scores, target, units))
    values = leave_one_out(kernels, units)
    assert values.shape == (127, 1 + MOST_BLOCKS)
    assert time.process_time() - began < 15  # 2 s alone on one core; the machine may be shared
