"""The laws over every task, found as a recipe finds it."""

from __future__ import annotations

import pytest

from plait.core.parts import parts
from plait.tasks import Task
from plait.testing import check_task

TARGETS = {"classify": ["run", "walk", "run", "sit", "run", "sit"], "regress": [-1.5, 0, 0.25, 2, "1.25"]}

VARIANTS = [
    ("classify", {"smoothing": 0.0, "metric": "macro_f1"}, [1, 2, 2, 10, 3, 2]),
    ("classify", {"class_weight": "balanced", "metric": "roc_auc"}, [True, False, False]),
    ("classify", {"metric": "balanced_accuracy"}, [1, "one", 2.5, "one", 1]),
    ("classify", {"metric": "weighted_f1"}, ["a", "b", "b"]),
    ("regress", {"loss": "mse", "metric": "rmse"}, [100.0, 130.0, 90.0]),
    ("regress", {"loss": "huber", "metric": "corr"}, [1e-3, 2e-3, 5e-3]),
    ("regress", {"sentiment": True}, [-3, -1, 0, 0.6, 2.4]),
]


@pytest.mark.parametrize("name", [name for name, cls in parts(Task).items() if cls.labelled])
def test_every_task_with_targets_keeps_the_laws(name):
    assert name in TARGETS, f"give targets for the new task {name!r} here"
    check_task(parts(Task)[name], TARGETS[name])


@pytest.mark.parametrize(("name", "options", "targets"), VARIANTS)
def test_options_keep_them_too(name, options, targets):
    check_task(parts(Task)[name], targets, **options)
