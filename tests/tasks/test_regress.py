"""Units, standardising, and what is told of targets that are no numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plait.core.errors import ConfigError, DataError
from plait.tasks.answers import Value
from plait.tasks.regress import Regress


def test_losses_are_of_standardised_numbers_and_answers_in_units():
    task = Regress([90.0, 110.0])
    target = task.encode([90, "110"])
    assert target.tolist() == [90, 110]
    assert task.loss(torch.tensor([[-1.0], [0.0]]), target).tolist() == [0.0, 1.0]
    assert task.decode(torch.tensor([[-1.0], [2.0]])) == [Value(90.0), Value(120.0)]


@pytest.mark.parametrize(("loss", "want"), [("mae", 3.0), ("mse", 9.0), ("huber", 2.5)])
def test_the_losses(loss, want):
    task = Regress([-1.0, 1.0], loss=loss)
    assert task.loss(torch.tensor([[3.0]]), torch.tensor([0.0])).item() == pytest.approx(want)


def test_the_loss_of_a_batch_is_one_less_its_concordance():
    rng = np.random.default_rng(0)
    truth = rng.normal(3.0, 2.0, 40)
    task = Regress(list(truth), loss="ccc", metric="ccc")
    output = torch.from_numpy(rng.normal(size=(40, 1)))
    mean = task.loss(output, torch.from_numpy(truth)).mean().item()
    assert mean == pytest.approx(1 - task.metrics(task.scores(output), truth)["ccc"], abs=1e-5)
    assert task.loss(torch.zeros(1, 1), torch.tensor([task.mean])).item() == 0.0


def test_constant_targets_are_not_divided_by_zero():
    task = Regress([5.0, 5.0])
    assert task.decode(torch.tensor([[0.0]])) == [Value(5.0)]
    assert task.loss(torch.zeros(1, 1), torch.tensor([5.0])).item() == 0.0


@pytest.mark.parametrize("target", ["much", float("nan"), float("inf"), None, True, "nan"])
def test_what_is_no_number_is_refused(target):
    with pytest.raises(DataError, match="not a finite number"):
        Regress([1.0, target])
    with pytest.raises(DataError, match="not a finite number"):
        Regress([1.0]).encode([target])


def test_no_targets_are_refused():
    with pytest.raises(DataError, match="no training targets"):
        Regress([])


def test_wrong_options_are_told():
    with pytest.raises(ConfigError, match="loss 'l1'"):
        Regress([1.0], loss="l1")
    with pytest.raises(ConfigError, match="metric 'r2'"):
        Regress([1.0], metric="r2")


def test_the_chosen_metric_decides_the_direction():
    assert not Regress([1.0]).higher_is_better
    task = Regress([1.0], metric="corr")
    assert task.higher_is_better
    assert next(iter(task.metrics(np.array([[1.0], [2.0]]), np.array([1.0, 3.0])))) == "corr"


def test_the_baseline_is_the_training_median():
    assert Regress([1.0]).baseline(np.array([0.0, 1.0, 9.0]), 2).tolist() == [[1.0], [1.0]]
