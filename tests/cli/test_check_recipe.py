"""`plait check RECIPE` tells what `fit` would refuse, before anything is prepared or trained."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from plait.cli import main
from plait.core.errors import PlaitError
from plait.corpus.corpus import CorpusWriter
from plait.recipe import load_recipe
from plait.streams.stream import Stream
from plait.training.fit import fit

FAULTS = {
    "a fusion that there is not": (["fusion=conct"], "Did you mean 'concat'"),
    "an option that there is not": (["fusion={name: concat, stepz: 3}"], "no such option"),
    "a width": (["model.dim=-1"], "model.dim: got -1"),
    "a width that is a text": (["model.dim=wide"], "model.dim: got 'wide'"),
    "a stream": (["streams={nose: }"], "no recording has a stream 'nose'"),
    "early stopping": (["train.stop=early", "split={hash: group, test: 0.25}"], "early needs a validation part"),
    "a target": (["task.target=kindd"], "Did you mean 'kind'"),
    "a metric": (["task.metric=roc_auc"], "classify.metric"),
    "a class only outside training": (
        [
            "task={name: classify, target: only}",
            "split={by: id, train: [r00, r01], test: [r02], subject_dependent: true}",
        ],
        "the test part has 1 examples that cannot be scored: label 'c' is not among the training classes",
    ),
    "a part without streams": (
        [
            "task={name: classify, target: only}",
            "split={by: id, train: [r00, r01], test: [r03], subject_dependent: true}",
        ],
        "no example of the test part has any of the streams",
    ),
}


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    with CorpusWriter(tmp_path) as out:
        for i in range(24):
            name = "other" if i == 3 else "imu"
            labels = {"kind": "abcd"[i % 4], "only": "abca"[i] if i < 4 else "a"}
            out.add(f"r{i:02d}", {name: Stream.of(np.zeros((9, 2)), rate=9)}, labels=labels, group=f"g{i // 4}")
    path = tmp_path / "r.yaml"
    path.write_text(
        "corpus: manifest.jsonl\ntask: {name: classify, target: kind}\nstreams: {imu: }\n"
        "split: {hash: group, test: 0.3, valid: 0.2}\nmodel: {dim: 8}\ntrain: {epochs: 1}\n"
    )
    return path


@pytest.mark.parametrize("what", FAULTS)
def test_check_and_fit_refuse_the_same(
    what: str, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides, told = FAULTS[what]
    assert main(["check", str(recipe), *overrides, "--json"]) in (1, 2)
    said = capsys.readouterr().out
    assert told in json.loads(said.splitlines()[-1])["problems"][0] or told in said
    with pytest.raises(PlaitError) as error:
        fit(load_recipe(recipe, overrides), tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    assert told in str(error.value)
    assert not (tmp_path / "cache").exists(), "nothing was prepared"
    assert not (tmp_path / "run/run.json").exists()


def test_a_good_recipe_passes_and_what_is_missing_is_said(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    started = time.process_time()
    assert main(["check", str(recipe)]) == 0
    assert time.process_time() - started < 5
    assert "there is no test part" not in capsys.readouterr().out
    assert main(["check", str(recipe), "split={by: group, train: [g0, g1, g2, g3, g4, g5]}"]) == 0
    assert "there is no test part" in capsys.readouterr().out


def test_a_recipe_on_a_raw_folder_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    for i in range(6):
        np.save(raw / f"r{i}.imu.npy", np.zeros((5, 2)))
    (raw / "labels.csv").write_text("id,mood\n" + "".join(f"r{i},{'ab'[i % 2]}\n" for i in range(6)))
    recipe = tmp_path / "r.yaml"
    text = "corpus: {folder: raw, import: {streams: {imu: {rate: 5}}}}\ntask: {name: classify, target: MOOD}\n"
    recipe.write_text(text.replace("MOOD", "mood"))
    assert main(["check", str(recipe)]) == 0
    assert "6 recordings" in capsys.readouterr().out
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.yaml", "raw"]
    recipe.write_text(text)
    assert main(["check", str(recipe)]) in (1, 2)
    assert "task.target" in "".join(capsys.readouterr())
