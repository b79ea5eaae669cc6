"""A run that is loaded opens no files outside a manifest's folder but by the caller's leave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plait.cli import main
from plait.core.errors import DataError
from plait.evaluation.evaluate import evaluate
from plait.prediction.predict import predict
from plait.recipe import load_recipe
from plait.training.fit import fit
from plait.training.run import Run


@pytest.fixture
def outside(tiny_corpus: Path, tiny_recipe: Path, tmp_path: Path) -> Path:
    """A run of a manifest whose files lie elsewhere, as its recipe allows."""
    lines = [json.loads(line) for line in tiny_corpus.read_text().splitlines()]
    for line in lines:
        for stream in line.get("streams", {}).values():
            stream["path"] = str(tiny_corpus.parent / stream["path"])
    manifest = tmp_path / "away/manifest.jsonl"
    manifest.parent.mkdir()
    manifest.write_text("\n".join(map(json.dumps, lines)))
    recipe = load_recipe(tiny_recipe, [f"corpus={manifest}", "allow_outside=true", "train.epochs=1"])
    run = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    assert evaluate(run, cache=tmp_path / "cache")["items"], "the caller's own recipe allows it"
    return run.folder


@pytest.mark.slow
def test_the_run_s_files_do_not_allow_it(outside: Path, tmp_path: Path) -> None:
    manifest, cache = tmp_path / "away/manifest.jsonl", tmp_path / "empty"
    with pytest.raises(DataError, match="--allow-outside"):
        evaluate(Run(outside), cache=cache)
    with pytest.raises(DataError, match="--allow-outside"):
        evaluate(Run(outside), cache=cache, corpus=manifest)
    with pytest.raises(DataError, match="--allow-outside"):
        predict(Run(outside), [str(manifest)], cache=cache)


@pytest.mark.slow
def test_the_caller_does(outside: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = ["--cache", str(tmp_path / "cache")]
    assert main(["evaluate", str(outside), *cache]) != 0
    assert "--allow-outside" in capsys.readouterr().err
    assert main(["evaluate", str(outside), "--allow-outside", *cache]) == 0
    assert main(["predict", str(outside), str(tmp_path / "away/manifest.jsonl"), "--allow-outside", *cache]) == 0
