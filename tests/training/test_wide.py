"""Wide and deep: the quick model answers beside the deep heads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from plait.augmentations import Vary
from plait.core.errors import ConfigError, DataError
from plait.evaluation.evaluate import evaluate
from plait.examples.data import ItemData
from plait.models.model import Model
from plait.recipe import load_recipe
from plait.tasks.classify import Classify
from plait.testing.inputs import exported
from plait.tokens import Tokens
from plait.training.build import build_model
from plait.training.closed_form import _Chunks, fit_closed_form
from plait.training.experiment import Experiment, open_corpus
from plait.training.fit import fit
from plait.training.rehearsal import refuse
from plait.training.run import Run


def batch(rows: int = 4) -> dict[str, Tokens]:
    torch.manual_seed(0)
    times, there = torch.arange(9.0).expand(rows, 9) / 10, torch.ones(rows, 9) > 0
    return {
        "left": Tokens(torch.randn(rows, 9, 3), times, there),
        "right": Tokens(torch.randn(rows, 9, 2), times, there),
    }


def pair(dim: int = 8) -> Model:
    made = [
        Model({"left": 3, "right": 2}, Classify(list("abcd")), dim=dim, fusion=fusion)
        for fusion in ("concat", "opinion_pool")
    ]
    deep, wide = (m.eval() for m in made)
    deep.widen(wide)
    deep.wide_weight = torch.tensor([0.25, 1.0, 0.5])
    deep.temperature = torch.tensor([2.0, 3.0, 4.0])
    return deep


def test_the_answer_is_the_tempered_mean_by_what_is_there() -> None:
    model, tokens = pair(), batch()
    wide = model.wide
    assert wide is not None
    model.wide, heat = None, model.temperature
    model.temperature = torch.ones(3)
    deep = {s: model.forward_subset(model.encode(tokens), s)[""] for s in (None, ("left",), ("right",))}
    model.wide, model.temperature = wide, heat
    side = {s: wide.forward_subset(wide.encode(tokens), s)[""] for s in deep}
    for subset, share, over in ((None, 0.5, 4), (("left",), 0.25, 2), (("right",), 1.0, 3)):
        wanted = ((1 - share) * deep[subset] + share * side[subset]) / over
        assert torch.allclose(model.forward_subset(model.encode(tokens), subset)[""], wanted, atol=1e-6)
    alone = model({"left": tokens["left"]})[""]
    assert torch.allclose(alone, model.forward_subset(model.encode(tokens), ("left",))[""], atol=1e-6)


@pytest.mark.slow
def test_it_is_saved_within_the_model_and_exported(tmp_path: Path) -> None:
    model, tokens = pair(), batch()
    model.save(tmp_path / "m")
    again = Model.load(tmp_path / "m")
    assert torch.equal(again(tokens)[""], model(tokens)[""])
    again = exported(Model, model, tokens)
    assert torch.allclose(again(tokens)[""], model(tokens)[""], atol=1e-5)


def test_a_model_of_something_else_is_refused() -> None:
    other = Model({"left": 3}, Classify(list("abcd")), dim=8)
    with pytest.raises(DataError, match="wide part"):
        pair().widen(other)


@pytest.mark.slow
def test_few_steps_do_no_harm(tiny_recipe: Path, tmp_path: Path) -> None:
    """Deep heads that have hardly begun to learn leave the answer to the quick model."""
    accuracy, shares = {}, []
    for name, quick in (("default", False), ("quick", True)):
        recipe = load_recipe(tiny_recipe, ["train.epochs=1"])
        run = fit(recipe, tmp_path / name, cache=tmp_path / "cache", quiet=True, quick=quick)
        found = evaluate(run, cache=tmp_path / "cache")
        accuracy[name] = next(s for s in found["subsets"] if len(s["modalities"]) == 2)["metrics"]["accuracy"]["mean"]
        shares.append(Run(tmp_path / name).model(run.replicates[0]).wide_weight[-1].item())
    assert accuracy["default"] >= accuracy["quick"] - 0.1 > 0.5
    assert shares[0] > 0.6
    assert shares[1] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [["train.wide=false"], ["streams={left: {encoder: gru}, right: {}}"], ["task={name: pretrain}"]],
    ids=["off", "encoder", "task"],
)
def test_it_is_left_out_where_the_recipe_chooses_otherwise(
    tiny_recipe: Path, tmp_path: Path, overrides: list[str]
) -> None:
    recipe = load_recipe(tiny_recipe, ["train.epochs=1", *overrides])
    run = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    assert Run(tmp_path / "run").model(run.replicates[0]).wide is None


@pytest.mark.parametrize("overrides", [["task={name: pretrain}"], ["train.solver=ridge", "fusion=opinion_pool"]])
def test_asked_for_where_it_cannot_be_it_is_refused(tiny_recipe: Path, tmp_path: Path, overrides: list[str]) -> None:
    recipe = load_recipe(tiny_recipe, ["train.wide=true", *overrides])
    with pytest.raises(ConfigError, match=r"train\.wide"):
        refuse(Experiment.of(recipe, open_corpus(recipe, tmp_path)))


def items(tiny_recipe: Path, tmp_path: Path) -> tuple[Model, ItemData]:
    from plait.recipe import quick_recipe
    from plait.store.store import Store

    recipe = quick_recipe(load_recipe(tiny_recipe))
    experiment = Experiment.of(recipe, open_corpus(recipe, tmp_path))
    features = experiment.prepare(Store(tmp_path / "cache"))
    return build_model(experiment, experiment.folds[0], features)


def test_varied_copies_are_the_same_each_time_and_the_first_is_as_it_is(tiny_recipe: Path, tmp_path: Path) -> None:
    model, data = items(tiny_recipe, tmp_path)
    at = np.tile(np.flatnonzero(data.present("left")), 3)
    plan = Vary({"rotate": {"left": 30}})
    chunks = _Chunks(model, "left", data, at, None, plan, seed=1)
    state = torch.random.get_rng_state()
    one, two = (torch.cat([t.values.flatten(1)[:, :30] for t, _ in chunks]) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), state), "and no one else's draws change"
    assert torch.equal(one, two)
    first, second, third = one.chunk(3)
    once = _Chunks(model, "left", data, at[: len(at) // 3], None, plan, seed=1)
    plain = torch.cat([t.values.flatten(1)[:, :30] for t, _ in once])
    assert torch.equal(first, plain)
    assert not torch.allclose(second, first, atol=1e-3)
    assert not torch.allclose(third, second, atol=1e-3)


@pytest.mark.slow
def test_it_is_fitted_on_varied_items_only_where_the_recipe_says_how_they_vary(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    rows = {}
    for name, plan in (
        ("none", None),
        ("jitter", Vary({"gaussian_noise": 0.2})),
        ("turns", Vary({"rotate": {"left": 30}})),
    ):
        model, data = items(tiny_recipe, tmp_path)
        rows[name] = fit_closed_form(model, data, seed=0, vary=plan)["items"][0]
    assert rows["turns"] == 4 * rows["none"] == 4 * rows["jitter"]
