"""A run that is loaded chooses no code: modules from outside plait are imported by the caller's leave only."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import pytest

from plait.cli import main
from plait.core.errors import ConfigError, DataError
from plait.core.jobs.outcomes import Failed
from plait.core.jobs.work import each
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
def test_other_processes_import_no_more_than_this_one(module: Path) -> None:
    with foreign_code(False):
        outcomes = list(each(partial(find, Fusion, where="fusion"), ["mylab_marks.Mine"] * 2, jobs=2))
    assert all(isinstance(outcome, Failed) and "--allow-code" in str(outcome) for _, outcome in outcomes)
    assert not module.exists()


@pytest.mark.parametrize("command", ["check", "align --grid 5 --out a", "export --to csd --out a", "view --save a.rrd"])
def test_a_manifest_is_no_code(
    command: str, module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("walk.txt").write_text("1")
    entry = {"id": "a", "streams": {"walk": {"path": "walk.txt", "reader": "mylab_marks.Mine"}}}
    Path("m.jsonl").write_text(json.dumps(entry))
    name, *more = command.split()
    assert main([name, "m.jsonl", *more]) in (1, 2)
    said = capsys.readouterr()
    assert "--allow-code" in said.err + said.out
    assert not module.exists()


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
