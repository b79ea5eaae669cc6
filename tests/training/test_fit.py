from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plait.core.errors import ConfigError, DataError
from plait.evaluation.evaluate import evaluate
from plait.recipe import load_recipe
from plait.training.fit import fit
from plait.training.module import TrainingModule
from plait.training.run import Run


def weights(run: Run) -> dict[str, torch.Tensor]:
    return run.model(run.replicates[0]).state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.slow
def test_a_run_learns_and_holds_all_that_it_needs(tiny_recipe: Path, tmp_path: Path) -> None:
    recipe = load_recipe(tiny_recipe, ["train.epochs=15"])
    run = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    found = evaluate(run, cache=tmp_path / "cache")
    by_subset = {tuple(s["modalities"]): s["metrics"]["accuracy"]["mean"] for s in found["subsets"]}
    assert set(by_subset) == {("left",), ("right",), ("left", "right")}
    assert by_subset["left", "right"] > found["baseline"]["metrics"]["accuracy"] + 0.2
    kept = {p.name for p in (tmp_path / "run").rglob("*") if p.is_file()}
    assert {"recipe.yaml", "run.json", "model.safetensors", "model.json", "done.json"} <= kept
    assert not [name for name in kept if name.endswith((".pkl", ".pt", ".pth"))]
    log = run.done(run.replicates[0]).log
    assert log["train_loss"][-1] < log["train_loss"][0]
    assert len(log["epoch"]) == 15


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers_and_another_does_not(tiny_recipe: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    runs = [
        fit(load_recipe(tiny_recipe, [f"train.seeds=[{seed}]"]), tmp_path / name, cache=cache, quiet=True)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert same(weights(runs[0]), weights(runs[1]))
    assert not same(weights(runs[0]), weights(runs[2]))


@pytest.mark.slow
def test_an_interrupted_fit_resumes_to_the_same_numbers(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, cache = load_recipe(tiny_recipe, ["train.epochs=4", "train.seeds=[0, 1]"]), tmp_path / "cache"
    whole = fit(recipe, tmp_path / "whole", cache=cache, quiet=True)
    step, calls = TrainingModule.training_step, []

    def interrupted(self: TrainingModule, batch: Any, index: int) -> torch.Tensor:
        calls.append(self.current_epoch)
        if self.current_epoch == 2 and index == 1:
            raise KeyboardInterrupt
        return step(self, batch, index)

    def watched(self: TrainingModule, batch: Any, index: int) -> torch.Tensor:
        calls.append(self.current_epoch)
        return step(self, batch, index)

    monkeypatch.setattr(TrainingModule, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(recipe, tmp_path / "cut", cache=cache, quiet=True)
    assert Run(tmp_path / "cut").finished == []
    monkeypatch.setattr(TrainingModule, "training_step", watched)
    calls.clear()
    resumed = fit(recipe, tmp_path / "cut", cache=cache, quiet=True)
    assert calls[0] == 2, "the finished epochs are not trained again"
    for replicate in whole.replicates:
        assert same(whole.model(replicate).state_dict(), resumed.model(replicate).state_dict())
        assert whole.done(replicate).log["train_loss"] == resumed.done(replicate).log["train_loss"]


@pytest.mark.slow
def test_a_finished_run_is_not_trained_again(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(tiny_recipe)
    fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    monkeypatch.setattr(TrainingModule, "training_step", lambda *a: pytest.fail("trained again"))
    fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)


@pytest.mark.slow
def test_another_recipe_in_the_way_is_refused(tiny_recipe: Path, tmp_path: Path) -> None:
    fit(load_recipe(tiny_recipe), tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    other = load_recipe(tiny_recipe, ["train.epochs=1"])
    with pytest.raises(ConfigError, match="another recipe"):
        fit(other, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    run = fit(other, tmp_path / "run", cache=tmp_path / "cache", quiet=True, overwrite=True)
    assert run.recipe.train.epochs == 1


@pytest.mark.slow
def test_early_stopping_keeps_the_best_epoch(tiny_recipe: Path, tmp_path: Path) -> None:
    recipe = load_recipe(tiny_recipe, ["train.stop=early", "train.patience=2", "train.epochs=30", "train.lr=0.02"])
    run = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    log = run.done(run.replicates[0]).log
    assert len(log["epoch"]) < 30
    best = int(np.argmax(log["valid_accuracy"]))
    assert len(log["epoch"]) == best + 1 + 2


@pytest.mark.slow
def test_averaged_weights_lie_between_those_of_the_last_epochs(tiny_recipe: Path, tmp_path: Path) -> None:
    def weights(*changes: str) -> dict[str, torch.Tensor]:
        plan = load_recipe(tiny_recipe, ["train.schedule=constant", "train.temperature_scaling=false", *changes])
        run = fit(plan, tmp_path / str(changes), cache=tmp_path / "cache", quiet=True)
        return run.model(run.replicates[0]).state_dict()

    parts = [weights(f"train.epochs={n}") for n in (2, 3)]
    found = weights("train.epochs=3", "train.average=2")
    for name, value in found.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, (parts[0][name] + parts[1][name]) / 2, rtol=1e-4, atol=1e-6)
    assert any(not torch.equal(parts[1][name], value) for name, value in found.items())


@pytest.mark.slow
def test_tensorboard_is_written_when_asked_for(tiny_recipe: Path, tmp_path: Path) -> None:
    recipe = load_recipe(tiny_recipe, ["train.log=tensorboard", "train.epochs=1"])
    fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    assert list((tmp_path / "run/seed0").rglob("events.out.tfevents.*"))


def test_early_stopping_without_a_validation_part_is_refused(tiny_recipe: Path, tmp_path: Path) -> None:
    recipe = load_recipe(tiny_recipe, ["train.stop=early", "split={hash: group, test: 0.25}"])
    with pytest.raises(ConfigError, match="validation"):
        fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)


@pytest.mark.slow
def test_folds_test_every_item_once(tiny_recipe: Path, tmp_path: Path) -> None:
    recipe = load_recipe(tiny_recipe, ["split={folds: 3, by: group}", "train.epochs=1", "train.seeds=[0, 1]"])
    run = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    assert len(run.replicates) == 6
    found = evaluate(run, cache=tmp_path / "cache")
    assert found["items"] == 48
    tested = [r for fold in run.info.folds for r in fold.test]
    assert sorted(tested) == sorted(set(tested))


@pytest.mark.slow
def test_on_another_corpus_every_fold_answers_for_every_item(
    tiny_recipe: Path, tiny_corpus: Path, tmp_path: Path
) -> None:
    recipe = load_recipe(tiny_recipe, ["split={folds: 2, by: group}", "train.epochs=1"])
    run = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    found = evaluate(run, cache=tmp_path / "cache", corpus=tiny_corpus)
    assert found["items"] == 48
    assert len(found["subsets"][-1]["metrics"]["accuracy"]["per_seed"]) == 2


@pytest.mark.slow
def test_normalisation_is_fitted_on_train_only(tiny_recipe: Path, tmp_path: Path) -> None:
    run = fit(load_recipe(tiny_recipe, ["train.epochs=1"]), tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    from plait.corpus.corpus import Corpus

    corpus = Corpus(run.info.corpus)
    train = run.info.folds[0].train
    rows = [corpus[r].streams["left"].read() for r in train if "left" in corpus[r].streams]
    mean = np.concatenate(rows).mean(0)
    np.testing.assert_allclose(weights(run)["backbone.mean_0"].numpy(), mean, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_model_meets_another_corpus_with_fewer_streams(tiny_recipe: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    run = fit(load_recipe(tiny_recipe), tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    lines = [json.loads(line) for line in tiny_corpus.read_text().splitlines()]
    other = tiny_corpus.with_name("other.jsonl")
    kept = [{**e, "streams": {"left": e["streams"]["left"]}} for e in lines if "left" in e["streams"]]
    other.write_text("\n".join(map(json.dumps, kept)))
    found = evaluate(run, cache=tmp_path / "cache", corpus=other)
    assert [s["modalities"] for s in found["subsets"]] == [["left"]]
    assert found["items"] == len(kept)
    other.write_text(json.dumps({"id": "x", "labels": {"kind": "a"}, "streams": {"odd": kept[0]["streams"]["left"]}}))
    with pytest.raises(DataError, match="none of the run's streams"):
        evaluate(run, cache=tmp_path / "cache", corpus=other)


def test_a_folder_that_is_no_run_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a plait run"):
        Run(tmp_path)


def test_without_a_terminal_training_tells_a_line_an_epoch_and_draws_no_bar(
    tiny_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(load_recipe(tiny_recipe, ["train.wide=false"]), tmp_path / "run", cache=tmp_path / "cache")
    out, told = capsys.readouterr()
    assert out == ""
    lines = [line for line in told.splitlines() if line.startswith("seed0: epoch ")]
    assert lines[-1].startswith("seed0: epoch 3/3")
    assert not any("━" in line for line in told.splitlines())
