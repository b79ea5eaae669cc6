"""The sides belong to the run: what it was trained on is kept, and a corpus that changes is told of."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.evaluation.evaluate import evaluate
from plait.examples.items import find_items
from plait.recipe import Recipe, load_recipe
from plait.streams.recording import Annotation
from plait.streams.stream import Stream
from plait.training.fit import fit
from plait.training.run import Run
from plait.training.sides import Sides


@pytest.fixture
def corpus(tiny_corpus: Path, tmp_path: Path) -> Path:
    """A copy of the corpus that may be changed, its sides in the manifest."""
    shutil.copytree(tiny_corpus.parent, tmp_path / "corpus")
    manifest = tmp_path / "corpus/manifest.jsonl"
    edit(manifest, lambda e: e | {"split": "test" if int(e["id"][1:]) % 16 < 4 else "train"})
    return manifest


def edit(manifest: Path, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    rows = [change(json.loads(line)) for line in manifest.read_text().splitlines()]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows if row))


def recipe(manifest: Path, folder: Path, *more: str, split: str = "{by: manifest}") -> Recipe:
    path = folder / "tiny.yaml"
    path.write_text(
        f"corpus: {manifest}\ntask: {{name: classify, target: kind}}\nsplit: {split}\nmodel: {{dim: 8}}\n"
        "train: {epochs: 1, temperature_scaling: false}\n"
    )
    return load_recipe(path, list(more))


def swapped(entry: dict[str, Any]) -> dict[str, Any]:
    return entry | {"split": {"test": "train", "train": "test"}[entry["split"]]}


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any] | None], str]] = {
    "sides swapped": (swapped, r"48 examples are on another side in the manifest: r00 \(test -> train\)"),
    "a label corrected": (
        lambda e: e | {"labels": {"kind": "d", "score": 0.0}} if e["id"] == "r00" else e,
        r'1 examples have another target: r00 \("a" -> "d"\)',
    ),
    "a recording gone": (
        lambda e: None if e["id"] == "r07" else e,
        "1 examples are gone, or begin or end elsewhere: r07",
    ),
    "a clock corrected": (
        lambda e: e | {"streams": {k: s | {"offset": 0.5} for k, s in e["streams"].items()}} if e["id"] == "r09" else e,
        "1 examples are gone, or begin or end elsewhere: r09",
    ),
    "another group": (lambda e: e | {"group": "new"} if e["id"] == "r01" else e, r"belong to another group: r01 \(g0"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", CHANGES)
def test_a_corpus_that_changed_is_neither_scored_nor_trained_on(corpus: Path, tmp_path: Path, what: str) -> None:
    change, told = CHANGES[what]
    plan, cache = recipe(corpus, tmp_path), tmp_path / "cache"
    run = fit(plan, tmp_path / "run", cache=cache, quiet=True)
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    edit(corpus, change)
    with pytest.raises(DataError, match=told):
        evaluate(run, cache=cache)
    with pytest.raises(ConfigError, match=told):
        fit(plan, tmp_path / "run", cache=cache, quiet=True)
    assert {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()} == before


@pytest.mark.slow
def test_a_file_replaced_by_one_of_another_size_is_told(corpus: Path, tmp_path: Path) -> None:
    plan, cache = recipe(corpus, tmp_path), tmp_path / "cache"
    run = fit(plan, tmp_path / "run", cache=cache, quiet=True)
    shutil.copy(corpus.parent / "arrays/r05.left.npy", corpus.parent / "arrays/r06.left.npy")
    with pytest.raises(DataError, match=r"streams, files or clocks: r06\."):
        evaluate(run, cache=cache)


@pytest.mark.slow
def test_recordings_added_under_folds_move_nobody(corpus: Path, tmp_path: Path) -> None:
    plan, cache = recipe(corpus, tmp_path, split="{folds: 3, by: group}"), tmp_path / "cache"
    lines = corpus.read_text().splitlines()
    corpus.write_text("\n".join(lines[:40]) + "\n")
    run = fit(plan, tmp_path / "run", cache=cache, quiet=True)
    before = evaluate(run, cache=cache)
    corpus.write_text("\n".join(lines) + "\n")
    after = evaluate(run, cache=cache)
    assert (before["data"]["new"], after["data"]["new"]) == (0, 8)
    assert after["subsets"] == before["subsets"]
    with pytest.raises(ConfigError, match="8 examples are new"):
        fit(plan, tmp_path / "run", cache=cache, quiet=True)


def test_until_something_is_trained_the_corpus_may_change(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = recipe(corpus, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("plait.training.fit.train_replicate", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            fit(plan, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    edit(corpus, swapped)
    run = fit(plan, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    assert len(run.info.folds[0].test) == 36


def test_sides_survive_the_file(corpus: Path, tmp_path: Path) -> None:
    run = fit(recipe(corpus, tmp_path), tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    sides = Sides.read(run.folder, run.info.examples)
    (fold,) = sides.folds()
    assert (len(fold.train), len(fold.test)) == (36, 12)
    assert {i.split for i in fold.test} == {"test"}
    content = sides.to_bytes()
    (tmp_path / "examples.parquet").write_bytes(content)
    assert Sides.read(tmp_path, sha256(content).hexdigest()).to_bytes() == content


@pytest.mark.slow
def test_seeds_can_be_added_and_what_is_trained_stays(corpus: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = fit(recipe(corpus, tmp_path), tmp_path / "run", cache=cache, quiet=True)
    kept = (first.folder / "seed0/model.safetensors").stat().st_mtime_ns
    more = fit(recipe(corpus, tmp_path, "train.seeds=[3, 0]"), tmp_path / "run", cache=cache, quiet=True)
    assert [m.seed for m in more.replicates] == [0, 3]
    assert (first.folder / "seed0/model.safetensors").stat().st_mtime_ns == kept
    assert [m.seed for m in fit(recipe(corpus, tmp_path), tmp_path / "run", cache=cache, quiet=True).replicates] == [
        0,
        3,
    ]


@pytest.mark.slow
def test_the_replicates_that_are_finished_are_scored(corpus: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    run = fit(recipe(corpus, tmp_path, "train.seeds=[0, 1, 2]"), tmp_path / "run", cache=cache, quiet=True)
    (run.folder / "seed1/done.json").unlink()
    found = evaluate(Run(run.folder), cache=cache)
    assert found["seeds"] == [0, 2]
    assert found["unfinished"] == ["seed1"]
    for seed in (0, 2):
        (run.folder / f"seed{seed}/done.json").unlink()
    with pytest.raises(DataError, match="no replicate is trained to its end"):
        evaluate(Run(run.folder), cache=cache)


@pytest.mark.slow
def test_a_group_may_stand_on_both_sides_if_the_recipe_says_so(corpus: Path, tmp_path: Path) -> None:
    edit(corpus, lambda e: e | {"split": "test" if sum(divmod(int(e["id"][1:]), 4)) % 4 == 0 else "train"})
    with pytest.raises(DataError, match="subject_dependent: true"):
        fit(recipe(corpus, tmp_path), tmp_path / "no", cache=tmp_path / "cache", quiet=True)
    split = "{by: manifest, subject_dependent: true}"
    run = fit(recipe(corpus, tmp_path, split=split), tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    found = evaluate(run, cache=tmp_path / "cache")
    assert found["groups"] == 12
    assert [fold["seen"] for fold in found["parts"]["folds"]] == [12]


@pytest.mark.slow
def test_replicates_of_some_folds_are_scored_too(corpus: Path, tmp_path: Path) -> None:
    plan = recipe(corpus, tmp_path, split="{folds: 3, by: group}")
    run = fit(plan, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    (run.folder / "seed0-fold2/done.json").unlink()
    found = evaluate(Run(run.folder), cache=tmp_path / "cache")
    assert found["unfinished"] == ["seed0-fold2"]
    assert found["items"] == sum(len(f.test) for f in run.info.folds if f.name != "fold2")


@pytest.mark.slow
@pytest.mark.parametrize("labelled", [True, False])
def test_recordings_added_with_other_streams_change_no_modality(corpus: Path, tmp_path: Path, labelled: bool) -> None:
    plan, cache = recipe(corpus, tmp_path), tmp_path / "cache"
    run = fit(plan, tmp_path / "run", cache=cache, quiet=True)
    first, *_ = (json.loads(line) for line in corpus.read_text().splitlines())
    left = first["streams"]["left"]
    new = first | {"streams": {"third": left, "left": left}} | ({} if labelled else {"labels": {}})
    with open(corpus, "a", encoding="utf-8") as out:
        out.writelines(json.dumps(new | {"id": f"new{i}", "group": f"new{i}"}) + "\n" for i in range(600))
    found = evaluate(Run(run.folder), cache=cache)
    assert (found["modalities"], found["data"]["recordings"]) == (["left", "right"], 48)
    if labelled:
        with pytest.raises(ConfigError, match="600 examples are new: new0, new1"):
            fit(plan, tmp_path / "run", cache=cache, quiet=True)
    else:  # nothing that a target is known of: the same examples
        more = fit(recipe(corpus, tmp_path, "train.seeds=[1]"), tmp_path / "run", cache=cache, quiet=True)
        assert more.info.modalities == run.info.modalities
        assert [more.model(m).modalities for m in more.replicates] == [["left", "right"]] * 2


def test_two_annotations_of_one_interval_are_two_examples(tmp_path: Path) -> None:
    def sides(*labels: str) -> Sides:
        with CorpusWriter(tmp_path / "".join(labels)) as out:
            notes = [Annotation(1, 2, label, "t") for label in labels]
            out.add("r0", {"imu": Stream.of(np.zeros((50, 1)), rate=10)}, annotations=notes)
        found = Corpus(tmp_path / "".join(labels) / "manifest.jsonl")
        return Sides.of(found, find_items(found, {"unit": "segment", "tier": "t"}).items, [])

    two = sides("x", "y")
    assert not two.changes(sides("x", "y"))
    assert "another target" in two.changes(sides("z", "y"))[0]
    assert "1 examples are gone" in two.changes(sides("x"))[0]
    assert two.added(sides("x", "y", "z")) == 1


def test_a_picture_replaced_in_a_folder_is_told(tmp_path: Path) -> None:
    film = tmp_path / "see.frames"
    film.mkdir()
    for i in range(3):
        cv2.imwrite(str(film / f"{i}.png"), np.full((16, 16, 3), i, np.uint8))
    manifest = tmp_path / "manifest.jsonl"
    entry = {"id": "r0", "labels": {"y": "a"}, "streams": {"see": {"path": "see.frames", "options": {"rate": 5}}}}
    manifest.write_text(json.dumps(entry) + "\n")
    corpus = Corpus(manifest)
    items = find_items(corpus, {"target": "y"}).items
    before = Sides.of(corpus, items, [])
    cv2.imwrite(str(film / "1.png"), np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8))
    assert "streams, files or clocks: r0" in before.changes(Sides.of(corpus, items, []))[0]
