from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.evaluation.replicates import ReplicateOutput
from plait.evaluation.slices import holm, slices_of


@given(st.lists(st.floats(0, 1), max_size=12))
def test_corrected_values_are_in_the_same_order_and_no_smaller(values) -> None:
    found = holm(values)
    assert all(a <= b for a, b in zip(values, found))
    order = np.argsort(values, kind="stable")
    assert all(found[a] <= found[b] for a, b in itertools.pairwise(order))
    if values:
        assert min(found) == pytest.approx(min(1.0, min(values) * len(values)))


def output(rng, *, harm=0.0, one_group=0.0, groups=20, each=15):
    """Answers that are right in 80 %, less often where it is dark, and in group 3."""
    n = groups * each
    owner = np.repeat(np.arange(groups), each)
    dark = rng.random(n) < 0.3
    right = rng.random(n) < 0.8 - harm * dark - one_group * (owner == 3)
    target = rng.integers(0, 2, n)
    said = np.where(right, target, 1 - target)
    scores = np.where(said[:, None] == np.arange(2), 0.9, 0.1)
    items = [f"i{i}" for i in range(n)]
    pool = ReplicateOutput(
        seed=0,
        fold="",
        items=items,
        recordings=items,
        groups=[f"g{g}" for g in owner],
        target=target,
        present={"a": np.ones(n, bool)},
        outputs={("a",): scores},
        baseline=np.full((n, 2), 0.5),
    )
    facts = {i: {"dark": bool(d), "length": float(rng.random()), "name": i} for i, d in zip(items, dark)}
    return pool, facts


def worst_of(task, pool, facts):
    return {(row["name"], row["part"]): row for row in slices_of([pool], task, ("a",), facts)}


def test_a_planted_part_is_found_and_others_are_not(classify) -> None:
    found = 0
    for seed in range(20):
        pool, facts = output(np.random.default_rng(seed), harm=0.35)
        rows = worst_of(classify(["x", "y"]), pool, facts)
        found += rows["dark", "True"]["p_corrected"] < 0.05
        assert not any(name == "name" for name, _ in rows)
        assert {part for name, part in rows if name == "length"} == {p for n, p in rows if n == "length"}
        assert sum(name == "length" for name, _ in rows) == 3
    assert found >= 19


def test_clean_items_give_no_alarm(classify) -> None:
    alarms = 0
    for seed in range(40):
        pool, facts = output(np.random.default_rng(seed))
        rows = worst_of(classify(["x", "y"]), pool, facts).values()
        alarms += any(row["p_corrected"] is not None and row["p_corrected"] < 0.05 for row in rows)
    assert alarms <= 5


def test_a_single_group_is_compared_with_the_spread_of_the_others(classify) -> None:
    pool, facts = output(np.random.default_rng(0), one_group=0.7)
    rows = slices_of([pool], classify(["x", "y"]), ("a",), facts)
    assert (rows[0]["name"], rows[0]["part"]) == ("group", "g3")
    assert rows[0]["p_corrected"] < 0.05
    assert rows[0]["groups"] == 1


def test_the_values_are_those_of_the_parts(classify) -> None:
    task = classify(["x", "y"])
    pool, facts = output(np.random.default_rng(1), harm=0.2)
    row = worst_of(task, pool, facts)["dark", "True"]
    dark = np.array([facts[i]["dark"] for i in pool.items])
    scores, target = pool.outputs["a",], pool.target
    assert row["value"] == pytest.approx(task.metrics(scores[dark], target[dark])["accuracy"])
    assert row["rest"] == pytest.approx(task.metrics(scores[~dark], target[~dark])["accuracy"])
    assert row["items"] == dark.sum()
