from __future__ import annotations

import numpy as np
import pytest

from plait.evaluation.contribution.item_values import item_values
from plait.evaluation.summary import summarise


def test_shares_add_up_to_the_gain_over_the_constant_answer(make_replicates, classify, regress) -> None:
    for task, classes in ((classify(["x", "y", "z"]), 3), (regress, 0)):
        found = summarise(task, make_replicates(["see", "hear", "feel"], classes=classes, strength=[1.0, 1.5, 0.01]))
        rows = found["contributions"]
        assert sum(r["shapley"] for r in rows) == pytest.approx(found["gain_over_constant"]["gain"], abs=1e-9)
        shares = {r["modality"]: r for r in rows}
        assert shares["hear"]["shapley"] > shares["see"]["shapley"] > shares["feel"]["shapley"]
        assert shares["hear"]["shapley_interval"]["low"] > 0
        low, high = (shares["feel"]["shapley_interval"][end] for end in ("low", "high"))
        assert low < 0.03 < high + 0.06
        assert len(found["interactions"]) == 3


def test_shares_of_items_have_the_means_of_classes_and_groups(make_replicates, classify) -> None:
    found = summarise(classify(["x", "y", "z"]), make_replicates(["see", "hear"]))["item_shares"]
    assert found["unit"] == "bits"
    assert found["modalities"] == ["see", "hear"]
    for kind in ("per_class", "per_group"):
        counts = np.array([row["items"] for row in found[kind]])
        means = np.array([row["values"] for row in found[kind]])
        np.testing.assert_allclose(counts @ means / counts.sum(), found["mean"], atol=1e-9)
    assert [row["name"] for row in found["per_class"]] == ["x", "y", "z"]
    assert len(found["items"]) == 240
    assert found["more"] == 0


def test_one_modality_has_no_shares(make_replicates, classify) -> None:
    assert "item_shares" not in summarise(classify(["x", "y", "z"]), make_replicates(["see"]))


def test_values_of_items(classify, regress) -> None:
    told = item_values(classify(["x", "y"]), np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([0, 0]))
    assert told.values.tolist() == [-1.0, -2.0]
    over_time = np.array([[[0.5, 0.5], [0.25, 0.75]], [[1.0, 0.0], [1.0, 0.0]]])
    told = item_values(classify(["x", "y"]), over_time, np.array([[0, 0], [0, -1]]))
    assert told.values.tolist() == [-1.5, 0.0]
    told = item_values(regress, np.array([[1.0], [4.0]]), np.array([2.0, 2.0]))
    assert (told.values.tolist(), told.unit) == ([-1.0, -2.0], "negative error")
