"""Classes, their types, and what is told of labels that are none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plait.core.errors import ConfigError, DataError
from plait.tasks.classify import Classify


@pytest.mark.parametrize(
    ("targets", "classes"),
    [
        (["b", "a", "b"], ["a", "b"]),
        ([10, 9, 10], [9, 10]),
        (["10", 9, 10], [9, 10]),
        ([10, "10", 9], [9, 10]),
        ([1.0, 2], [1, 2]),
        ([0.5, 2, "x"], [0.5, 2, "x"]),
        ([True, False], [False, True]),
        (["true", False, True], [False, True]),
        ([np.int64(4), np.float64(3.0), np.str_("z")], [3, 4, "z"]),
    ],
)
def test_classes_keep_their_type_and_meet_their_text(targets, classes):
    task = Classify(targets)
    assert task.classes == classes
    assert [type(c) for c in task.classes] == [type(c) for c in classes]
    assert Classify(targets[::-1]).classes == classes


def test_true_is_not_one():
    assert len(Classify([True, 1, 0, False]).classes) == 4


def test_numbers_and_their_texts_are_one_label():
    task = Classify([1, 2, 3])
    assert task.encode(["3", 3, 3.0, np.int32(3)]).tolist() == [2, 2, 2, 2]


def test_unknown_labels_come_all_at_once():
    with pytest.raises(DataError) as error:
        Classify(["a", "b"]).encode(["a", "c", "d", "c"])
    assert len(error.value.problems) == 2
    assert "'c' is not among the training classes ['a', 'b']" in str(error.value)


@pytest.mark.parametrize("targets", [[], ["a"], ["a", "a"], [1, "1"]])
def test_fewer_than_two_classes_are_refused(targets):
    with pytest.raises(DataError, match="two or more"):
        Classify(targets)


@pytest.mark.parametrize("label", [float("nan"), float("inf"), None, ["a"]])
def test_what_cannot_name_a_class_is_refused(label):
    with pytest.raises(DataError, match="cannot name a class"):
        Classify(["a", "b", label])


@pytest.mark.parametrize(
    "options", [{"metric": "f1"}, {"metric": "roc_auc"}, {"class_weight": "even"}, {"smoothing": 1.0}]
)
def test_wrong_options_are_told(options):
    with pytest.raises(ConfigError, match=f"classify.{next(iter(options))}"):
        Classify(["a", "b", "c"], **options)


def test_balanced_weights_make_classes_count_alike():
    task = Classify(["a"] * 6 + ["b"] * 2, class_weight="balanced", smoothing=0.0)
    target = task.encode(["a"] * 6 + ["b"] * 2)
    loss = task.loss(torch.zeros(8, 2), target)
    assert loss[:6].sum() == pytest.approx(float(loss[6:].sum()))
    assert loss.mean() == pytest.approx(np.log(2))


def test_a_power_of_the_class_weights_lies_between():
    output, target = torch.zeros(2, 2), torch.tensor([0, 1])
    loss = {w: Classify(["a"] * 6 + ["b"] * 2, class_weight=w, smoothing=0.0).loss(output, target) for w in (0, 0.5, 1)}
    balanced = Classify(["a"] * 6 + ["b"] * 2, class_weight="balanced", smoothing=0.0)
    assert torch.equal(loss[1], balanced.loss(output, target))
    torch.testing.assert_close(loss[0.5], (loss[0] * loss[1]).sqrt())


def test_decode_says_label_confidence_and_probabilities():
    (row,) = Classify([1, 2]).decode(torch.tensor([[0.0, np.log(3)]]))
    assert row.label == 2
    assert row.confidence == pytest.approx(0.75)
    assert row.probabilities == pytest.approx({"1": 0.25, "2": 0.75})


def test_the_baseline_is_the_majority_with_training_frequencies():
    task = Classify(["a", "b", "b", "c"])
    scores = task.baseline(task.encode(["a", "b", "b", "c"]).numpy(), 2)
    assert scores.tolist() == [[0.25, 0.5, 0.25]] * 2


def test_the_chosen_metric_comes_first():
    task = Classify([0, 1], metric="roc_auc")
    found = task.metrics(np.array([[0.6, 0.4], [0.2, 0.8]]), np.array([0, 1]))
    assert next(iter(found)) == task.main_metric == "roc_auc"
    assert set(found) == {
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
        "weighted_f1",
        "log_loss",
        "ece",
        "roc_auc",
    }
