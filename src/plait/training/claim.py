"""Claim a folder for a run: mark it, and never delete a file in it that plait did not write."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import torch

from plait.core.atomic import read_bytes, replacing, write_text
from plait.core.errors import ConfigError
from plait.core.version import __version__
from plait.corpus.corpus import Corpus
from plait.importing.untold import told_rates
from plait.recipe import CorpusPlan, Recipe, dump_recipe, parse_recipe
from plait.training.experiment import Experiment, open_corpus
from plait.training.full import full_recipe
from plait.training.imported import discard_import, move_import, note_of
from plait.training.rehearsal import refuse
from plait.training.run import FORMAT, Beginning, Replicate, Run, digest_of
from plait.training.sides import FILE as EXAMPLES
from plait.training.sides import Sides
from plait.training.warm_start import WarmStart, check_unchanged

__all__ = ["claim", "flat"]

T = TypeVar("T")

MANIFEST, NEW = "manifest.jsonl", "manifest.new.jsonl"

PAGES = ("evaluation.json", "report.html", "explained.html")

OURS = ("recipe.yaml", "run.json", EXAMPLES, *PAGES)
"""Files that plait writes into a run's folder itself."""

OURS_OF_A_REPLICATE = (
    *("model.safetensors", "model.json", "preparation.json", "done.json", "factors.json", "log.csv"),
    *("checkpoints/last.ckpt", "checkpoints/best.ckpt"),
)


def claim(folder: Path, recipe: Recipe, experiment: Experiment | None = None, *, overwrite: bool = False) -> Experiment:
    """Make a folder the run of a recipe, before anything is trained; or go on with the run that it holds.

    Once training has begun, the run keeps its examples and their sides (`plait.training.sides`), and the returned
    experiment has these. Seeds can be added; replicates of other seeds stay.

    Args:
        folder, recipe, overwrite: as for `plait.training.fit.fit`.
        experiment: the recipe with its corpus, if it is already there.

    Raises:
        ConfigError: the folder holds the run of another recipe, or files of others; the corpus has changed since.
        DataError: the corpus does not fit the recipe.
    """
    full_recipe(recipe)  # only to refuse unknown parts and options
    held = _held(folder, recipe, overwrite)
    anew = held is None and Run.is_run(folder) and not _cut_off(folder)
    if held is not None:
        recipe = _as_written(held.recipe, recipe)
        recipe.train.seeds = list(dict.fromkeys([*held.recipe.train.seeds, *recipe.train.seeds]))
        if experiment is not None:
            experiment.recipe = recipe
    folder.mkdir(parents=True, exist_ok=True)
    if held is not None and held.begun:
        # The old bytes: another version of the Parquet writer would change their digest.
        experiment, examples = _resumed(held, recipe, experiment), read_bytes(folder / EXAMPLES)
    else:
        meet = _replaced if anew else _met
        experiment = meet(folder, recipe, experiment)
        examples = Sides.of(experiment.corpus, experiment.items.items, experiment.folds).to_bytes()
    replicates = [Replicate(seed, fold.name) for seed in recipe.train.seeds for fold in experiment.folds]
    _write(folder, experiment, replicates, examples, held)
    return experiment


def _met(folder: Path, recipe: Recipe, experiment: Experiment | None, manifest: str = MANIFEST) -> Experiment:
    """The experiment of a recipe, checked."""
    experiment = experiment or Experiment.of(recipe, open_corpus(recipe, folder, manifest))
    refuse(experiment)
    return experiment


def _replaced(folder: Path, recipe: Recipe, experiment: Experiment | None) -> Experiment:
    """The experiment, with the folder's old run deleted, but only after the new recipe has passed all checks."""
    # Imported beside the old manifest: an import that fails must not cost the old run its corpus.
    new = folder / NEW
    discard_import(new)  # what an earlier attempt may have left
    try:
        experiment = _met(folder, recipe, experiment, NEW)
        run = Run(folder)
        _check_apart(run, experiment.corpus)
        _sweep(run)
        if new.exists():
            move_import(new, folder / MANIFEST)
            experiment.corpus = open_corpus(recipe, folder)
    finally:
        discard_import(new)
    return experiment


def _resumed(run: Run, recipe: Recipe, given: Experiment | None) -> Experiment:
    """The experiment of a run that has begun: sides, modalities and features stay as they were."""
    info, folder = run.info, run.folder
    kept = Sides.read(folder, info.examples)
    corpus = open_corpus(recipe, folder) if given is None else given.corpus
    experiment = given or Experiment.begun(recipe, corpus, info.modalities, info.features)
    # Without folds: the run keeps its own, so a new split would not matter.
    changes = kept.changes(Sides.of(experiment.corpus, experiment.items.items, []), new=True)
    if (experiment.streams, experiment.features) != (info.modalities, info.features):
        changes.append("its streams or their features have changed")
    if changes:
        where = f"{folder}: {corpus.path.name} has changed since this run was begun"
        do = "Undo it to go on with the run, or train anew: another --out, or --overwrite."
        raise ConfigError([f"{where}: {'; '.join(changes)}. {do}"])
    experiment.folds = kept.remember(experiment.items).folds()
    experiment.notes = list(info.notes)
    return experiment


def _cut_off(folder: Path) -> bool:
    """Whether a claim was cut off after the mark and before the recipe was written; nothing is lost then."""
    trained = (*folder.glob("*/checkpoints"), *folder.glob("*/done.json"))
    return Run.is_run(folder) and not (folder / "recipe.yaml").exists() and not trained


def _held(folder: Path, recipe: Recipe, overwrite: bool) -> Run | None:
    """The folder's run, if it has the same recipe; None if there is no run, or if it is to be overwritten."""
    marked = Run.is_run(folder)
    if not marked:
        strange = [n for n in OURS if (folder / n).exists()]
        # With a raw folder `import_once` checks whose manifest this is.
        if (folder / MANIFEST).exists() and not isinstance(recipe.corpus, CorpusPlan):
            strange.append(MANIFEST)
        if strange:
            raise ConfigError(
                f"{folder}: holds {', '.join(strange)}, but is not a run of this version of plait; nothing in it is "
                "touched. Choose another --out."
            )
        return None
    if overwrite:
        _check_outside(folder, recipe)
        return None
    if _cut_off(folder):
        return None
    held = Run(folder)
    # `fit x.yaml` and `fit /abs/x.yaml` are one recipe, though their paths differ.
    if differ := _differences(held.recipe, _as_written(held.recipe, recipe)):
        raise ConfigError(
            f"{folder}: holds the run of another recipe ({'; '.join(differ)}). Choose another --out, or give "
            "--overwrite."
        )
    return held


def _as_written(theirs: Recipe, ours: Recipe) -> Recipe:
    """A copy of our recipe; a path that leads to the same place as theirs is written as theirs."""
    ours = ours.model_copy(deep=True)
    if isinstance(theirs.corpus, CorpusPlan) and isinstance(ours.corpus, CorpusPlan):
        ours.corpus.folder = _path(theirs.corpus.folder, ours.corpus.folder)
    elif not isinstance(theirs.corpus, CorpusPlan) and not isinstance(ours.corpus, CorpusPlan):
        ours.corpus = _path(theirs.corpus, ours.corpus)
    if "from" in ours.model:
        ours.model["from"] = _path(theirs.model.get("from"), ours.model["from"])
    return ours


def _path(theirs: object, ours: T) -> T | str:
    if isinstance(theirs, str) and isinstance(ours, str) and os.path.abspath(theirs) == os.path.abspath(ours):
        return theirs
    return ours


def _differences(theirs: Recipe, ours: Recipe) -> list[str]:
    """Each key that differs between two recipes, with both values; seeds may differ."""
    # Compared as recipes, not as texts: an option that plait got since then, at its default, is no difference.
    a, b = (flat(r.model_dump(by_alias=True, mode="json")) for r in (theirs, ours))
    keys = [k for k in dict.fromkeys([*a, *b]) if a.get(k) != b.get(k) and k != "train.seeds"]
    return [f"{key}: {_short(a.get(key))} there, {_short(b.get(key))} here" for key in keys]


def flat(tree: object, path: str = "") -> dict[str, object]:
    """The leaves of nested mappings by their dotted path.

    >>> flat({"train": {"seeds": [0], "lr": 0.1}})
    {'train.seeds': [0], 'train.lr': 0.1}
    """
    if not isinstance(tree, dict) or not tree:
        return {path: tree}
    return {k: v for key, value in tree.items() for k, v in flat(value, f"{path}.{key}" if path else str(key)).items()}


def _short(value: object) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _check_outside(folder: Path, recipe: Recipe) -> None:
    """Refuse to overwrite a run's folder that contains the corpus."""
    data = recipe.corpus.folder if isinstance(recipe.corpus, CorpusPlan) else recipe.corpus
    if Path(data).resolve().is_relative_to(folder.resolve()):
        raise ConfigError(f"{folder}: the corpus {data} lies inside; nothing is overwritten. Choose another --out.")


def _check_apart(run: Run, corpus: Corpus) -> None:
    """Refuse to delete a file that is named like one of the run's, but belongs to a recording."""
    streams = {corpus.folder / s.path for entry in corpus.entries for s in entry.streams.values() if s.path}
    # Links are resolved: one file can have two paths.
    real = {path.resolve() for path in _written(run)}
    inside = sorted(str(path) for path in streams if path.resolve() in real)
    if inside:
        named = f"{', '.join(inside[:3])}{' ...' * (len(inside) > 3)}"
        raise ConfigError(
            f"{run.folder}: {len(inside)} files of the corpus lie where the run keeps its own: {named}; nothing is "
            "overwritten. Move them, or choose another --out."
        )


def _written(run: Run) -> list[Path]:
    """The files in a run's folder that plait wrote."""
    folder = run.folder
    found = [folder / name for name in OURS]
    found += [page for page in folder.glob("on-*/*") if page.name in PAGES]
    if run.info.imported:
        found += [folder / MANIFEST, note_of(folder / MANIFEST)]
    for place in _places(run):
        found += [place / name for name in OURS_OF_A_REPLICATE]
        found += [*(place / "tensorboard").glob("events.out.tfevents.*"), place / "tensorboard/hparams.yaml"]
    return [path for path in found if path.is_file()]


def _places(run: Run) -> list[Path]:
    return [run.folder / name for name in (*(m.name for m in run.replicates), *run.info.held_out)]


def _sweep(run: Run) -> None:
    """Delete the files that plait wrote, recipe and mark last, then the folders that are empty."""
    last = (run.folder / "recipe.yaml", run.folder / "run.json")
    for path in _written(run):
        if path not in last:
            path.unlink()
    places = [part for place in _places(run) for part in (place / "checkpoints", place / "tensorboard", place)]
    for empty in (*places, *run.folder.glob("on-*")):
        with suppress(OSError):  # not empty: files of others stay
            empty.rmdir()
    # Last: a deletion that is cut off leaves a folder that is still known as a run, to overwrite again.
    for path in last:
        path.unlink()


def _write(
    folder: Path, experiment: Experiment, replicates: Sequence[Replicate], examples: bytes, held: Run | None
) -> None:
    recipe = experiment.recipe
    start, told = _start(folder, experiment, replicates, held), told_rates(experiment.corpus.entries)
    info = {
        "format": FORMAT,
        "recipe": digest_of(recipe),
        "examples": hashlib.sha256(examples).hexdigest(),
        "plait": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "corpus": str(experiment.corpus.path.resolve()),
        "imported": isinstance(recipe.corpus, CorpusPlan),
        "allow_outside": experiment.corpus.allow_outside,
        "replicates": [{"seed": m.seed, "fold": m.fold} for m in replicates],
        "modalities": experiment.streams,
        "features": experiment.features,
        "rates": {name: told[name] for name in experiment.streams.values() if name in told},
        "notes": experiment.notes,
        "items": len(experiment.items.items),
        "dropped": experiment.items.dropped,
        "folds": [
            {"name": f.name, **{p: sorted({i.recording for i in side}) for p, side in f.sides.items()}}
            for f in experiment.folds
        ],
        "from": start and start.model_dump(),
    }
    # The mark first: a claim cut off before it left nothing, one cut off after it is known as ours.
    write_text(folder / "run.json", json.dumps(info, indent=1, ensure_ascii=False), durable=True)
    with replacing(folder / EXAMPLES, durable=True) as part:
        part.write_bytes(examples)
    if not _says(folder / "recipe.yaml", recipe):  # comments that somebody wrote into it stay
        write_text(folder / "recipe.yaml", dump_recipe(recipe), durable=True)


def _says(path: Path, recipe: Recipe) -> bool:
    return path.exists() and parse_recipe(path.read_text(encoding="utf-8"), source=str(path)) == recipe


def _start(folder: Path, experiment: Experiment, replicates: Sequence[Replicate], held: Run | None) -> Beginning | None:
    start = WarmStart.of(experiment.recipe)
    if start is None:
        return None
    record = start.record(replicates)
    check_unchanged(folder, held.info.start if held else None, record)
    return record
