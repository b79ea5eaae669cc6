"""Conformal bands cover what they say, on new items of the same kind, whatever is missing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plait.examples.data import ItemData
from plait.examples.future import Future, Track
from plait.examples.items import Item
from plait.models.model import Model
from plait.streams.clock import Grid
from plait.tasks.forecast import Forecast
from plait.training.bands import fit_bands


class Streams:
    """Random walks, each a recording, and another stream of noise."""

    def __init__(self, seeds: range, drift: float = 0.0) -> None:
        rng = [np.random.default_rng(s) for s in seeds]
        self.walks = {f"r{s}": r.normal(drift, size=(120, 1)).cumsum(0).astype(np.float32) for s, r in zip(seeds, rng)}

    def get(self, recording: str, modality: str) -> tuple[np.ndarray, Grid]:
        walk = self.walks[recording]
        return (walk if modality == "load" else np.ones_like(walk)), Grid(0, 1, len(walk))

    def items(self) -> list[Item]:
        tracks = {name: Track(np.arange(120.0), walk[:, 0]) for name, walk in self.walks.items()}
        return [
            Item(name, float(s), s + 20.0, Future(20.0, float(s), (track,)), name)
            for name, track in tracks.items()
            for s in range(0, 90, 10)
        ]

    def data(self, task: Forecast) -> ItemData:
        items = self.items()
        return ItemData(items, self, task.asked(items), ["load", "other"])


@pytest.mark.slow
@pytest.mark.parametrize("subset", [("load", "other"), ("load",), ("other",)])
def test_they_cover_what_they_say_on_new_items(subset: tuple[str, ...]) -> None:
    known, held_out, new = Streams(range(40)), Streams(range(100, 180)), Streams(range(200, 280))
    task = Forecast([i.target for i in known.items()], target="load", horizon=[1.0, 5.0])
    model = Model({"load": 3, "other": 1}, task, dim=8).eval()
    heads = [*model.ensemble.heads, model.ensemble.joint]
    for head in heads:
        torch.nn.init.constant_(head.linear.bias, -0.6)  # quantiles that are all too low
    before, after = (coverage(model, new, task, subset, fitted=held_out if f else None) for f in (False, True))
    assert abs(before - 0.8) > 0.05
    # Levels of walks: 80 independent ones on each side; their changes: ten times as many.
    assert after == pytest.approx(0.8, abs=0.04 if "load" in subset else 0.12)


def coverage(model: Model, new: Streams, task: Forecast, subset: tuple[str, ...], fitted: Streams | None) -> float:
    if fitted is not None:
        fit_bands([(model, fitted.data(task))])
    batch = new.data(task).batch(range(len(new.items())), model.dims)
    with torch.no_grad():
        output = model.forward_subset(model.encode(batch.inputs), subset, batch.at)[""]
    return task.metrics(task.scores(output), batch.targets.numpy())["coverage"]


@pytest.mark.parametrize(("drift", "heard"), [(0.0, [0.0, 0.0]), (0.4, [0.0, 1.0])])
def test_a_head_is_heard_where_it_helps_on_held_out_items(drift: float, heard: list[float]) -> None:
    known, held_out = Streams(range(40)), Streams(range(100, 140), drift)
    task = Forecast([i.target for i in known.items()], target="load", horizon=5.0)
    model = Model({"load": 3, "other": 1}, task, dim=8).eval()
    torch.nn.init.constant_(model.ensemble.joint.linear.bias, -1.0)  # that of all streams is wrong
    model.ensemble.heads[0].linear.bias.data[:3] = 1.0  # the own stream's says that the walk rises
    fit_bands([(model, held_out.data(task))])
    chosen = dict(zip(map(tuple, task.trust.subsets), task.trust.shares[:, 0].tolist()))
    assert chosen[True, True] == heard
    assert chosen[False, True] == [0.0, 0.0]  # nothing helps without the own stream


def test_several_models_decide_together() -> None:
    known, held_out = Streams(range(20)), Streams(range(100, 180))
    task, other = (Forecast([i.target for i in known.items()], target="load", horizon=5.0) for _ in range(2))
    models = [Model({"load": 3, "other": 1}, t, dim=8).eval() for t in (task, other)]
    fit_bands([(models[0], held_out.data(task))])
    alone = task.trust.moves.clone()
    halves = (Streams(range(100, 140)), Streams(range(140, 180)))
    fit_bands([(m, half.data(t)) for m, t, half in zip(models, (task, other), halves)])
    assert torch.equal(task.trust.moves, other.trust.moves)
    torch.testing.assert_close(task.trust.moves, alone)  # untrained heads: the same errors, whoever makes them


def test_they_are_saved_with_the_model_and_told_as_factors(tmp_path) -> None:
    known = Streams(range(20))
    task = Forecast([i.target for i in known.items()], target="load", horizon=5.0)
    model = Model({"load": 3, "other": 1}, task, dim=8).eval()
    fit_bands([(model, known.data(task))])
    assert model.task.trust.moves.abs().sum() > 0
    model.save(tmp_path)
    again = Model.load(tmp_path)
    assert torch.equal(again.task.trust.moves, model.task.trust.moves)
    fresh = Model({"load": 3, "other": 1}, task, dim=8)
    fresh.set_factors(again.factors())
    assert torch.equal(fresh.task.trust.moves, again.task.trust.moves)


def test_few_items_or_an_option_leave_quantiles_where_they_were_learnt() -> None:
    known = Streams(range(20))
    for options, count in (({"conformal": False}, 180), ({}, 10)):
        task = Forecast([i.target for i in known.items()], target="load", horizon=5.0, **options)
        model = Model({"load": 3, "other": 1}, task, dim=8).eval()
        items = known.items()[:count]
        fit_bands([(model, ItemData(items, known, task.asked(items), ["load", "other"]))])
        assert not model.task.trust.moves.any()
