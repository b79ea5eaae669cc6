"""Warnings from curves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from plait.training.alarms import alarms_of

EPOCHS = 10
GOOD = {"learnt_low": 0.6, "learnt_high": 0.9, "fitted_low": 0.3, "excess_low": -0.4, "unused_low": -0.1, "lean": 0.3}
GOOD |= {"train_loss": 0.7, "valid_loss": 0.8}
NOTHING = {"learnt_low": -0.1, "learnt_high": 0.1, "fitted_low": -0.01, "excess_low": -0.02, "lean": 0.001}
MEMORISED = {**NOTHING, "fitted_low": 0.3, "excess_low": 0.05}


def curves(**changed: dict[str, float | Sequence[float]]) -> dict[str, list[float]]:
    """The log of two good modalities, with changed numbers (of all epochs, or of each)."""
    log = {}
    for m in ("see", "hear"):
        for name, value in {**GOOD, **changed.get(m, {})}.items():
            log[f"{name}.{m}"] = [float(value)] * EPOCHS if isinstance(value, int | float) else [*map(float, value)]
    return log


def told(log: dict[str, list[float]], epochs: int = EPOCHS) -> list[tuple[str, str, int]]:
    return [(a["kind"], a["modality"], a["epoch"]) for a in alarms_of(log, ["see", "hear"], epochs=epochs)]


def test_good_curves_give_none() -> None:
    assert told(curves()) == []
    assert alarms_of({}, ["see"], epochs=3) == []


def test_each_kind_is_told_from_its_first_epoch() -> None:
    assert told(curves(hear=NOTHING)) == [("learns nothing", "hear", 5)]
    assert told(curves(hear=MEMORISED)) == [("is memorised", "hear", 3)]
    assert told(curves(see={"lean": 0.9}, hear={"lean": 0.05, "unused_low": 0.3})) == [("starves the rest", "see", 5)]


def test_the_sentence_has_the_figures() -> None:
    (memorised,) = alarms_of(curves(hear=MEMORISED), ["see", "hear"], epochs=EPOCHS)
    assert memorised["text"].startswith("hear is memorised: its own loss is 0.7 on training items")
    (starved,) = alarms_of(
        curves(see={"lean": 0.95}, hear={"lean": 0.05, "unused_low": 0.3}), ["see", "hear"], epochs=EPOCHS
    )
    assert "leans on it with 95 %" in starved["text"]
    assert "what hear knows" in starved["text"]


@pytest.mark.parametrize(
    "change",
    [
        {"learnt_high": 0.3},  # too few items to exclude that it knows something
        {"learnt_high": [0.1, 0.3] * 5},  # no three epochs in a row
        {"learnt_high": [0.1] * 4 + [0.5] * 6},  # slow, but it learns
        {"learnt_low": math.nan, "learnt_high": math.nan},  # too few groups
    ],
)
def test_what_is_not_sure_is_not_told(change: dict[str, float | Sequence[float]]) -> None:
    assert told(curves(hear={**NOTHING, **change})) == []


def test_an_overfitted_modality_that_still_knows_something_is_not_called_memorised() -> None:
    assert told(curves(hear={"fitted_low": 0.5, "excess_low": 0.2})) == []


def test_memorised_replaces_learns_nothing() -> None:
    late = {**MEMORISED, "excess_low": [-0.1] * 6 + [0.1] * 4}
    log = curves(hear=late)
    assert told({name: values[:6] for name, values in log.items()}) == [("learns nothing", "hear", 5)]
    assert told(log) == [("is memorised", "hear", 9)]


@pytest.mark.parametrize(
    ("see", "hear"),
    [
        ({"lean": 0.9}, {"lean": 0.05}),  # it knows nothing that the fused answer does not say
        ({"lean": 0.9}, {**NOTHING, "learnt_high": 0.3, "unused_low": 0.3}),  # by itself it knows nothing
        ({"lean": 0.9}, {"lean": 0.05, "unused_low": 0.1}),  # what it knows besides may be next to nothing
        ({"lean": 0.3}, {"lean": 0.4, "unused_low": 0.3}),  # it is leaned on more than the other
    ],
)
def test_one_that_leads_rightly_does_not_starve(see: dict[str, float], hear: dict[str, float]) -> None:
    assert told(curves(see=see, hear=hear)) == []


def test_what_was_told_stays_whatever_comes_later() -> None:
    log = curves(hear={**NOTHING, "learnt_high": [0.1] * 7 + [0.9] * 3})
    for epoch in range(5, EPOCHS + 1):
        assert told({name: values[:epoch] for name, values in log.items()}) == [("learns nothing", "hear", 5)]
