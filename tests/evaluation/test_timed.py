"""Answers on a time axis: classes at instants, several at a time, values, and texts; folds of unequal length."""

from __future__ import annotations

import json

import numpy as np
import pytest

from plait.core.errors import DataError
from plait.evaluation.examined import _constant, _on_one_clock
from plait.evaluation.replicates import ReplicateOutput, frames_of, pools_of
from plait.evaluation.schema import _ADAPTER
from plait.evaluation.summary import summarise
from plait.report.report import render_report

CLASSES = ["rest", "walk", "run"]


class Tags:
    """One class at each instant."""

    main_metric = "accuracy"
    higher_is_better = True

    def state(self):
        return {"classes": CLASSES}

    def metrics(self, scores, target):
        asked = target != -1
        return {"accuracy": float((scores.argmax(-1) == target)[asked].mean())}


class Labels(Tags):
    """Several at a time."""

    main_metric = "hit_rate"

    def metrics(self, scores, target):
        return {"hit_rate": float(((scores > 0.5) == target)[target != -1].mean())}


class Curve:
    main_metric = "mae"
    higher_is_better = False
    is_numeric = True

    def state(self):
        return {}

    def metrics(self, scores, target):
        return {"mae": float(np.nanmean(np.abs(scores[..., 0] - target)))}


class Words:
    """Ids of words, padded with -1; the share of items that are not told word by word."""

    main_metric = "wrong"
    higher_is_better = False
    padding = -1

    def state(self):
        return {}

    def metrics(self, scores, target):
        same = [list(s[s >= 0]) == list(t[t >= 0]) for s, t in zip(scores, target)]
        return {"wrong": float(1 - np.mean(same))}

    def texts(self, scores, target):
        return [(" ".join(map(str, t[t >= 0])), " ".join(map(str, s[s >= 0]))) for s, t in zip(scores, target)]


def replicate(target, scores, baseline, fold="", seed=0, groups=6):
    n = len(target)
    names = [f"{fold}item{i}" for i in range(n)]
    there = np.ones(n, bool)
    return ReplicateOutput(
        seed=seed,
        fold=fold,
        items=names,
        recordings=names,
        groups=[f"{fold}g{i % groups}" for i in range(n)],
        target=target,
        present={"see": there, "hear": there},
        outputs={("see",): scores, ("hear",): baseline, ("see", "hear"): scores},
        baseline=baseline,
    )


def tags(steps, n=30, seed=0, fold=""):
    """Right on about three instants of four; the last fifth of each item is not asked."""
    rng = np.random.default_rng([seed, steps])
    target = rng.integers(0, 3, (n, steps))
    said = np.where(rng.random((n, steps)) < 0.75, target, rng.integers(0, 3, (n, steps)))
    target[:, -(steps // 5) :] = -1
    scores = np.full((n, steps, 3), 0.1) + 0.7 * np.eye(3)[said]
    return replicate(target, scores, np.full((n, steps, 3), 1 / 3), fold, seed)


def test_classes_at_instants_of_folds_of_unequal_length():
    replicates = [tags(steps, fold=f"f{steps}", seed=seed) for seed in (0, 1) for steps in (10, 17)]
    found = summarise(Tags(), replicates)
    asked = [m.target != -1 for m in replicates]
    right = [(m.outputs[("see",)].argmax(-1) == m.target)[a] for m, a in zip(replicates, asked)]
    by_hand = [np.concatenate(right[:2]).mean(), np.concatenate(right[2:]).mean()]
    row = found["subsets"][-1]
    assert row["metrics"]["accuracy"]["per_seed"] == pytest.approx(by_hand)
    assert row["interval"]["low"] < np.mean(by_hand) < row["interval"]["high"]
    counts = np.array(found["confusion"]["counts"])
    assert counts.sum() == sum(a.sum() for a in asked)
    assert np.trace(counts) == sum(r.sum() for r in right)
    assert sum(c["items"] for c in found["per_class"]) == pytest.approx(counts.sum() / 2, abs=2)
    assert sum(b["count"] for b in found["calibration"]["bins"]) == counts.sum()
    assert found["calibration"]["bins"][0]["confidence"] == pytest.approx(0.8)
    assert len(found["per_group"]) == 12
    assert "Class by class" in render_report(found)


def test_padding_changes_no_number():
    short, long = tags(10, fold="a"), tags(17, fold="b")
    pool = pools_of([short, long], Tags())[0]
    assert pool.target.shape == (60, 17)
    assert (pool.target[:30, 10:] == -1).all()
    assert (pool.outputs[("see",)][:30, 10:] == 0).all()
    assert np.array_equal(pool.target[:30, :10], short.target)
    assert np.array_equal(pool.outputs[("see",)][30:], long.outputs[("see",)])


def test_several_labels_at_a_time_are_counted_by_class_and_have_no_confusion():
    rng = np.random.default_rng(0)
    target = rng.integers(0, 2, (40, 8, 3))
    said = np.where(rng.random(target.shape) < 0.8, target, 1 - target)
    target[:, 6:] = -1
    target[0, 0, 1] = -1
    found = summarise(Labels(), [replicate(target, 0.2 + 0.6 * said, np.full(target.shape, 0.5))])
    _ADAPTER.validate_python(found, strict=True)
    assert "confusion" not in found
    assert "scatter" not in found
    for k, row in enumerate(found["per_class"]):
        true, answered = target[..., k] == 1, (said[..., k] == 1) & (target[..., k] >= 0)
        assert row["items"] == true.sum()
        assert row["recall"] == pytest.approx((true & answered).sum() / true.sum())
        assert row["precision"] == pytest.approx((true & answered).sum() / answered.sum())
    assert "Class by class" in render_report(found)


def test_values_at_steps_are_drawn_step_by_step_and_filled_up_with_nan():
    def values(steps, fold):
        target = np.random.default_rng(steps).normal(size=(20, steps)) - 1.0
        return replicate(target, target[..., None] + 0.5, np.zeros((20, steps, 1)), fold)

    found = summarise(Curve(), [values(4, "a"), values(6, "b")])
    assert found["subsets"][-1]["metrics"]["mae"]["mean"] == pytest.approx(0.5)
    assert len(found["scatter"]["target"]) == 20 * 4 + 20 * 6
    assert np.subtract(found["scatter"]["predicted"], found["scatter"]["target"]) == pytest.approx(0.5)
    json.dumps(found, allow_nan=False)


def texts(n, length, wrong, fold=""):
    target = np.arange(n * length).reshape(n, length)
    scores = np.pad(target, ((0, 0), (0, 2)), constant_values=-1)
    scores[wrong, 0] = 7000
    return replicate(target, scores, np.full((n, 1), 3), fold)


def test_texts_have_examples_the_worst_first():
    found = summarise(Words(), [texts(30, 3, [4, 9], "a"), texts(30, 5, [2], "b")])
    assert found["subsets"][-1]["metrics"]["wrong"]["mean"] == pytest.approx(3 / 60)
    assert not {"scatter", "calibration"} & set(found)
    _ADAPTER.validate_python(found, strict=True)
    place, counts = found["confusion"]["classes"].index, np.array(found["confusion"]["counts"])
    assert sum(counts[:, place("7000")]) == 3
    assert counts.sum() == 30 * 3 + 30 * 5
    rows = found["examples"]
    assert len(rows) == 20
    assert [r["item"] for r in rows[:3]] == ["aitem4", "aitem9", "bitem2"]
    assert rows[0] == {"item": "aitem4", "value": 1.0, "truth": "12 13 14", "answer": "7000 13 14"}
    assert all(r["value"] == 0 and r["truth"] == r["answer"] for r in rows[3:])
    page = render_report(found)
    assert "Answers one by one" in page
    assert "7000 13 14" in page


def test_without_texts_the_worst_items_are_still_named():
    class Mute(Words):
        texts = None

    found = summarise(Mute(), [texts(6, 3, [4])])
    assert found["examples"][0] == {"item": "item4", "value": 1.0, "truth": None, "answer": None}
    assert "<th>truth</th>" not in render_report(found)


def test_a_task_may_count_its_frames_itself():
    class Own(Tags):
        def frames(self, scores, target):
            return scores[:, 0], target[:, 0]

    found = summarise(Own(), [tags(10)])
    assert np.sum(found["confusion"]["counts"]) == 30


def test_pooled_answers_are_their_own_frames():
    scores, target = np.full((4, 2), 0.5), np.array([0, 1, 1, 0])
    one, two = frames_of(Tags(), scores, target)
    assert one is scores
    assert two is target


def test_folds_of_other_classes_are_refused():
    """Filling up would make classes of them that nobody can answer."""
    one, two = tags(10, fold="a"), tags(10, fold="b")
    fewer = {s: x[..., :2] for s, x in two.outputs.items()}
    two = ReplicateOutput(**{**vars(two), "outputs": fewer})
    with pytest.raises(DataError, match="2 and 3 classes"):
        summarise(Tags(), [one, two])


def test_the_answers_of_a_replicate_are_brought_to_the_steps_of_its_targets():
    scores = {("see",): np.ones((2, 4, 3)), ("hear",): np.ones((2, 6, 3))}
    outputs, target = _on_one_clock(Tags(), scores, np.zeros((2, 5), int))
    assert {x.shape for x in outputs.values()} == {(2, 6, 3)}
    assert target.tolist() == [[0, 0, 0, 0, 0, -1]] * 2
    assert (outputs[("see",)][:, 4:] == 0).all()


def test_a_constant_answer_goes_on_as_long_as_it_is_asked():
    found = _constant(np.tile([0.2, 0.8], (2, 3, 1)), np.zeros((2, 5), int))
    assert found.tolist() == [[[0.2, 0.8]] * 5] * 2
    pooled = np.ones((2, 3))
    assert _constant(pooled, np.zeros(2)) is pooled
