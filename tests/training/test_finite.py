"""Nothing that is NaN or infinite is trained on, kept, or answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from plait.core.errors import DataError
from plait.corpus.corpus import CorpusWriter
from plait.models.model import Model
from plait.recipe import load_recipe
from plait.streams.stream import Stream
from plait.training.fit import fit


def test_a_loss_that_explodes_stops_the_fit_and_names_step_and_modality(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, adam = load_recipe(tiny_recipe, ["train.schedule=constant", "train.epochs=30"]), torch.optim.AdamW

    def wild(parameters: object, lr: float, **options: object) -> torch.optim.Optimizer:
        return adam(parameters, lr=1e30, **options)  # type: ignore[arg-type]  # what a recipe cannot say

    monkeypatch.setattr(torch.optim, "AdamW", wild)
    with pytest.raises(DataError, match=r"epoch \d+, step \d+: the answers from left, right are NaN.*Lower train.lr"):
        fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    assert not (tmp_path / "run/seed0/done.json").exists()


@pytest.mark.slow
def test_weights_that_are_not_finite_are_neither_saved_nor_loaded(tiny_recipe: Path, tmp_path: Path) -> None:
    recipe = load_recipe(tiny_recipe, ["train.epochs=1", "train.temperature_scaling=false"])
    run = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    model = run.model(run.replicates[0])
    with torch.no_grad():
        next(model.backbone.encoders.parameters()).fill_(float("inf"))
    with pytest.raises(DataError, match=r"1 weights of the model are NaN or infinite, such as backbone\.encoders\.0"):
        model.save(tmp_path / "broken")
    path = run.folder / "seed0/model.safetensors"
    weights = load_file(path)
    weights["temperature"][0] = float("nan")
    save_file(weights, path)
    with pytest.raises(DataError, match=r"model\.safetensors: 1 weights.*such as temperature"):
        Model.load(run.folder / "seed0")


def test_features_without_any_number_are_named_before_training(tmp_path: Path) -> None:
    with CorpusWriter(tmp_path) as out:
        for i in range(8):
            streams = {n: np.full((10, 2), np.nan) for n in ("dead", "gone")}
            streams |= {"live": np.random.default_rng(i).normal(0, 1, (10, 2))}
            out.add(f"r{i}", {n: Stream.of(v, rate=10) for n, v in streams.items()}, labels={"y": "ab"[i % 2]})
    (tmp_path / "r.yaml").write_text("corpus: manifest.jsonl\ntask: {name: classify, target: y}\nmodel: {dim: 8}\n")
    with pytest.raises(DataError) as error:
        fit(load_recipe(tmp_path / "r.yaml"), tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    told = "its features are NaN or infinite in every training item"
    assert [p[: len(told) + 14] for p in error.value.problems] == [f"streams.{m}: {told}" for m in ("dead", "gone")]
