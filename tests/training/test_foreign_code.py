"""A run that is loaded chooses no code: modules from outside plait are imported by the caller's leave only."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from plait.cli import main
from plait.core.errors import ConfigError, DataError
from plait.core.parts import find, foreign_code
from plait.fusion import Fusion
from plait.prediction.predict import predict
from plait.recipe import load_recipe
from plait.training.fit import fit
from plait.training.run import Run

MODULE = """
from pathlib import Path
from plait.fusion.late import Late

Path(__file__).with_name("imported").touch()


class Mine(Late):
    pass
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that leaves a mark when it is imported; the mark's path."""
    (tmp_path / "mylab_marks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mylab_marks", raising=False)
    return tmp_path / "imported"


def test_what_is_not_allowed_is_not_imported(module: Path) -> None:
    with foreign_code(False), pytest.raises(ConfigError, match="--allow-code"):
        find(Fusion, "mylab_marks.Mine", "fusion")
    assert not module.exists()
    with foreign_code(False):
        find(Fusion, "plait.fusion.late.Late", "fusion")
    with pytest.raises(ConfigError, match="not the dotted path"):
        find(Fusion, "os; import x.Mine", "fusion")
    assert find(Fusion, "mylab_marks.Mine", "fusion")[0].__name__ == "Mine"
    assert module.exists()


@pytest.mark.slow
def test_a_recipe_is_code_and_a_loaded_run_is_not(module: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    recipe = load_recipe(tiny_recipe, ["fusion=mylab_marks.Mine", "train.epochs=1", "train.temperature_scaling=false"])
    run = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    assert run.model(run.replicates[0])
    module.unlink()
    del sys.modules["mylab_marks"]
    stranger = Run(run.folder)
    with pytest.raises(DataError, match="--allow-code") as told:
        predict(stranger, [run.info.corpus], cache=tmp_path / "cache")
    assert "garbled" not in str(told.value), "nothing is wrong with the file"
    assert not module.exists()
    assert main(["predict", str(run.folder), run.info.corpus, "--cache", str(tmp_path / "cache"), "--json"]) == 1
    assert predict(Run(run.folder, allow_code=True), [run.info.corpus], cache=tmp_path / "cache")


def test_a_model_that_was_tampered_with_imports_nothing(module: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    recipe = load_recipe(tiny_recipe, ["train.epochs=1", "train.temperature_scaling=false"])
    run = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    path = run.folder / "seed0/model.json"
    saved = json.loads(path.read_text())
    path.write_text(json.dumps(saved | {"task": {"name": "mylab_marks.Mine"}}))
    with pytest.raises(DataError, match="--allow-code"):
        Run(run.folder).model(run.replicates[0])
    assert not module.exists()
