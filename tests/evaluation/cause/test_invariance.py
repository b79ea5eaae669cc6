from __future__ import annotations

import numpy as np
import pytest

from plait.core.errors import ConfigError
from plait.evaluation.cause.invariance import errors_of, invariance_of, same_errors
from plait.evaluation.replicates import ReplicateOutput


def world(seed=0, *, shift=1.0, sites=3, speakers=24, each=15):
    """A cause with another mean at each site, and an effect of the target with another noise there; the answers are
    the best linear ones over all sites."""
    rng = np.random.default_rng(seed)
    speaker = np.repeat(np.arange(speakers), each)
    site = speaker % sites
    cause = shift * site + rng.normal(size=len(site))
    target = cause + rng.normal(0, 0.5, len(site))
    effect = target + shift * (site - 1) + rng.normal(0, 0.5, len(site))
    streams = {
        ("cause",): cause[:, None],
        ("effect",): effect[:, None],
        ("cause", "effect"): np.stack([cause, effect], 1),
    }
    outputs = {}
    for name, columns in streams.items():
        rows = np.concatenate([columns, np.ones((len(site), 1))], 1)
        outputs[name] = (rows @ np.linalg.lstsq(rows, target, rcond=None)[0])[:, None]
    items = [str(i) for i in range(len(site))]
    there = dict.fromkeys(("cause", "effect"), np.ones(len(site), bool))
    groups = [f"g{i}" for i in speaker]
    pool = ReplicateOutput(0, "", items, items, groups, target, there, outputs, np.full((len(site), 1), target.mean()))
    return [pool], {i: {"site": f"s{s}"} for i, s in zip(items, site)}


def test_the_cause_is_invariant_and_its_effect_is_not() -> None:
    found = [invariance_of(*world(seed), "site") for seed in range(3)]
    assert sum(one["invariant"] == ["cause"] for one in found) >= 2
    rejected = {tuple(r["modalities"]) for r in found[0]["subsets"] if not r["accepted"]}
    assert rejected == {(), ("effect",), ("cause", "effect")}


def test_where_nothing_differs_it_cannot_be_told() -> None:
    found = invariance_of(*world(shift=0.0), "site")
    assert found["invariant"] == []
    assert "constant answer" in found["reason"]


def test_one_environment_tells_nothing() -> None:
    pools, facts = world(sites=1)
    found = invariance_of(pools, facts, "site")
    assert (found["subsets"], found["invariant"]) == ([], [])
    assert "one environment" in found["reason"]
    few = {i: {"site": "a" if k else "b"} for k, i in enumerate(facts)}
    assert "fewer than two" in invariance_of(pools, few, "site")["reason"]
    with pytest.raises(ConfigError, match="Did you mean 'site'"):
        invariance_of(pools, facts, "sites")


def test_groups_are_environments_too() -> None:
    assert len(invariance_of(*world())["sizes"]) == 24


def test_it_is_what_naive_loops_give() -> None:
    rng = np.random.default_rng(0)
    errors, place, groups = rng.normal(size=(24, 2)), np.array(list("xxyyyyxy") * 3), np.array(list("abcdefgh") * 3)
    found = same_errors([errors], place, groups, permutations=99, seed=3)[0]

    def statistic(own):
        total = 0.0
        for k in range(2):
            column = (errors[:, k] - errors[:, k].mean()) / errors[:, k].std()
            for name in "xy":
                some = [column[i] for i in range(24) if own[i] == name]
                total += len(some) * np.mean(some) ** 2
        return total

    draws, count = np.random.default_rng(3), 0
    for _ in range(99):
        # each group, by name, gets the environment of another one
        given = dict(zip("abcdefgh", draws.permutation(np.array([0, 0, 1, 1, 1, 1, 0, 1]))))
        count += statistic(["xy"[given[g]] for g in groups]) >= statistic(place) * (1 - 1e-9)
    assert found == (1 + count) / 100


@pytest.mark.parametrize("nested", [True, False])
def test_equal_errors_of_correlated_groups_give_few_alarms(nested) -> None:
    alarms = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        group = np.repeat(np.arange(20), 10)
        errors = rng.normal(size=20)[group][:, None] + rng.normal(size=(200, 1))
        place = group % 2 if nested else np.arange(200) % 2
        alarms += same_errors([errors], place, group.astype(str), permutations=99)[0] <= 0.05
    assert alarms <= 6  # of 40 at 5 %: at most so many with probability .99


def test_errors_of_classes_and_values() -> None:
    assert errors_of(np.array([[0.7, 0.3]]), np.array([0])).round(9).tolist() == [[0.3, -0.3]]
    assert errors_of(np.array([[1.0], [2.0], [6.0]]), np.array([1.0, 3.0, 3.0])).tolist() == [[0, 0], [1, 1], [-3, 3]]


def test_answers_over_time_are_left_out() -> None:
    pools, facts = world()
    import dataclasses

    timed = dataclasses.replace(pools[0], target=np.zeros((360, 4)))
    assert invariance_of([timed], facts) is None
