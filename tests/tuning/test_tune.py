"""`plait tune` whole: what is chosen on, what is never opened, that it goes on after a kill, and what it writes."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plait.cli import main
from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import CorpusWriter
from plait.evaluation.evaluate import evaluate
from plait.recipe import load_recipe
from plait.streams.stream import Stream
from plait.training.run import Run
from plait.tuning.trial import KEPT, Bench, Job, measured
from plait.tuning.tune import Search, tune

pytest.importorskip("optuna", reason="optuna is not installed")

SEARCH = Search(["fusion=late,concat", "train.lr=1e-3..1e-1", "streams=subsets"], trials=4, rungs=2, eta=2)

TIMES = ("latency", "seconds")


def write_world(folder: Path) -> Path:
    """36 recordings of 18 groups: a third each for training, validation and test; the two streams tell one bit each."""
    rng = np.random.default_rng(0)
    with CorpusWriter(folder) as out:
        for i in range(36):
            a, b, group = i % 2, i // 2 % 2, i // 2
            streams = {
                "left": Stream.of(rng.normal(3 * a, 1, (4, 2)), rate=10),
                "right": Stream.of(rng.normal(3 * b, 1, (4, 2)), rate=10),
            }
            split = ("test", "train", "valid")[group % 3]  # a test recording comes first
            out.add(f"r{i:02d}", streams, labels={"kind": "abcd"[2 * a + b]}, group=f"g{group:02d}", split=split)
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        "corpus: manifest.jsonl\ntask: {name: classify, target: kind}\nsplit: {by: manifest}\n"
        "streams: {left: {encoder: linear}, right: {encoder: linear}}\n"
        "model: {dim: 8}\naugment: {modality_dropout: 0.1}\ntrain: {epochs: 4, batch: 8, seeds: [0, 1]}\n"
    )
    return recipe


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def whole(world: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, dict(tune(load_recipe(world), folder, SEARCH, cache=world.parent / "cache"))


def numbers(result: dict[str, Any]) -> dict[str, Any]:
    """A result without its times."""
    trials = [{k: v for k, v in one.items() if k not in TIMES} for one in result["trials"]]
    return {**{k: result[k] for k in ("points", "best", "recommended", "chosen_on")}, "trials": trials}


def test_what_it_finds_and_writes(whole: tuple[Path, dict[str, Any]], world: Path) -> None:
    folder, result = whole
    assert result["chosen_on"] == "the validation part: 12 items of 6 groups"
    assert json.loads((folder / "tune.json").read_text()) == result
    assert result["cost"]["trials"] == len(result["points"]) == 4
    assert result["cost"]["complete"] == len([one for one in result["trials"] if one["rung"] == 1]) >= 2
    assert result["cost"]["trainings"] == 4 * 0.5 + result["cost"]["complete"] * 0.5
    run = Run(folder / "run")
    assert [m.name for m in run.finished] == ["seed0", "seed1"], "all seeds of the recipe"
    assert run.recipe == load_recipe(folder / "best.yaml")
    row = evaluate(run, cache=world.parent / "cache")["subsets"][-1]
    assert row["metrics"]["accuracy"]["mean"] == pytest.approx(result["test"]["metric"])
    assert row["interval"]["low"] == pytest.approx(result["test"]["low"])
    chosen = next(o for o in result["trials"] if o["trial"] == result["recommended"] and o["rung"] == 1)
    assert result["test"]["optimism"] == pytest.approx(chosen["metric"] - result["test"]["metric"])
    assert result["test"]["times"] == 1


@pytest.mark.slow
def test_the_test_part_is_not_opened_before_the_choice(whole: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """With every file of the test part broken, the whole search runs as ever; only the last step needs them."""
    recipe = write_world(tmp_path / "broken")
    lines = map(json.loads, (recipe.parent / "manifest.jsonl").read_text().splitlines())
    paths = {recipe.parent / s["path"] for one in lines if one.get("split") == "test" for s in one["streams"].values()}
    good = {path: path.read_bytes() for path in paths}
    assert len(good) >= 12
    for path in good:
        path.write_bytes(b"nothing that can be read")
    out, cache = tmp_path / "out", tmp_path / "cache"
    with pytest.raises(DataError):
        tune(load_recipe(recipe), out, SEARCH, cache=cache)
    journal = (out / "journal.jsonl").read_bytes()
    assert (out / "best.yaml").exists(), "it was chosen"
    for path, content in good.items():
        path.write_bytes(content)
    result = dict(tune(load_recipe(recipe), out, SEARCH, cache=cache))
    assert numbers(result) == numbers(whole[1])
    assert (out / "journal.jsonl").read_bytes() == journal, "nothing was trained again"


def test_another_search_does_not_go_on_in_its_folder(whole: tuple[Path, dict[str, Any]], world: Path) -> None:
    folder, result = whole
    cache = world.parent / "cache"
    with pytest.raises(ConfigError, match=r"holds another search \(recipe\.train\.epochs: 4 there, 5 here\)"):
        tune(load_recipe(world, ["train.epochs=5"]), folder, SEARCH, cache=cache)
    with pytest.raises(ConfigError, match=r"search\.sampler: \"tpe\" there, \"random\" here"):
        tune(load_recipe(world), folder, Search(SEARCH.over, trials=4, sampler="random", rungs=2, eta=2), cache=cache)
    assert dict(tune(load_recipe(world), folder, SEARCH, cache=cache)) == result, "the same one says the same again"


def test_what_is_wrong_is_told_before_any_training(world: Path, tmp_path: Path) -> None:
    for wrong, told in (
        (Search(["model.dim=8,0"]), "model.dim"),
        (Search(["fusion"], ("latency",)), "without metric the smallest recipe would be the best"),
        (Search(["fusion"], ("metric", "speed")), "objectives: there is no 'speed'"),
        (Search(["fusion"], trials=0, eta=1), "trials: got 0; expected a whole number from 1 up"),
    ):
        with pytest.raises(ConfigError, match=told):
            tune(load_recipe(world), tmp_path, wrong, cache=tmp_path / "cache")
    with pytest.raises(ConfigError, match="folds test every item"):
        tune(load_recipe(world, ["split={folds: 3}"]), tmp_path, SEARCH, cache=tmp_path / "cache")
    assert not (tmp_path / "trials").exists()
    assert not (tmp_path / "journal.jsonl").exists()


@pytest.mark.slow
def test_a_rung_goes_on_from_the_one_below(world: Path, tmp_path: Path) -> None:
    """Stopped after one epoch of four, and again after two: the same weights as never stopped, and each epoch once."""
    bench = Bench.open(load_recipe(world), tmp_path, world.parent / "cache")
    text = (world.parent / "recipe.yaml").read_text().replace("manifest.jsonl", str(world.parent / "manifest.jsonl"))
    for rung, share in enumerate((0.25, 0.5, 1.0)):
        stopped = measured(bench, Job(0, rung, share, text))
        log = (tmp_path / "trials/0/seed0/log.csv").read_text().splitlines()
        assert len(log) == 1 + 4 * share
    never = measured(bench, Job(1, 0, 1.0, text))
    from plait.training.checkpoint import read_tree

    weights = [read_tree(tmp_path / f"trials/{n}/seed0/checkpoints/last.ckpt")["state_dict"] for n in (0, 1)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])
    assert (stopped["metric"], stopped["low"]) == (never["metric"], never["low"])


@pytest.mark.slow
def test_without_a_validation_part_inner_folds_of_whole_groups_are_used(world: Path, tmp_path: Path) -> None:
    bench = Bench.open(load_recipe(world, ["split={hash: group, test: 0.3}"]), tmp_path, world.parent / "cache")
    assert [fold.name for fold in bench.folds] == ["tune1", "tune2", "tune3", "tune4"]
    for fold in bench.folds:
        assert not {i.group for i in fold.train} & {i.group for i in fold.valid}
        assert not fold.test
    valid = [i.id for fold in bench.folds for i in fold.valid]
    assert len(valid) == len(set(valid)), "each item is answered once"
    assert bench.recordings == {i.recording for i in (*bench.folds[0].train, *bench.folds[0].valid)}


KILLED = """
import os, signal, sys
from plait.recipe import load_recipe
from plait.tuning.tune import tune
from test_tune import SEARCH

class Bar:
    count = 0
    def __call__(self, done, total, what):
        Bar.count += what.startswith("trial")
        if Bar.count == int(sys.argv[3]):
            os.kill(os.getpid(), signal.SIGKILL)

tune(load_recipe(sys.argv[1]), sys.argv[2], SEARCH, cache=sys.argv[4], progress=Bar())
"""


@pytest.mark.slow
def test_after_kill_9_it_reaches_the_same_trials(
    whole: tuple[Path, dict[str, Any]], world: Path, tmp_path: Path
) -> None:
    cache = world.parent / "cache"
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    for moment in ("3", "2"):
        command = [sys.executable, "-c", KILLED, str(world), str(tmp_path), moment, str(cache)]
        assert subprocess.run(command, env={**os.environ, "PYTHONPATH": path}).returncode == -signal.SIGKILL
    assert not (tmp_path / "tune.json").exists()
    result = dict(tune(load_recipe(world), tmp_path, SEARCH, cache=cache))
    assert numbers(result) == numbers(whole[1])


def test_the_command(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["tune", str(world), "train.seeds=[0]", "--over", "streams", "fusion=late", "--trials", "3", "--rungs", "1"]
    more = ["--sampler", "grid", "--out", str(tmp_path / "out"), "--cache", str(world.parent / "cache"), "--json"]
    assert main([*words, *more]) == 2
    assert "two different values or more" in capsys.readouterr().out
    words[5] = "train.lr=0.01,0.02"
    assert main([*words, "--objectives", "metric", "streams", "size", "latency", *more]) == 0
    result = json.loads(capsys.readouterr().out)
    assert set(result["front"]) <= {one["trial"] for one in result["trials"]}
    assert Path(result["front_picture"]).read_text().startswith("<?xml")
    assert main([*words, "--objectives", "metric", "streams", "size", "latency", *more[:-1]]) == 0
    told = capsys.readouterr().out
    assert "is recommended: the simplest (by streams, size, latency, metric) within one standard error" in told
    assert "the choice flattered it by" in told
    assert "cost: 3 trials (3 to the end, 0 stopped, 0 failed), 3.0 whole trainings" in told


def test_items_and_features_are_found_once_for_recipes_of_the_same_data(world: Path, tmp_path: Path) -> None:
    bench = Bench.open(load_recipe(world), tmp_path, world.parent / "cache")
    words = (["model.dim=4"], ["fusion=late", "train.lr=0.1"], ["streams.left.encoder=gru"])
    same = [bench.experiment(load_recipe(world, own)) for own in words]
    assert len({id(one.items) for one in same}) == 1
    assert [one.recipe.fusion for one in same] == ["concat", "late", "concat"], "each with its own recipe"
    assert len({id(bench.features(load_recipe(world, own))) for own in words}) == 1
    other = load_recipe(world, ["streams.left.normalization=centre"])
    assert bench.experiment(other).items is not same[0].items
    assert bench.features(other) is not bench.features(load_recipe(world))
    for rate in range(1, 9):
        bench.experiment(load_recipe(world, [f"streams.left.rate={rate}"]))
    assert len(bench._experiments) == KEPT
    assert not copy.copy(bench)._experiments, "what goes to another process takes none along"


@pytest.mark.slow
def test_trials_in_processes_are_those_in_place(world: Path, tmp_path: Path) -> None:
    """A grid's trials do not depend on each other, so as many at a time give the same figures."""
    search = Search(["fusion=late,concat", "model.dim=4,8"], sampler="grid", rungs=1)
    recipe, cache = load_recipe(world, ["train.seeds=[0]", "train.epochs=1"]), world.parent / "cache"
    found = [numbers(dict(tune(recipe, tmp_path / str(n), search, cache=cache, jobs=n))) for n in (1, 2)]
    assert found[0] == found[1]
