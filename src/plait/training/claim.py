"""A folder becomes a run's, and stays it: marked, locked while it is written, never emptied of what is not ours."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

import plait
from plait.atomic import write_text
from plait.errors import ConfigError
from plait.recipe import CorpusPlan, Recipe, dump_recipe
from plait.training.experiment import Experiment, open_corpus
from plait.training.full import full_recipe
from plait.training.rehearsal import refuse
from plait.training.run import FORMAT, Member, Run, digest_of
from plait.training.sides import FILE as EXAMPLES
from plait.training.sides import Sides
from plait.training.start import Start, check_unchanged

__all__ = ["claim", "locked"]

LOCK, MANIFEST, NEW = ".lock", "manifest.jsonl", "manifest.new.jsonl"

OURS = ("recipe.yaml", "run.json", EXAMPLES, LOCK, "evaluation.json", "report.html")
"""Files that plait writes into a run's folder itself."""

OURS_OF_A_MEMBER = ("model.safetensors", "model.json", "done.json", "factors.json", "log.csv")


def claim(folder: Path, recipe: Recipe, experiment: Experiment | None = None, *, overwrite: bool = False) -> Experiment:
    """Make a folder the run of a recipe, all that is known before anything is trained; or find that it is already.

    Once something is trained the run's examples and their sides are what they were then (`plait.training.sides`), and
    the experiment returned has them. Seeds can be added; what other seeds have trained stays.

    Args:
        folder, recipe, overwrite: as for `plait.training.fit.fit`.
        experiment: the recipe met with its corpus, where that is known already.

    Raises:
        ConfigError: the folder holds the run of another recipe, or what is not plait's; the corpus has changed since.
        DataError: the corpus is not usable as the recipe says.
    """
    full_recipe(recipe)  # refuses parts and options that there are not
    held = _held(folder, recipe, overwrite)
    if held is not None:
        recipe = recipe.model_copy(deep=True)
        recipe.train.seeds = list(dict.fromkeys([*held.recipe.train.seeds, *recipe.train.seeds]))
        if experiment is not None:
            experiment.recipe = recipe
    folder.mkdir(parents=True, exist_ok=True)
    fresh = overwrite and Run.is_run(folder)
    experiment = experiment or Experiment.of(recipe, open_corpus(recipe, folder, NEW if fresh else MANIFEST))
    refuse(experiment)
    if fresh:  # only now: the corpus is there, and the recipe fits it
        _sweep(folder)
        if (folder / NEW).exists():
            os.replace(folder / NEW, folder / MANIFEST)
            experiment.corpus = open_corpus(recipe, folder)
    sides = _sides(folder, experiment, begun=held is not None and held.begun)
    members = [Member(seed, fold.name) for seed in recipe.train.seeds for fold in experiment.folds]
    _write(folder, experiment, sides, members, held)
    return experiment


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Nobody else writes the run in this block; a process that dies gives the lock back.

    Raises:
        ConfigError: another process is writing it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOCK, "a", encoding="utf-8") as lock:
        try:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:  # not on this system: two fits of one folder are the user's to avoid there
            pass
        except OSError as error:
            raise ConfigError(
                f"{folder}: another process is training this run. Wait for it, or choose another --out."
            ) from error
        try:
            yield
        finally:
            if not Run.is_run(folder):  # refused, or nothing came of it: leave no trace
                (folder / LOCK).unlink(missing_ok=True)
                with suppress(OSError):
                    folder.rmdir()


def _held(folder: Path, recipe: Recipe, overwrite: bool) -> Run | None:
    """The run of the same recipe that the folder holds; None where it holds none, or one that is to be overwritten."""
    marked = Run.is_run(folder)
    if not marked:
        strange = [n for n in ("recipe.yaml", "run.json", MANIFEST) if (folder / n).exists()]
        unfinished = strange == [MANIFEST] and isinstance(recipe.corpus, CorpusPlan)
        if strange and not unfinished:
            raise ConfigError(
                f"{folder}: holds {', '.join(strange)}, but is not a run of this version of plait; nothing in it is "
                "touched. Choose another --out."
            )
        return None
    if overwrite:
        _check_outside(folder, recipe)
        return None
    held = Run(folder)
    if differ := _differences(held.recipe, recipe):
        raise ConfigError(
            f"{folder}: holds the run of another recipe ({'; '.join(differ)}). Choose another --out, or give "
            "--overwrite."
        )
    return held


def _differences(theirs: Recipe, ours: Recipe) -> list[str]:
    """Each key that differs between two recipes, with both values; seeds apart."""
    # compared as recipes, not as texts: a default that is new since then makes no other recipe
    a, b = (_flat(r.model_dump(by_alias=True, mode="json")) for r in (theirs, ours))
    keys = [k for k in dict.fromkeys([*a, *b]) if a.get(k) != b.get(k) and k != "train.seeds"]
    return [f"{key}: {_short(a.get(key))} there, {_short(b.get(key))} here" for key in keys]


def _flat(tree: Any, path: str = "") -> dict[str, Any]:
    if not isinstance(tree, dict) or not tree:
        return {path: tree}
    return {k: v for key, value in tree.items() for k, v in _flat(value, f"{path}.{key}" if path else str(key)).items()}


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_outside(folder: Path, recipe: Recipe) -> None:
    """Refuse to overwrite a run's folder that the data lie in."""
    data = recipe.corpus.folder if isinstance(recipe.corpus, CorpusPlan) else recipe.corpus
    if Path(data).resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"{folder}: the corpus {data} lies inside; nothing is overwritten. Choose another --out.")


def _sweep(folder: Path) -> None:
    """Delete what plait wrote of a run, and nothing else; folders go when they are empty."""
    run = Run(folder)
    places = [folder / m.name for m in run.members] + [folder / name for name in run.info.held_out]
    for place in places:
        for name in OURS_OF_A_MEMBER:
            (place / name).unlink(missing_ok=True)
        for checkpoint in (place / "checkpoints").glob("*.ckpt"):
            checkpoint.unlink()
        shutil.rmtree(place / "tensorboard", ignore_errors=True)
        for empty in (place / "checkpoints", place):
            with suppress(OSError):
                empty.rmdir()
    for name in (*OURS, MANIFEST) if run.info.imported else OURS:
        if name != LOCK:
            (folder / name).unlink(missing_ok=True)


def _sides(folder: Path, experiment: Experiment, *, begun: bool) -> Sides:
    """The run's own sides, once anything is trained, which the experiment then has; until then those of now, kept."""
    now = Sides.of(experiment.corpus, experiment.items.items, experiment.folds)
    kept = Sides.read(folder) if begun else None
    if kept is None:
        now.write(folder)
        return now
    changes = kept.changes(now)
    if new := kept.added(now):
        changes.append(f"{new} examples are new")
    if changes:
        where = f"{folder}: {experiment.corpus.path.name} has changed since this run was begun"
        do = "Undo it to go on with the run, or train anew: another --out, or --overwrite."
        raise ConfigError([f"{where}: {'; '.join(changes)}. {do}"])
    experiment.folds = kept.folds()
    return kept


def _write(folder: Path, experiment: Experiment, sides: Sides, members: Sequence[Member], held: Run | None) -> None:
    recipe, text = experiment.recipe, dump_recipe(experiment.recipe)
    info = {
        "format": FORMAT,
        "recipe": digest_of(recipe),
        "examples": sides.digest,
        "plait": plait.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "corpus": str(experiment.corpus.path.resolve()),
        "imported": isinstance(recipe.corpus, CorpusPlan),
        "allow_outside": experiment.corpus.allow_outside,
        "members": [vars(m) for m in members],
        "modalities": experiment.streams,
        "features": experiment.features,
        "notes": experiment.notes,
        "items": len(experiment.items.items),
        "dropped": experiment.items.dropped,
        "folds": [
            {"name": f.name, **{p: sorted({i.recording for i in side}) for p, side in f.sides.items()}}
            for f in experiment.folds
        ],
        "from": _start(folder, experiment, members, held),
    }
    # the marker last: a folder without it is nobody's
    write_text(folder / "recipe.yaml", text, durable=True)
    write_text(folder / "run.json", json.dumps(info, indent=1, ensure_ascii=False), durable=True)


def _start(
    folder: Path, experiment: Experiment, members: Sequence[Member], held: Run | None
) -> Mapping[str, Any] | None:
    start = Start.of(experiment.recipe)
    if start is None:
        return None
    record = start.record(members)
    check_unchanged(folder, held.info.start if held else None, record)
    return record
