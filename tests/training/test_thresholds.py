"""Conformal sets cover what they promise on further items, whatever is missing."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from plait.evaluation.uncertainty.conformal import band
from plait.examples.data import ItemData
from plait.examples.items import Item
from plait.models.model import Model
from plait.streams.clock import Grid
from plait.tasks import Task
from plait.tasks.classify import Classify
from plait.tasks.regress import Regress
from plait.training.thresholds import fit_thresholds


class Streams:
    """Two noisy streams of a class or a value; each item lacks one of them in a third of the cases."""

    def __init__(self, seed: int, count: int, *, classes: bool) -> None:
        rng = np.random.default_rng(seed)
        self.truth = rng.integers(0, 3, count) if classes else rng.normal(size=count)
        clue = np.eye(3)[self.truth] if classes else self.truth[:, None].repeat(3, 1)
        self.rows = {m: (clue[:, None] + rng.normal(size=(count, 4, 3))).astype(np.float32) for m in ("left", "right")}
        self.lacks = rng.choice(["left", "right", "", "", "", ""], count)

    def get(self, recording: str, modality: str) -> tuple[np.ndarray, Grid] | None:
        i = int(recording[1:])
        return None if self.lacks[i] == modality else (self.rows[modality][i], Grid(0, 4, 4))

    def data(self, task: Task) -> ItemData:
        items = [Item(f"r{i}", 0.0, 1.0, t.item(), f"r{i}", whole=True) for i, t in enumerate(self.truth)]
        return ItemData(items, self, task.asked(items), ["left", "right"])


def model_of(task: Task) -> Model:
    torch.manual_seed(0)
    return Model({"left": 3, "right": 3}, task, dim=8).eval()


@pytest.mark.parametrize("classes", [True, False])
def test_coverage_lies_in_the_band_of_the_promise_for_every_subset(classes: bool) -> None:
    task: Task = Classify([0, 1, 2]) if classes else Regress([-1.0, 0.0, 1.0])
    model, new = model_of(task), Streams(1, 600, classes=classes)
    fit_thresholds(model, Streams(0, 240, classes=classes).data(task))
    assert [one.modalities for one in model.conformal] == [["left", "right"], ["left"], ["right"]]
    data = new.data(task)
    for one in model.conformal:
        has = np.flatnonzero(np.all([data.present(m) for m in one.modalities], 0))
        with torch.no_grad():
            batch = data.batch([*has], model.dims)
            output = model.forward_subset(model.encode(batch.inputs), one.modalities)[""]
        for level in (0.6, 0.9):
            within = [one.around(answer, level) for answer in task.decode(output)]
            held = [
                str(t.item()) in w.classes if classes else w.interval[0] <= t <= w.interval[1]  # type: ignore
                for t, w in zip(new.truth[has], within)
            ]
            low, high = band(one.items, len(has), level, share=0.999)
            assert low <= np.mean(held) <= high


def test_a_saved_model_keeps_them_and_an_older_one_has_none(tmp_path: Path) -> None:
    task = Classify([0, 1, 2])
    model = model_of(task)
    model.save(tmp_path / "old")
    assert "conformal" not in (tmp_path / "old/model.json").read_text()
    fit_thresholds(model, Streams(0, 60, classes=True).data(task))
    model.save(tmp_path / "new")
    assert Model.load(tmp_path / "new").conformal == model.conformal
    assert Model.load(tmp_path / "old").conformal == ()
    assert Model.load(tmp_path / "old").calibration_of(["left"]) is None
    assert model.calibration_of(["right", "left"]) == model.conformal[0]
    other = model_of(task)
    other.set_factors(model.factors())
    assert other.conformal == model.conformal
    other.set_factors({k: v for k, v in model.factors().items() if k != "conformal"})
    assert other.conformal == ()


def test_a_subset_that_few_items_have_promises_nothing() -> None:
    task, streams = Classify([0, 1, 2]), Streams(0, 30, classes=True)
    streams.lacks[:] = "right"
    model = model_of(task)
    fit_thresholds(model, streams.data(task))
    assert [one.items for one in model.conformal] == [0, 30, 0]
    assert math.isinf(model.conformal[0].limit(0.5))
