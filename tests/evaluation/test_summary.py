from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from scipy import special, stats
from sklearn.metrics import precision_score, recall_score

from plait.core.errors import DataError
from plait.evaluation.summary import plain, point, subsets_of, summarise
from plait.tasks.regress import Regress


def test_subsets_are_all_of_them_small_ones_first():
    found = subsets_of("abc")
    assert found == [("a",), ("b",), ("c",), ("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c")]
    assert len(subsets_of("abcdefg")) == len(set(subsets_of("abcdefg"))) == 127


def test_metrics_are_of_each_seeds_pooled_folds(make_replicates, classify):
    replicates = make_replicates(["see", "hear"], seeds=2, folds=3, n=50)
    task = classify(["x", "y", "z"])
    found = summarise(task, replicates)
    assert [r["modalities"] for r in found["subsets"]] == [["see"], ["hear"], ["see", "hear"]]
    for row in found["subsets"]:
        by_hand = []
        for seed in (0, 1):
            mine = [m for m in replicates if m.seed == seed]
            right = [m.outputs[tuple(row["modalities"])].argmax(1) == m.target for m in mine]
            by_hand.append(np.concatenate(right).mean())
        got = row["metrics"]["accuracy"]
        assert got["per_seed"] == pytest.approx(by_hand)
        assert got["mean"] == pytest.approx(np.mean(by_hand))
        assert got["sd"] == pytest.approx(abs(by_hand[0] - by_hand[1]) / np.sqrt(2))
        assert row["interval"]["low"] < got["mean"] < row["interval"]["high"]
    assert (found["items"], found["groups"], found["seeds"], found["folds"]) == (150, 18, [0, 1], ["0", "1", "2"])


def test_the_interval_is_of_the_mean_over_seeds_with_the_same_groups_left_out(make_replicates, classify):
    replicates = make_replicates(["see"], seeds=3, folds=1)
    found = summarise(classify(["x", "y", "z"]), replicates)
    right = np.mean([m.outputs[("see",)].argmax(1) == m.target for m in replicates], axis=0)
    names, codes = np.unique(replicates[0].groups, return_inverse=True)
    whole = right.mean()
    change = [right[codes != g].mean() - whole for g in range(len(names))]
    error = np.sqrt((len(names) - 1) / len(names) * np.square(change).sum()) / (whole * (1 - whole))
    by = stats.t.ppf(0.975, len(names) - 1) * error
    want = special.expit(special.logit(whole) + np.array([-by, by]))
    row = found["subsets"][0]["interval"]
    assert (row["low"], row["high"]) == pytest.approx(tuple(want))
    assert row == {"low": row["low"], "high": row["high"], "groups": 6, "reason": ""}
    assert found["intervals"]["degrees_of_freedom"] == pytest.approx(5)


def test_what_each_modality_brings_is_paired(make_replicates, classify, regress):
    for task, classes in ((classify(["x", "y", "z"]), 3), (regress, 0)):
        replicates = make_replicates(["see", "hear", "feel"], classes=classes, strength=[1.0, 1.5, 0.01])
        found = summarise(task, replicates)
        value = {tuple(r["modalities"]): r["metrics"][task.main_metric]["mean"] for r in found["subsets"]}
        sign = 1 if task.higher_is_better else -1
        for row in found["contributions"]:
            rest = tuple(m for m in ("see", "hear", "feel") if m != row["modality"])
            assert row["gain"] == pytest.approx(sign * (value["see", "hear", "feel"] - value[rest]))
            assert row["interval"]["low"] < row["gain"] < row["interval"]["high"]
        assert [r["modality"] for r in found["contributions"]] == ["hear", "see", "feel"]
        assert found["contributions"][0]["interval"]["low"] > 0
        over = found["gain_over_constant"]
        base = found["baseline"]["metrics"][task.main_metric]
        assert over["gain"] == pytest.approx(sign * (value["see", "hear", "feel"] - base))
        assert over["interval"]["low"] > 0


def test_classes_and_groups_are_told_one_by_one(make_replicates, classify):
    replicates = make_replicates(["see", "hear"], seeds=2, n=90)
    found = summarise(classify(["x", "y", "z"]), replicates)
    truth = np.concatenate([m.target for m in replicates])
    said = np.concatenate([m.outputs[("see", "hear")].argmax(1) for m in replicates])
    recall, precision = (f(truth, said, average=None) for f in (recall_score, precision_score))
    assert [c["recall"] for c in found["per_class"]] == pytest.approx(list(recall))
    assert [c["precision"] for c in found["per_class"]] == pytest.approx(list(precision))
    assert [c["items"] for c in found["per_class"]] == [int((truth == c).sum() / 2) for c in range(3)]
    rows = found["per_group"]
    assert [r["value"] for r in rows] == sorted(r["value"] for r in rows)
    assert sum(r["items"] for r in rows) == found["items"]
    worst = rows[0]["group"]
    mine = [(m, np.array(m.groups) == worst) for m in replicates if worst in m.groups]
    by_hand = [(m.outputs[("see", "hear")][own].argmax(1) == m.target[own]).mean() for m, own in mine]
    assert rows[0]["value"] == pytest.approx(np.mean(by_hand))


def test_groups_of_one_item_each_have_no_table(make_replicates, classify):
    assert summarise(classify(["x", "y", "z"]), make_replicates(["see"], groups=120))["per_group"] == []


def test_answered_counts_items_with_at_least_one_of_them(make_replicates, classify):
    replicates = make_replicates(["see", "hear"], seeds=2, folds=1)
    rows = summarise(classify(["x", "y", "z"]), replicates)["subsets"]
    there = replicates[0].present
    assert [r["answered"] for r in rows] == [
        there["see"].sum(), there["hear"].sum(), (there["see"] | there["hear"]).sum()
    ]  # fmt: skip
    assert rows[0]["answered"] < len(replicates[0].items)


def test_gain_is_over_the_best_single_and_above_zero_when_better(make_replicates, classify, regress):
    for task, classes in ((classify(["x", "y", "z"]), 3), (regress, 0)):
        found = summarise(task, make_replicates(["see", "hear"], classes=classes, strength=[1.0, 1.5]))
        assert found["best_single"]["modality"] == "hear"
        metric = found["task"]["metric"]
        full, best = (found["subsets"][i]["metrics"][metric]["mean"] for i in (2, 1))
        assert found["gain_over_best_single"] == pytest.approx(abs(full - best))
        assert 0 < found["gain_interval"]["low"] < found["gain_over_best_single"] < found["gain_interval"]["high"]


def test_order_of_replicates_changes_nothing_but_order_of_modalities_is_kept(make_replicates, classify):
    replicates = make_replicates(["see", "hear"])
    task = classify(["x", "y", "z"])
    one = summarise(task, replicates, ["hear", "see"])
    assert [r["modalities"] for r in one["subsets"]][:2] == [["hear"], ["see"]]
    two = summarise(task, replicates[::-1], ["hear", "see"])
    values = [[r["metrics"]["accuracy"]["mean"] for r in e["subsets"]] for e in (one, two)]
    assert values[0] == pytest.approx(values[1])


def test_confusion_calibration_and_data(make_replicates, classify):
    replicates = make_replicates(["see", "hear"], seeds=2)
    found = summarise(classify(["x", "y", "z"]), replicates, about={"run": "r1", "unit": "a clip"})
    assert np.sum(found["confusion"]["counts"]) == 2 * found["items"]
    assert np.trace(found["confusion"]["counts"]) / (2 * found["items"]) == pytest.approx(
        found["subsets"][-1]["metrics"]["accuracy"]["mean"]
    )
    assert sum(b["count"] for b in found["calibration"]["bins"]) == 2 * found["items"]
    assert found["data"]["missing_streams"]["see"] == sum(int((~m.present["see"]).sum()) for m in replicates[:2])
    assert (found["run"], found["task"]["unit"], found["task"]["classes"]) == ("r1", "a clip", ["x", "y", "z"])


def test_answers_that_are_not_numbers_are_refused_and_named(make_replicates, regress):
    good, bad = make_replicates(["see"], classes=0, seeds=2, folds=1)
    scores = bad.outputs[("see",)].copy()
    scores[[3, 5]] = np.nan
    target = np.where(np.arange(120) == 7, np.inf, bad.target)
    with pytest.raises(DataError) as error:
        summarise(regress, [good, replace(bad, outputs={("see",): scores}, target=target)])
    assert [p.split(": ", 1)[0] for p in error.value.problems] == ["seed 1, fold '0'"] * 2
    assert "the target is not a number on 1 of 120 items, first on 'item 0 7'" in error.value.problems[0]
    assert "the output of see is not a number on 2 of 120 items, first on 'item 0 3'" in error.value.problems[1]


def test_a_regression_of_our_own_has_a_scatter(make_replicates):
    found = summarise(Regress([0.0, 1.0]), make_replicates(["see"], classes=0, seeds=1))
    assert "scatter" in found
    assert "examples" not in found


def test_it_is_json(make_replicates, regress):
    found = summarise(regress, make_replicates(["see"], classes=0, seeds=1), sections={"versions": {"numpy": "2"}})
    json.dumps(found, allow_nan=False)
    assert found["subsets"][0]["metrics"]["mae"]["sd"] is None
    assert "confusion" not in found
    assert len(found["scatter"]["target"]) == len(found["scatter"]["predicted"])
    assert plain(np.int64(3)) == 3


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_too_few_groups_give_null_and_a_reason(make_replicates, classify, groups):
    found = summarise(classify(["x", "y", "z"]), make_replicates(["see", "hear"], folds=1, groups=groups))
    none = {"low": None, "high": None, "groups": groups, "reason": "too few groups"}
    assert [r["interval"] for r in found["subsets"]] == [none] * 3
    assert found["gain_interval"] == found["gain_over_constant"]["interval"] == none
    assert [c["interval"] for c in found["contributions"]] == [none] * 2
    assert found["intervals"]["fewest_groups"] == 5


def test_one_modality_has_nothing_to_be_better_than(make_replicates, classify):
    found = summarise(classify(["x", "y", "z"]), make_replicates(["see"]))
    assert found["best_single"] is None
    assert found["gain_over_best_single"] is None
    assert found["gain_interval"] is None
    assert found["contributions"] == []


def test_seeds_may_have_other_items(make_replicates, classify):
    replicates = make_replicates(["see"], seeds=1, folds=2)
    replicates = [replicates[0], replace(replicates[1], seed=1)]
    found = summarise(classify(["x", "y", "z"]), replicates)
    assert found["items"] == 240
    assert found["subsets"][0]["interval"]["low"] > 0


def test_a_point_of_a_robustness_curve(make_replicates, classify):
    replicates = make_replicates(["see", "hear"])
    found = point(classify(["x", "y", "z"]), replicates, ("see", "hear"))
    whole = summarise(classify(["x", "y", "z"]), replicates)["subsets"][-1]["metrics"]["accuracy"]
    assert found == {"metric": "accuracy", "value": whole["mean"], "sd": whole["sd"]}


def test_replicates_that_do_not_fit_are_said_all_at_once(make_replicates, classify):
    good, bad = make_replicates(["see"], seeds=2, folds=1)
    bad = replace(bad, groups=bad.groups[1:], outputs={("see",): bad.outputs[("see",)][:3]})
    with pytest.raises(DataError) as error:
        summarise(classify(["x", "y", "z"]), [good, bad])
    assert len(error.value.problems) == 2
    with pytest.raises(DataError, match="no outputs"):
        summarise(classify(["x"]), [])
    with pytest.raises(DataError, match="expected subsets"):
        summarise(classify(["x", "y", "z"]), [good], ["hear"])


def test_seven_modalities_take_seconds(make_replicates, classify):
    replicates = make_replicates(list("abcdefg"), seeds=1, folds=1, n=3000, groups=3000)
    began = time.process_time()
    assert len(summarise(classify(["x", "y", "z"]), replicates)["subsets"]) == 127
    assert time.process_time() - began < 15


def test_the_tasks_that_there_are_fit(make_replicates):
    classify = pytest.importorskip("plait.tasks.classify").Classify
    for metric in ("accuracy", "roc_auc", "macro_f1"):
        task = classify(["a", "b"], metric=metric)
        found = summarise(task, make_replicates(["see", "hear"], classes=2, seeds=2))
        assert found["task"]["metric"] == metric
        span = found["subsets"][-1]["interval"]
        assert 0 < span["low"] < found["subsets"][-1]["metrics"][metric]["mean"] < span["high"] < 1
        json.dumps(found, allow_nan=False)
