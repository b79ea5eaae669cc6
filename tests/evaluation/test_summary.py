from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest

from plait.errors import DataError
from plait.evaluation.summary import plain, point, subsets_of, summarise


def test_subsets_are_all_of_them_small_ones_first():
    found = subsets_of("abc")
    assert found == [("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c")]
    assert len(subsets_of("abcdefg")) == len(set(subsets_of("abcdefg"))) == 127


def test_metrics_are_of_each_seeds_pooled_folds(make_members, classify):
    members = make_members(["see", "hear"], seeds=2, folds=3, n=50)
    task = classify(["x", "y", "z"])
    found = summarise(task, members)
    assert [r["modalities"] for r in found["subsets"]] == [["see"], ["hear"], ["see", "hear"]]
    for row in found["subsets"]:
        by_hand = []
        for seed in (0, 1):
            mine = [m for m in members if m.seed == seed]
            right = [m.outputs[tuple(row["modalities"])].argmax(1) == m.target for m in mine]
            by_hand.append(np.concatenate(right).mean())
        got = row["metrics"]["accuracy"]
        assert got["per_seed"] == pytest.approx(by_hand)
        assert got["mean"] == pytest.approx(np.mean(by_hand))
        assert got["sd"] == pytest.approx(abs(by_hand[0] - by_hand[1]) / np.sqrt(2))
        assert row["interval"]["low"] < got["mean"] < row["interval"]["high"]
    assert (found["items"], found["groups"], found["seeds"], found["folds"]) == (150, 18, [0, 1], ["0", "1", "2"])


def test_the_interval_is_of_the_mean_over_seeds_with_the_same_groups_drawn(make_members, classify):
    members = make_members(["see"], seeds=3, folds=1)
    row = summarise(classify(["x", "y", "z"]), members, draws=300)["subsets"][0]
    right = np.mean([m.outputs[("see",)].argmax(1) == m.target for m in members], axis=0)
    names, codes = np.unique(members[0].groups, return_inverse=True)
    rng = np.random.default_rng(0)
    values = []
    for picked in rng.integers(0, len(names), (300, len(names))):
        values.append(np.concatenate([right[codes == g] for g in picked]).mean())
    assert (row["interval"]["low"], row["interval"]["high"]) == pytest.approx(tuple(np.percentile(values, [2.5, 97.5])))


def test_answered_counts_items_with_at_least_one_of_them(make_members, classify):
    members = make_members(["see", "hear"], seeds=2, folds=1)
    rows = summarise(classify(["x", "y", "z"]), members)["subsets"]
    there = members[0].present
    assert [r["answered"] for r in rows] == [
        there["see"].sum(), there["hear"].sum(), (there["see"] | there["hear"]).sum()
    ]  # fmt: skip
    assert rows[0]["answered"] < len(members[0].items)


def test_gain_is_over_the_best_single_and_above_zero_when_better(make_members, classify, regress):
    for task, classes in ((classify(["x", "y", "z"]), 3), (regress, 0)):
        found = summarise(task, make_members(["see", "hear"], classes=classes, strength=[1.0, 1.5]))
        assert found["best_single"]["modality"] == "hear"
        metric = found["task"]["metric"]
        full, best = (found["subsets"][i]["metrics"][metric]["mean"] for i in (2, 1))
        assert found["gain_over_best_single"] == pytest.approx(abs(full - best))
        assert 0 < found["gain_interval"]["low"] < found["gain_over_best_single"] < found["gain_interval"]["high"]


def test_order_of_members_changes_nothing_but_order_of_modalities_is_kept(make_members, classify):
    members = make_members(["see", "hear"])
    task = classify(["x", "y", "z"])
    one = summarise(task, members, ["hear", "see"])
    assert [r["modalities"] for r in one["subsets"]][:2] == [["hear"], ["see"]]
    two = summarise(task, members[::-1], ["hear", "see"])
    values = [[r["metrics"]["accuracy"]["mean"] for r in e["subsets"]] for e in (one, two)]
    assert values[0] == pytest.approx(values[1])


def test_confusion_calibration_and_data(make_members, classify):
    members = make_members(["see", "hear"], seeds=2)
    found = summarise(classify(["x", "y", "z"]), members, about={"run": "r1", "unit": "a clip"})
    assert np.sum(found["confusion"]["counts"]) == 2 * found["items"]
    assert np.trace(found["confusion"]["counts"]) / (2 * found["items"]) == pytest.approx(
        found["subsets"][-1]["metrics"]["accuracy"]["mean"]
    )
    assert sum(b["count"] for b in found["calibration"]["bins"]) == 2 * found["items"]
    assert found["data"]["missing streams"]["see"] == sum(int((~m.present["see"]).sum()) for m in members[:2])
    assert (found["run"], found["task"]["unit"], found["task"]["classes"]) == ("r1", "a clip", ["x", "y", "z"])


def test_it_is_json_whatever_is_not_a_number(make_members, regress):
    members = make_members(["see"], classes=0, seeds=1)
    members = [replace(m, outputs={("see",): m.outputs[("see",)] * np.nan}) for m in members]
    found = summarise(regress, members, sections={"versions": {"numpy": "2"}})
    json.dumps(found, allow_nan=False)
    row = found["subsets"][0]
    assert row["metrics"]["mae"] == {"mean": None, "sd": None, "per_seed": [None]}
    assert row["interval"]["low"] is None
    assert row["interval"]["skipped"] > 0
    assert "confusion" not in found
    assert len(found["scatter"]["target"]) == len(found["scatter"]["predicted"])
    assert plain(np.int64(3)) == 3


def test_few_groups_and_one_modality(make_members, classify):
    found = summarise(classify(["x", "y", "z"]), make_members(["see"], folds=1, groups=2))
    assert found["subsets"][0]["interval"]["unit"] == "item"
    assert found["gain_over_best_single"] == 0


def test_seeds_may_have_other_items(make_members, classify):
    members = make_members(["see"], seeds=1, folds=2)
    members = [members[0], replace(members[1], seed=1)]
    found = summarise(classify(["x", "y", "z"]), members)
    assert found["items"] == 240
    assert found["subsets"][0]["interval"]["draws"] > 900


def test_a_point_of_a_robustness_curve(make_members, classify):
    members = make_members(["see", "hear"])
    found = point(classify(["x", "y", "z"]), members, ("see", "hear"))
    whole = summarise(classify(["x", "y", "z"]), members)["subsets"][-1]["metrics"]["accuracy"]
    assert found == {"metric": "accuracy", "value": whole["mean"], "sd": whole["sd"]}


def test_members_that_do_not_fit_are_said_all_at_once(make_members, classify):
    good, bad = make_members(["see"], seeds=2, folds=1)
    bad = replace(bad, groups=bad.groups[1:], outputs={("see",): bad.outputs[("see",)][:3]})
    with pytest.raises(DataError) as error:
        summarise(classify(["x", "y", "z"]), [good, bad])
    assert len(error.value.problems) == 2
    with pytest.raises(DataError, match="no outputs"):
        summarise(classify(["x"]), [])
    with pytest.raises(DataError, match="expected subsets"):
        summarise(classify(["x", "y", "z"]), [good], ["hear"])


def test_seven_modalities_take_seconds(make_members, classify):
    members = make_members(list("abcdefg"), seeds=1, folds=1, n=3000, groups=3000)
    began = time.perf_counter()
    assert len(summarise(classify(["x", "y", "z"]), members)["subsets"]) == 127
    assert time.perf_counter() - began < 15


def test_the_tasks_that_there_are_fit(make_members):
    classify = pytest.importorskip("plait.tasks.classify").Classify
    for metric in ("accuracy", "roc_auc", "macro_f1"):
        task = classify(["a", "b"], metric=metric)
        found = summarise(task, make_members(["see", "hear"], classes=2, seeds=2), draws=300)
        assert found["task"]["metric"] == metric
        span = found["subsets"][-1]["interval"]
        assert span["draws"] + span["skipped"] == 300  # the fast path: the slow one has 200 draws
        json.dumps(found, allow_nan=False)
