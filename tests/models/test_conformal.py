from __future__ import annotations

import math

import numpy as np
import pytest

from plait.core.errors import ConfigError, DataError
from plait.evaluation.uncertainty.conformal import across_groups
from plait.models.conformal import LEVELS, Calibrated, calibrated, nonconformity, one_each, read_calibrated, threshold
from plait.tasks.answers import Label, Text, Value


def label(scores: np.ndarray) -> Label:
    return Label(int(scores.argmax()), float(scores.max()), {str(i): float(p) for i, p in enumerate(scores)})


def test_kept_thresholds_are_those_of_every_level() -> None:
    values = np.random.default_rng(0).random(37)
    found = calibrated(["a"], values, np.arange(37))
    assert [found.limit(level) for level in LEVELS] == [threshold(values, level) for level in LEVELS]
    assert math.isinf(found.limit(0.98))
    assert not math.isinf(found.limit(0.97))


def test_groups_left_out_are_as_counted_one_by_one() -> None:
    rng = np.random.default_rng(1)
    values, groups = rng.random(90), np.repeat(["a", "b", "c"], 30)
    found = calibrated(["a"], values, groups)
    assert found.groups_left_out is not None
    assert [found.groups_left_out[LEVELS.index(x)] for x in (0.5, 0.9)] == [
        pytest.approx(across_groups(values, groups, x).coverage) for x in (0.5, 0.9)
    ]
    assert calibrated(["a"], values, np.arange(90)).groups_left_out is None
    assert calibrated(["a"], values, np.zeros(90)).groups_left_out is None


@pytest.mark.parametrize("level", [0.6, 0.9, 0.95])
def test_sets_around_answers_are_those_of_mapie(level: float) -> None:
    mapie = pytest.importorskip("mapie.classification")
    rng = np.random.default_rng(2)
    scores = rng.dirichlet(np.ones(4), 300)
    target = np.array([rng.choice(4, p=p) for p in scores])

    class Told:
        """A classifier whose features are its probabilities."""

        classes_ = np.arange(4)

        def fit(self, X, y):
            return self

        def predict_proba(self, X):
            return X

        def predict(self, X):
            return X.argmax(1)

        def __sklearn_is_fitted__(self):
            return True

    other = mapie.SplitConformalClassifier(Told(), confidence_level=level, conformity_score="lac", prefit=True)
    other.conformalize(scores[:150], target[:150])
    _, sets = other.predict_set(scores[150:])
    found = calibrated(["a"], nonconformity(scores[:150], target[:150]), np.arange(150))
    mine = [set(found.around(label(row), level).classes) for row in scores[150:]]  # type: ignore[union-attr,arg-type]
    assert mine == [{str(i) for i in np.flatnonzero(row)} for row in sets[:, :, 0]]


def test_intervals_around_answers_are_those_of_mapie() -> None:
    mapie = pytest.importorskip("mapie.regression")
    rng = np.random.default_rng(3)
    said = rng.normal(size=200)
    target = said + rng.normal(size=200)

    class Told:
        """A model whose feature is its answer."""

        is_fitted = True

        def fit(self, X, y):
            return self

        def predict(self, X):
            return X[:, 0]

    other = mapie.SplitConformalRegressor(Told(), confidence_level=0.9, conformity_score="absolute", prefit=True)
    other.conformalize(said[:100, None], target[:100])
    _, ends = other.predict_interval(said[100:, None])
    found = calibrated(["a"], nonconformity(said[:100, None], target[:100]), np.arange(100))
    mine = [found.around(Value(x)).interval for x in said[100:]]  # type: ignore[union-attr]
    np.testing.assert_allclose(mine, ends[:, :, 0])


def test_too_few_items_leave_nothing_out_and_say_why() -> None:
    few = calibrated(["a"], np.full(8, 0.1), np.arange(8))
    within = few.around(label(np.array([0.9, 0.1])), 0.9)
    assert within is not None
    assert within.classes == ("0", "1")
    assert str(within) == "90 %: any class"
    assert within.promise() == "nothing is left out: 8 items calibrate it, and 90 % needs 9"
    value = few.around(Value(1.0), 0.9)
    assert value is not None
    assert (value.interval, str(value)) == (None, "90 %: any value")
    assert value.to_json()["interval"] is None
    enough = calibrated(["a"], np.full(9, 0.1), np.arange(9)).around(label(np.array([0.95, 0.05])))
    assert enough is not None
    assert enough.classes == ("0",)
    assert enough.promise() == "the set holds the truth of 90 % of further items like the 9 that it was calibrated by"


def test_what_is_no_class_and_no_value_has_none() -> None:
    assert calibrated(["a"], np.zeros(20), np.arange(20)).around(Text(())) is None
    assert calibrated(["a"], np.zeros(20), np.arange(20)).around(None) is None
    assert not one_each(np.zeros((4, 1)), np.zeros(4), values=False)
    assert one_each(np.zeros((4, 1)), np.zeros(4), values=True)


def test_thresholds_survive_json_and_garbled_ones_are_refused() -> None:
    one = calibrated(["a", "b"], np.random.default_rng(0).random(30), np.repeat(["x", "y"], 15), indirect=True)
    assert read_calibrated([one.model_dump()]) == [one]
    assert Calibrated.model_validate_json(one.model_dump_json()) == one
    with pytest.raises(DataError, match=r"conformal, 0\.thresholds"):
        read_calibrated([{**one.model_dump(), "thresholds": [0.5]}])


@pytest.mark.parametrize("level", [0.0, 0.955, 1.0, float("nan")])
def test_levels_that_are_not_kept_are_refused(level: float) -> None:
    with pytest.raises(ConfigError, match="expected a whole percentage"):
        calibrated(["a"], np.zeros(20), np.arange(20)).limit(level)
