"""Fronts against brute force, rungs against a naive loop, and the rule of one standard error against its definition."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from plait.tuning.choice import Measured, chosen, costs_of, front, standard_error
from plait.tuning.halving import front_of, promotion, rung_shares, standing

COSTS = st.tuples(st.integers(1, 12), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(0, 4).map(float))
)


def dominates(a: np.ndarray, b: np.ndarray) -> bool:
    return all(x <= y for x, y in zip(a, b)) and any(x < y for x, y in zip(a, b))


def brute_front(costs: np.ndarray) -> list[bool]:
    return [not any(dominates(other, one) for other in costs) for one in costs]


@given(COSTS)
def test_the_front_is_what_no_other_dominates(costs: np.ndarray) -> None:
    assert front_of(costs).tolist() == brute_front(costs)


@given(COSTS)
def test_standing_peels_front_after_front(costs: np.ndarray) -> None:
    left, naive = list(range(len(costs))), []
    while left:
        first = [i for i, kept in zip(left, brute_front(costs[left])) if kept]
        naive += sorted(first, key=lambda i: (costs[i, 0], i))
        left = [i for i in left if i not in first]
    assert standing(costs) == naive


@pytest.mark.parametrize(("count", "eta", "rungs"), [(27, 3, 3), (16, 4, 2), (12, 3, 3), (8, 2, 4)])
def test_the_best_is_trained_to_the_end_and_the_share_of_the_others_is_small(count: int, eta: int, rungs: int) -> None:
    rng = np.random.default_rng(0)
    quality = rng.permutation(count)  # the same on every rung: nothing misleads
    ladder: list[dict[int, list[float]]] = [{} for _ in range(rungs)]
    asked, trained = 0, 0
    while True:
        new = promotion(ladder, eta)
        if new is None and asked < count:
            new, asked = (asked, 0), asked + 1
        new = new or promotion(ladder, eta, ended=True)
        if new is None:
            break
        trial, rung = new
        assert trial not in ladder[rung], "nothing is trained twice"
        assert rung == 0 or trial in ladder[rung - 1], "no rung is skipped"
        ladder[rung][trial], trained = [float(quality[trial])], trained + 1
    assert int(np.argmin(quality)) in ladder[-1]
    for below, above in itertools.pairwise(ladder):
        # Some went on before better ones came; of those, there are about as many as the logarithm of the count.
        assert len(below) // eta <= len(above) <= max(len(below) // eta, 1) + math.ceil(math.log2(count))
    assert trained == sum(map(len, ladder))


def test_the_highest_rung_goes_first_and_who_is_busy_waits() -> None:
    ladder = [{n: [float(n)] for n in range(6)}, {0: [0.0], 1: [1.0]}, dict[int, list[float]]()]
    assert promotion(ladder, 2) == (0, 2)
    assert promotion(ladder, 2, busy={0}) == (2, 1)
    assert promotion(ladder, 2, busy={0, 2}) is None


def test_who_failed_never_goes_on() -> None:
    ladder = [{0: [math.inf], 1: [math.inf]}, dict[int, list[float]]()]
    assert promotion(ladder, 2, ended=True) is None
    ladder[0][2] = [0.5]
    assert promotion(ladder, 2, ended=True) == (2, 1)


def test_one_rung_is_no_halving() -> None:
    assert rung_shares(1, 3) == [1.0]
    assert promotion([{0: [0.0], 1: [1.0], 2: [2.0]}], 3, ended=True) is None


def measured(trial: int, metric: float, size: int, error: float | None = 0.05, streams: int = 2) -> Measured:
    return {
        "trial": trial,
        "rung": 2,
        "metric": metric,
        "low": None,
        "high": None,
        "reason": "",
        "error": error,
        "groups": 9,
        "baseline": 0.5,
        "latency": {"median": 1.0, "low": 1.0, "high": 1.0},
        "size": size,
        "streams": streams,
        "seconds": 1.0,
    }


TRIALS = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 6), st.integers(0, 5)), min_size=1, max_size=10)


@given(TRIALS, st.booleans())
def test_the_simplest_within_one_standard_error(rows: list[tuple[int, int, int]], higher: bool) -> None:
    done = [measured(i, m / 20, size, error / 20) for i, (m, size, error) in enumerate(rows)]
    best, simplest = chosen(done, ("metric", "size"), higher_is_better=higher)
    # By its definition, in whole twentieths, and with loops.
    top = (max if higher else min)(m for m, _, _ in rows)
    assert best["metric"] == top / 20
    error = rows[best["trial"]][2]
    near = [(size, -m if higher else m) for m, size, _ in rows if abs(m - top) <= error]
    assert (simplest["size"], round(20 * simplest["metric"]) * (-1 if higher else 1)) == min(near)


def test_without_a_standard_error_the_best_is_taken() -> None:
    done = [measured(0, 0.9, 100, None), measured(1, 0.89, 1, None)]
    assert [one["trial"] for one in chosen(done, ("metric",), higher_is_better=True)] == [0, 0]


def test_a_front_of_trials() -> None:
    done = [measured(0, 0.9, 100), measured(1, 0.8, 10), measured(2, 0.7, 50)]
    assert [one["trial"] for one in front(done, ("metric", "size"), higher_is_better=True)] == [0, 1]
    assert costs_of(done[0], ("metric", "streams"), higher_is_better=True) == [-0.9, 2.0]


def test_the_standard_error_of_a_mean_is_the_textbooks() -> None:
    values = np.random.default_rng(0).normal(size=12)
    left_out = np.array([values.mean(), *(np.delete(values, i).mean() for i in range(12))])
    assert standard_error(left_out, 12) == pytest.approx(values.std(ddof=1) / math.sqrt(12))
    assert standard_error(left_out, 4) is None
