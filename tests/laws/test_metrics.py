"""The laws over every metric, and metrics that break each of them."""

from __future__ import annotations

import numpy as np
import pytest

from plait.core.parts import parts
from plait.metrics import Metric
from plait.metrics.accuracy import Accuracy
from plait.metrics.errors import Mae
from plait.metrics.roc_auc import RocAuc
from plait.metrics.segmental_f1 import SegmentalF1
from plait.testing import LawBroken, check_metric


@pytest.mark.parametrize("name", parts(Metric))
def test_every_metric_keeps_the_laws(name):
    check_metric(parts(Metric)[name])


def test_options_are_checked_too():
    check_metric(SegmentalF1, overlap=0.1)


class Backwards(Mae):
    higher_is_better = True


class TooLarge(Accuracy):
    def __call__(self, target, scores):
        return 100 * super().__call__(target, scores)


class NeverPerfect(Accuracy):
    def __call__(self, target, scores):
        return 0.9 * super().__call__(target, scores)


class ByOrder(Mae):
    def __call__(self, target, scores):
        return super().__call__(target[:20], scores[:20])


class Hidden(RocAuc):
    """It says nothing of one class alone."""


class Zero(Mae):
    def __call__(self, target, scores):
        return super().__call__(target, scores) if len(target) else 0.0


class Overwrites(Mae):
    def __call__(self, target, scores):
        scores -= target
        return float(np.abs(scores).mean()) if len(scores) else float("nan")


class NoFloat(Mae):
    def __call__(self, target, scores):
        return np.abs(target - scores)


@pytest.mark.parametrize(
    ("cls", "law"),
    [
        (Backwards, "best"),
        (TooLarge, "bounds"),
        (NeverPerfect, "best"),
        (ByOrder, "order"),
        (Hidden, "nan"),
        (Zero, "nan"),
        (Overwrites, "inputs"),
        (NoFloat, "bounds"),
    ],
)
def test_each_law_can_be_broken(cls, law):
    with pytest.raises(LawBroken) as error:
        check_metric(cls)
    assert error.value.law == law
