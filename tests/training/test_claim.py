"""A run's folder: marked, locked, and never emptied of what is not plait's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from plait.core.atomic import replacing
from plait.core.errors import ConfigError, DataError
from plait.recipe import Recipe, load_recipe
from plait.training.claim import claim
from plait.training.fit import fit
from plait.training.run import Run

QUICK = ["train.epochs=1", "train.temperature_scaling=false"]


def quick(tiny_recipe: Path, *more: str) -> Recipe:
    return load_recipe(tiny_recipe, [*QUICK, *more])


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_with_a_recipe_in_it_is_not_ours(tiny_recipe: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    study.mkdir()
    (study / "recipe.yaml").write_text("corpus: raw\ntask: classify\n")
    (study / "talk.mp4").write_bytes(b"film")
    before = files(study)
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match=r"holds recipe\.yaml, but is not a run"):
            fit(quick(tiny_recipe), study, cache=tmp_path / "cache", overwrite=overwrite, quiet=True)
    assert files(study) == before


@pytest.mark.slow
def test_overwriting_leaves_what_others_put_there(tiny_recipe: Path, tmp_path: Path) -> None:
    run, cache = tmp_path / "run", tmp_path / "cache"
    fit(quick(tiny_recipe, "train.seeds=[0, 1]"), run, cache=cache, quiet=True)
    mine = [run / name for name in ("notes.txt", "seed0/figure.png", "seed0/checkpoints/best of all.ckpt")]
    mine.append(run / "seed0/tensorboard/notes.txt")
    mine[-1].parent.mkdir()
    for path in mine:
        path.write_text("mine")
    again = fit(quick(tiny_recipe, "train.lr=0.01"), run, cache=cache, overwrite=True, quiet=True)
    assert [m.name for m in again.replicates] == ["seed0"]
    assert [path.read_text() for path in mine] == ["mine"] * 4
    assert not (run / "seed1").exists()


def test_a_corpus_that_cannot_be_opened_costs_the_old_run_nothing(tiny_recipe: Path, tmp_path: Path) -> None:
    run, cache = tmp_path / "run", tmp_path / "cache"
    fit(quick(tiny_recipe), run, cache=cache, quiet=True)
    before = files(run)
    lost = quick(tiny_recipe)
    lost.corpus = str(tmp_path / "nowhere.jsonl")
    with pytest.raises(DataError, match="no such manifest"):
        fit(lost, run, cache=cache, overwrite=True, quiet=True)
    assert files(run) == before


@pytest.mark.slow
def test_a_corpus_inside_the_run_is_not_overwritten(tiny_recipe: Path, tmp_path: Path) -> None:
    run, cache = tmp_path / "run", tmp_path / "cache"
    fit(quick(tiny_recipe), run, cache=cache, quiet=True)
    inside = quick(tiny_recipe)
    (run / "data").mkdir()
    inside.corpus = str(run / "data/manifest.jsonl")
    with pytest.raises(ConfigError, match="lies inside"):
        fit(inside, run, cache=cache, overwrite=True, quiet=True)


@pytest.mark.slow
def test_a_recording_s_file_that_has_the_name_of_ours_is_not_deleted(tiny_recipe: Path, tmp_path: Path) -> None:
    run, cache = tmp_path / "run", tmp_path / "cache"
    fit(quick(tiny_recipe), run, cache=cache, quiet=True)
    (run / "seed0/log.csv").write_text("time,a\n0,1\n0.1,2\n")
    manifest = tmp_path / "manifest.jsonl"
    rows = [{"id": f"r{i}", "labels": {"kind": "ab"[i % 2]}} for i in range(8)]
    manifest.write_text("".join(json.dumps(r | {"streams": {"x": {"path": "run/seed0/log.csv"}}}) + "\n" for r in rows))
    inside = quick(tiny_recipe)
    inside.corpus = str(manifest)
    with pytest.raises(ConfigError, match=r"1 files of the corpus lie where the run keeps its own.*log\.csv"):
        fit(inside, run, cache=cache, overwrite=True, quiet=True)
    assert (run / "seed0/log.csv").exists()
    assert Run(run).finished


def test_a_claim_that_was_cut_off_is_made_again(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between any two of its files: the folder is still ours."""
    for name in ("run.json", "examples.parquet", "recipe.yaml"):
        folder = tmp_path / f"before {name}"

        def killed(path: Path, *more: object, **options: object) -> object:
            if Path(path).name == name:  # noqa: B023
                raise KeyboardInterrupt
            return replacing(path, *more, **options)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr("plait.core.atomic.replacing", killed)
            patch.setattr("plait.training.claim.replacing", killed)
            with pytest.raises(KeyboardInterrupt):
                claim(folder, quick(tiny_recipe))
        claim(folder, quick(tiny_recipe, "train.epochs=2"))
        assert Run(folder).recipe.train.epochs == 2


def test_the_message_names_the_keys_that_differ(tiny_recipe: Path, tmp_path: Path) -> None:
    run, cache = tmp_path / "run", tmp_path / "cache"
    fit(quick(tiny_recipe), run, cache=cache, quiet=True)
    with pytest.raises(ConfigError) as error:
        fit(quick(tiny_recipe, "train.lr=0.5", "fusion=late"), run, cache=cache, quiet=True)
    assert '(fusion: "concat" there, "late" here; train.lr: 0.002 there, 0.5 here)' in str(error.value)


def test_two_fits_of_one_run_are_refused_and_a_dead_one_leaves_no_lock(tiny_recipe: Path, tmp_path: Path) -> None:
    run, cache = tmp_path / "run", tmp_path / "cache"
    hold = (
        "import sys, time\nfrom pathlib import Path\nfrom plait.training.lock import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", hold, str(run)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match="another process is training this run"):
            fit(quick(tiny_recipe), run, cache=cache, overwrite=overwrite, quiet=True)
    holder.kill()
    holder.communicate()
    assert fit(quick(tiny_recipe), run, cache=cache, quiet=True).finished


@pytest.mark.slow
def test_checkpoints_and_replicates_of_another_recipe_are_not_mixed_in(tiny_recipe: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    one = fit(quick(tiny_recipe), tmp_path / "one", cache=cache, quiet=True)
    two = fit(quick(tiny_recipe, "train.epochs=3"), tmp_path / "two", cache=cache, quiet=True)
    done = one.folder / "seed0/done.json"
    done.write_bytes((two.folder / "seed0/done.json").read_bytes())
    with pytest.raises(DataError, match="trained with another recipe"):
        one.done(one.replicates[0])
    done.unlink()
    last = "seed0/checkpoints/last.ckpt"
    (one.folder / last).write_bytes((two.folder / last).read_bytes())
    with pytest.raises(DataError, match="checkpoint is of another recipe"):
        fit(quick(tiny_recipe), one.folder, cache=cache, quiet=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.json", "{"),
        ("run.json", '{"format": "plait run 5"}'),
        ("run.json", '{"format": "plait run 5", "items": 1e400}'),
        ("run.json", "[" * 100_000),
        ("recipe.yaml", "corpus: other.jsonl\ntask: classify\n"),
        ("seed0/done.json", "{}"),
        ("seed0/done.json", "\x00"),
    ],
)
def test_damaged_files_of_a_run_are_told(tiny_recipe: Path, tmp_path: Path, name: str, text: str) -> None:
    run = fit(quick(tiny_recipe), tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    (run.folder / name).write_text(text)
    with pytest.raises(DataError, match=name.split("/")[-1]):
        Run(run.folder).done(run.replicates[0])


def test_a_replicate_name_cannot_leave_the_folder(tiny_recipe: Path, tmp_path: Path) -> None:
    run = fit(quick(tiny_recipe), tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    info = json.loads((run.folder / "run.json").read_text())
    info["replicates"] = [{"seed": 0, "fold": "/../../x"}]
    (run.folder / "run.json").write_text(json.dumps(info))
    with pytest.raises(DataError, match="replicates"):
        Run(run.folder)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("fusion=no_such", "fusion: there is no fusion 'no_such'"),
        ("model.dims=3", "model.dims: there is no such option"),
        ("model.dim=wide", "model.dim: got 'wide'"),
        ("model.from=[1]", "model.from: got"),
        ("streams.left.encoder={name: gru, layers: -1}", r"streams.left.encoder.layers: got -1"),
        ("streams.left.preprocess=[{name: hampel, window: long}]", r"streams.left.preprocess\[0\].window: got 'long'"),
        ("task={name: classify, target: kind, unit: [1]}", "task.unit: there is no unit"),
        ("split={folds: many}", "split.folds"),
    ],
)
def test_what_no_model_can_be_made_of_is_refused_before_anything_is_written(
    tiny_recipe: Path, tmp_path: Path, override: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        fit(load_recipe(tiny_recipe, [override]), tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "cache").exists()


@pytest.mark.slow
def test_a_recipe_is_the_same_by_whatever_path_it_is_named(
    tiny_recipe: Path, tiny_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = os.path.relpath(tiny_corpus, tiny_recipe.parent)
    tiny_recipe.write_text(tiny_recipe.read_text().replace(str(tiny_corpus), beside))
    options = {"cache": tmp_path / "cache", "quiet": True}
    monkeypatch.chdir(tiny_recipe.parent)
    run = fit(load_recipe(tiny_recipe.name, ["train.epochs=1"]), tmp_path / "run", **options)
    done = (run.folder / "seed0/done.json").stat().st_mtime_ns
    for overrides in (["train.epochs=1"], ["train.epochs=1", "train.seeds=[0, 1]"]):
        fit(load_recipe(tiny_recipe, overrides), tmp_path / "run", **options)
    again = Run(tmp_path / "run")
    assert [m.name for m in again.finished] == ["seed0", "seed1"]
    assert (run.folder / "seed0/done.json").stat().st_mtime_ns == done
    elsewhere = load_recipe(tiny_recipe, ["train.epochs=1"])
    elsewhere.corpus = str(tmp_path / "other.jsonl")
    with pytest.raises(ConfigError, match="corpus"):
        fit(elsewhere, tmp_path / "run", **options)
