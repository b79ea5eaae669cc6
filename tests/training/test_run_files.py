"""Files of a run that were damaged, swapped or moved: told of, never believed, never a traceback."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from plait.cli import main
from plait.core.errors import DataError, PlaitError
from plait.evaluation.evaluate import evaluate
from plait.prediction.predict import predict
from plait.recipe import Recipe, load_recipe
from plait.training.checkpoint import read_tree
from plait.training.fit import fit
from plait.training.run import Run

CHECKPOINT = "seed0/checkpoints/last.ckpt"


@pytest.fixture(scope="module")
def made(tiny_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path]:
    """A recipe, and a folder with its run, another recipe's and a cache; not to be changed."""
    folder = tmp_path_factory.mktemp("runs")
    path = folder / "tiny.yaml"
    path.write_text(
        f"corpus: {tiny_corpus}\ntask: {{name: classify, target: kind}}\nmodel: {{dim: 8}}\n"
        "split: {hash: group, test: 0.25, valid: 0.2}\nevaluate: {missing: [0.0]}\n"
        "train: {epochs: 2, batch: 16, temperature_scaling: false, stop: early}\n"
    )
    recipe = load_recipe(path)
    fit(recipe, folder / "run", cache=folder / "cache", quiet=True)
    fit(load_recipe(path, ["split.salt=x"]), folder / "other", cache=folder / "cache", quiet=True)
    return recipe, folder


@pytest.fixture
def run(made: tuple[Recipe, Path], tmp_path: Path) -> Path:
    """A copy of the run, to be changed."""
    return Path(shutil.copytree(made[1] / "run", tmp_path / "run"))


def refused(run: Path, made: tuple[Recipe, Path], match: str) -> None:
    """Evaluation, prediction and another fit all tell of it."""
    recipe, folder = made
    manifest, cache = str(recipe.corpus), folder / "cache"
    with pytest.raises(PlaitError, match=match):
        evaluate(Run(run), cache=cache)
    with pytest.raises(PlaitError, match=match):
        predict(Run(run), [manifest], cache=cache)
    with pytest.raises(PlaitError, match=match):
        fit(recipe, run, cache=cache, quiet=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"from": {}}, r"from\.run"),
        ({"features": {}}, "modalities"),
        ({"replicates": []}, "replicates"),
        ({"replicates": [{"seed": 0, "fold": "fold3"}]}, "folds that it does not have"),
        ({"replicates": [{"seed": 0, "fold": ""}] * 2}, "twice"),
        ({"dropped": {"why": -1}}, "dropped"),
        ({"items": 10**30}, "items"),
    ],
)
def test_a_run_json_that_does_not_fit_together(
    made: tuple[Recipe, Path], run: Path, change: dict[str, Any], match: str
) -> None:
    edit(run / "run.json", change)
    refused(run, made, f"run.json.*{match}")


@pytest.mark.parametrize("change", [{"recipe": "another"}, {"parameters": 10**400}, {"log": {"epoch": "x"}}])
def test_a_done_json_of_another_recipe_or_none(made: tuple[Recipe, Path], run: Path, change: dict[str, Any]) -> None:
    edit(run / "seed0/done.json", change)
    refused(run, made, "done.json")


def edit(path: Path, change: dict[str, Any]) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


@pytest.mark.parametrize("how", ["missing", "another run's", "damaged"])
def test_sides_that_are_not_the_run_s_are_not_believed(made: tuple[Recipe, Path], run: Path, how: str) -> None:
    recipe, folder = made
    held = run / "examples.parquet"
    held.unlink()
    if how == "another run's":
        shutil.copy(folder / "other/examples.parquet", held)
    elif how == "damaged":
        held.write_bytes(b"PAR1")
    with pytest.raises(DataError, match="is not the file that this run began with"):
        evaluate(Run(run), cache=folder / "cache")
    with pytest.raises(DataError, match="is not the file that this run began with"):
        fit(recipe, run, cache=folder / "cache", quiet=True)
    assert held.exists() == (how != "missing")


def test_a_damaged_checkpoint_is_told_as_such(made: tuple[Recipe, Path], run: Path) -> None:
    good, rng = (run / CHECKPOINT).read_bytes(), random.Random(0)
    size = int.from_bytes(good[:8], "little")
    told = 0
    for _ in range(200):
        bad = bytearray(good)
        bad[rng.randrange(8, 8 + size)] = rng.choice(b'0123456789"{}[],:xabn')
        (run / CHECKPOINT).write_bytes(bytes(bad))
        try:
            read_tree(run / CHECKPOINT)
        except DataError:
            told += 1
        else:
            assert bytes(bad) == good
    assert told > 150


def test_a_copied_run_goes_on_with_its_own_files(made: tuple[Recipe, Path], run: Path) -> None:
    """The best epoch so far is read from the copy, though the run that it was copied from is still there."""
    recipe, folder = made
    (run / "seed0/done.json").unlink()
    best = run / "seed0/checkpoints/best.ckpt"
    best.write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"best\.ckpt"):
        fit(recipe, run, cache=folder / "cache", quiet=True)


def test_a_recipe_inside_the_run_is_not_overwritten(
    made: tuple[Recipe, Path], run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["fit", str(run / "recipe.yaml"), "--out", str(run), "--cache", str(made[1] / "cache"), "--overwrite"]
    assert main(command) == 2
    assert "lies inside; nothing is overwritten" in capsys.readouterr().err
    assert Run(run).finished


@pytest.mark.slow
def test_a_run_of_another_version_says_what_to_do(tiny_recipe: Path, tmp_path: Path) -> None:
    run = fit(load_recipe(tiny_recipe, ["train.epochs=1"]), tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    path = run.folder / "run.json"
    path.write_text(path.read_text().replace("plait run 5", "plait run 1"))
    with pytest.raises(DataError, match=r"another version of plait .*'plait run 1'.*Fit its recipe again: plait fit"):
        Run(run.folder)
    assert Run.is_run(run.folder), "what an older plait wrote is plait's to replace, where that is asked for"
