from __future__ import annotations

import numpy as np
import pytest

from plait.core.errors import DataError
from plait.evaluation.contribution.broja import information, union_information
from plait.evaluation.contribution.information import decompose, decompositions, information_of, weighed

NOISE = np.full((4, 4), 0.1 / 3) + np.eye(4) * (0.9 - 0.1 / 3)
XOR = np.zeros((2, 2, 2))
for a, b in np.ndindex(2, 2):
    XOR[a, b, a ^ b] = 0.25
WORLDS = {
    "redundant": np.einsum("ab,by->aby", np.eye(4), NOISE) / 4,
    "unique": np.einsum("ay,b->aby", NOISE, np.full(4, 0.25)) / 4,
    "synergy": XOR,
    "two bits": np.einsum("ay,by->aby", np.array([[1, 1, 0, 0], [0, 0, 1, 1]]), np.array([[1, 0] * 2, [0, 1] * 2])) / 4,
}


def truth(joint):
    one, two = joint.sum(1), joint.sum(0)
    union = union_information(one, two).bits
    whole = information(joint.reshape(-1, joint.shape[2]))
    own, other = information(one), information(two)
    return np.array([own + other - union, union - other, union - own, whole - union])


def answers(joint, count, seed):
    """What a fair but overconfident model of each and of both says, and the truth."""
    rng = np.random.default_rng(seed)
    places = rng.choice(joint.size, count, p=joint.ravel())
    first, second, target = np.unravel_index(places, joint.shape)

    def said(table):
        known = table / np.maximum(table.sum(-1, keepdims=True), 1e-12)
        logs = 1.5 * np.log(np.maximum(known, 1e-4)) + rng.normal(0, 0.3, known.shape)
        return np.exp(logs) / np.exp(logs).sum(-1, keepdims=True)

    return said(joint.sum(1)[first]), said(joint.sum(0)[second]), said(joint[first, second]), target


@pytest.mark.parametrize("world", WORLDS)
def test_each_part_is_found_from_answers(world) -> None:
    found = []
    for seed in range(4):
        one = decompose(*answers(WORLDS[world], 300, seed))
        found.append([one.redundancy, *one.unique, one.synergy])
    np.testing.assert_allclose(np.mean(found, 0), truth(WORLDS[world]), atol=0.1)


@pytest.mark.parametrize("world", WORLDS)
def test_shuffled_classes_have_no_information(world) -> None:
    first, second, both, target = answers(WORLDS[world], 300, 0)
    found = decompose(first, second, both, np.random.default_rng(1).permutation(target))
    assert np.abs([found.redundancy, *found.unique, found.synergy]).max() < 0.05


def test_evidence_is_weighed_by_what_it_is_worth() -> None:
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, 2000)
    sure = np.where(rng.random(2000) < 0.8, target, 1 - target)
    said = np.where(sure[:, None] == np.arange(2), 0.99, 0.01)
    found = weighed(said, target, np.full(2, 0.5))
    assert found.max(1).mean() == pytest.approx(0.8, abs=0.03)


def test_an_interval_covers_the_truth_and_leaves_out_groups() -> None:
    first, second, both, target = answers(WORLDS["redundant"], 400, 3)
    groups = np.array([f"g{i % 20}" for i in range(400)])
    values, units = decompositions(first, second, both, target, groups)
    assert values.shape == (4, 21)
    assert units.n == 20
    whole = decompose(first, second, both, target)
    assert values[0, 0] == pytest.approx(whole.redundancy, abs=1e-3)
    kept = groups != "g3"
    without = decompose(first[kept], second[kept], both[kept], target[kept])
    place = 1 + sorted(set(groups)).index("g3")
    assert values[0, place] == pytest.approx(without.redundancy, abs=5e-3)


def test_one_class_has_nothing_to_tell() -> None:
    with pytest.raises(DataError, match="one class"):
        decompose(*[np.full((3, 2), 0.5)] * 3, np.zeros(3, int))


def test_of_replicates(make_replicates, classify) -> None:
    task, pools = classify(["x", "y", "z"]), make_replicates(["see", "hear", "feel"], folds=1)
    found = information_of(pools, task, ("see", "hear", "feel"))
    assert [row["modalities"] for row in found] == [["see", "hear"], ["see", "feel"], ["hear", "feel"]]
    for row in found:
        assert row["redundancy"]["bits"] + row["unique_first"]["bits"] == pytest.approx(row["first"], abs=1e-3)
        parts = [row[name]["bits"] for name in ("redundancy", "unique_first", "unique_second", "synergy")]
        assert sum(parts) == pytest.approx(row["both"], abs=1e-3)
        assert abs(row["redundancy"]["null"]) < 0.05
    assert information_of(pools, task, ("see",)) == []
