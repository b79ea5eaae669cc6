"""Search by weight sharing: one training, every point scored on its slice, resumed to the same numbers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plait.core.errors import ConfigError, DataError
from plait.evaluation.replicates import main_of
from plait.examples.data import ItemData, loader
from plait.models.model import Model
from plait.models.slicing import Slices, recalibrate
from plait.recipe import load_recipe
from plait.training.build import build_model
from plait.training.checkpoint import read_tree
from plait.training.run import Run
from plait.training.temperatures import fit_temperatures
from plait.tuning.space import space_of
from plait.tuning.trial import Bench
from plait.tuning.tune import Search, tune
from plait.tuning.weight_sharing import _Shared, points_of, shared
from tests.tuning.test_tune import TIMES, write_world

OVER = ["model.dim=4,8", "streams=subsets", "streams.left.encoder.layers=1,2"]
WORDS = ["streams.left.encoder=gru", "train.epochs=3"]
SEARCH = Search(OVER, ("metric", "size"), sampler="weight_sharing")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def whole(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, dict(tune(load_recipe(world, WORDS), folder, SEARCH, cache=world.parent / "cache"))


def numbers(result: dict[str, Any]) -> dict[str, Any]:
    trials = [{k: v for k, v in one.items() if k not in TIMES} for one in result["trials"]]
    return {**{k: result[k] for k in ("points", "best", "recommended", "chosen_on", "test")}, "trials": trials}


def test_what_it_finds_and_writes(whole: tuple[Path, dict[str, Any]], world: Path) -> None:
    folder, result = whole
    # Two widths of both streams and of the left one, each in two depths; of the right one the left's depth is nothing.
    assert len(result["points"]) == 2 * (2 + 2 + 1) == len(result["trials"])
    assert (result["search"]["trials"], result["search"]["rungs"]) == (10, 1)
    assert result["cost"]["trainings"] == 2, "the largest and a smaller one in each step"
    assert result["cost"]["seconds"] > sum(one["seconds"] for one in result["trials"])
    assert not (folder / "journal.jsonl").exists()
    assert not (folder / "trials").exists(), "no point is trained by itself"
    sizes = {json.dumps(result["points"][str(one["trial"])]): one["size"] for one in result["trials"]}
    assert len(set(sizes.values())) == 10
    run = Run(folder / "run")
    assert [m.name for m in run.finished] == ["seed0", "seed1"], "all seeds of the recipe"
    point = result["points"][str(result["recommended"])]
    assert run.recipe.model["dim"] == point["model.dim"]
    assert run.recipe == load_recipe(folder / "best.yaml")
    assert dict(tune(load_recipe(world, WORDS), folder, SEARCH, cache=world.parent / "cache")) == result


def test_a_score_is_that_of_a_slice(whole: tuple[Path, dict[str, Any]], world: Path) -> None:
    """The main metric of a point, from the checkpoint of the shared training, by hand."""
    folder, result = whole
    point = {"model.dim": 4, "streams": ["left"], "streams.left.encoder.layers": 1}
    (number,) = [int(n) for n, other in result["points"].items() if other == point]
    told = next(one for one in result["trials"] if one["trial"] == number)
    bench = Bench.open(load_recipe(world, WORDS), folder, world.parent / "cache")
    (fold,) = bench.folds

    def built(dim: int, layers: int) -> tuple[Model, ItemData]:
        words = [*WORDS, f"model.dim={dim}", f"streams.left.encoder.layers={layers}"]
        experiment = bench.experiment(load_recipe(world, words))
        return build_model(experiment, fold, experiment.prepare(bench.store, bench.recordings, pack=True))

    (wide, _), (small, train) = built(8, 2), built(4, 1)
    state = read_tree(folder / "shared/seed0/checkpoints/last.ckpt")["state_dict"]
    wide.load_state_dict({k.removeprefix("model."): v for k, v in state.items()})
    small.load_state_dict(Slices(wide, small).of(wide.state_dict()))
    recalibrate(small, loader(train, small.dims, batch=8))
    valid = ItemData(fold.valid, train.source, small.task.asked(fold.valid), ["left", "right"])
    fit_temperatures(small, [valid])
    with torch.no_grad():
        answer = small.answer(small.encode(valid.batch(range(len(valid)), small.dims).inputs), ("left",))
    found = main_of(small.task, np.asarray(small.task.scores(answer)), valid.targets.numpy())
    assert found == pytest.approx(told["metric"])
    assert told["streams"] == 1


def test_what_cannot_share_weights_is_told_before_any_training(world: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for over, words, told in (
        (["train.lr=1e-3,1e-2"], [], "over: train.lr: recipes that differ in it cannot share weights"),
        (["fusion=late,concat"], [], "over: fusion: recipes that differ in it cannot share weights"),
        (["model.dim=4..16"], [], "model.dim has a range, but sampler weight_sharing scores every value"),
        (["streams=subsets"], ["augment.modality_dropout=0"], "augment.modality_dropout: is 0"),
        (
            ["model.dim=8,16"],
            ["train.solver=ridge", "fusion=late"],
            "with sampler weight_sharing one model is trained by gradient",
        ),
        (["model.dim=8,16"], ["fusion=low_rank"], r"factors\.0: .*these two recipes cannot share weights"),
    ):
        with pytest.raises(ConfigError, match=told):
            tune(load_recipe(world, words), tmp_path / "out", replace(SEARCH, over=over), cache=cache)
        assert not (tmp_path / "out/shared").exists()
        (tmp_path / "out/search.json").unlink(missing_ok=True)


def test_points_of_the_same_recipe_are_one(world: Path) -> None:
    recipe = load_recipe(world, WORDS)
    points = points_of(space_of(OVER, recipe, ["left", "right"]), recipe, ["left", "right"])
    assert len(points) == 10
    assert {"model.dim": 8, "streams": ["right"], "streams.left.encoder.layers": 1} in points


def test_a_damaged_file_is_told(whole: tuple[Path, dict[str, Any]], world: Path, tmp_path: Path) -> None:
    bench = Bench.open(load_recipe(world, WORDS), tmp_path, world.parent / "cache")
    (tmp_path / "shared.json").write_text('{"points": {}')
    with pytest.raises(DataError, match=r"shared\.json: is damaged .*Delete it"):
        shared(bench, [{"model.dim": 4}], ["left", "right"])


@pytest.mark.slow
def test_the_test_part_is_not_opened_before_the_choice(whole: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    recipe = write_world(tmp_path / "broken")
    lines = map(json.loads, (recipe.parent / "manifest.jsonl").read_text().splitlines())
    paths = {recipe.parent / s["path"] for one in lines if one.get("split") == "test" for s in one["streams"].values()}
    good = {path: path.read_bytes() for path in paths}
    for path in good:
        path.write_bytes(b"nothing that can be read")
    out, cache = tmp_path / "out", tmp_path / "cache"
    with pytest.raises(DataError):
        tune(load_recipe(recipe, WORDS), out, SEARCH, cache=cache)
    assert (out / "best.yaml").exists(), "it was chosen"
    for path, content in good.items():
        path.write_bytes(content)
    assert numbers(dict(tune(load_recipe(recipe, WORDS), out, SEARCH, cache=cache))) == numbers(whole[1])


@pytest.mark.slow
def test_inner_folds_each_have_a_model(world: Path, tmp_path: Path) -> None:
    words = [*WORDS, "split={hash: group, test: 0.3}", "train.epochs=1", "train.seeds=[0]"]
    search = replace(SEARCH, over=["model.dim=4,8"])
    result = tune(load_recipe(world, words), tmp_path, search, cache=world.parent / "cache")
    assert sorted(p.name for p in (tmp_path / "shared").iterdir()) == [f"seed0-tune{k}" for k in (1, 2, 3, 4)]
    assert result["chosen_on"].startswith("4 inner folds")
    assert result["cost"]["trainings"] == 2


@pytest.mark.slow
def test_a_wide_part_counts_for_every_point(world: Path, tmp_path: Path) -> None:
    words = [*WORDS, "train.epochs=1", "train.wide=true", "train.seeds=[0]"]
    search = replace(SEARCH, over=["model.dim=4,8", "streams=subsets"])
    result = tune(load_recipe(world, words), tmp_path, search, cache=world.parent / "cache")
    assert min(one["size"] for one in result["trials"]) > 100_000, "the quick model's random convolutions"


KILLED = """
import os, signal, sys
from plait.recipe import load_recipe
from plait.training import trainer
from plait.tuning.tune import tune
from test_weight_sharing import SEARCH, WORDS

def stop(self, trainer, module, old=trainer._History.on_train_epoch_end):
    old(self, trainer, module)
    if trainer.current_epoch == 1:
        os.kill(os.getpid(), signal.SIGKILL)

trainer._History.on_train_epoch_end = stop
tune(load_recipe(sys.argv[1], WORDS), sys.argv[2], SEARCH, cache=sys.argv[3])
"""


@pytest.mark.slow
def test_after_kill_9_it_reaches_the_same_numbers(
    whole: tuple[Path, dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    cache = world.parent / "cache"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    command = [sys.executable, "-c", KILLED, str(world), str(tmp_path), str(cache)]
    assert subprocess.run(command, env={**os.environ, "PYTHONPATH": path}).returncode == -signal.SIGKILL
    assert (tmp_path / "shared/seed0/checkpoints/last.ckpt").exists()
    bench = Bench.open(load_recipe(world, WORDS), tmp_path, cache)
    before = _Shared(bench, [{"model.dim": 4}], ["left", "right"])._trained_before()
    assert before > 0
    result = dict(tune(load_recipe(world, WORDS), tmp_path, SEARCH, cache=cache))
    assert numbers(result) == numbers(whole[1])
    assert result["cost"]["seconds"] > before
