"""What would go wrong in training, found before any of it: what `plait check RECIPE` tells, `fit` refuses with.

Nothing is decoded and no feature computed: parts and their options, targets, sides and streams are looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plait.core.errors import ConfigError, DataError, gathering, raise_all
from plait.core.parts import build, find
from plait.core.progress import Progress
from plait.corpus.corpus import Corpus
from plait.examples.items import Fold
from plait.fusion import Fusion
from plait.importing.folder import import_folder
from plait.recipe import CorpusPlan, Recipe
from plait.tasks import Task
from plait.training.experiment import Experiment
from plait.training.full import full_recipe
from plait.training.warm_start import WarmStart

__all__ = ["refuse", "rehearse"]

SHOWN = 5
"""Values that a message names."""


def rehearse(recipe: Recipe, folder: Path, progress: Progress | None = None) -> Experiment:
    """A recipe met with its corpus, and all that `fit` would refuse refused.

    Args:
        recipe: as for `plait.training.fit.fit`.
        folder: for the manifest of a raw folder.
        progress: told of the files of a raw folder.

    Raises:
        ConfigError, DataError: what is wrong, as much as can be told at once.
    """
    full_recipe(recipe)
    experiment = Experiment.of(recipe, _corpus(recipe, folder, progress))
    refuse(experiment)
    return experiment


def _corpus(recipe: Recipe, folder: Path, progress: Progress | None) -> Corpus:
    if not isinstance(recipe.corpus, CorpusPlan):
        return Corpus(recipe.corpus, allow_outside=recipe.allow_outside)
    manifest = folder / "manifest.jsonl"
    import_folder(recipe.corpus.folder, out=manifest, options=recipe.corpus.options, progress=progress)
    return Corpus(manifest, allow_outside=True)


def refuse(experiment: Experiment) -> None:
    """Raise what is wrong with a recipe on its corpus, before anything is prepared or trained.

    Raises:
        ConfigError, DataError: all problems that can be told at once.
    """
    recipe, problems = experiment.recipe, list[str]()
    with gathering(problems):
        WarmStart.of(recipe)
    with gathering(problems):
        build(Fusion, recipe.fusion, experiment.modalities, recipe.model.get("dim", 128), where="fusion")
    if recipe.train.wide and (recipe.train.solver == "ridge" or not find(Task, experiment.task, "task")[0].linear):
        problems.append(
            "train.wide: true needs a task of linear heads, such as classify, regress or tag, and solver: adamw."
        )
    if recipe.train.stop == "early" and not all(fold.valid for fold in experiment.folds):
        problems.append("train.stop: early needs a validation part. Give split.valid, or stop: last.")
    raise_all(ConfigError, problems)
    if experiment.unit.get("asks") != "nothing" and not any(fold.test for fold in experiment.folds):
        experiment.notes.append("split: there is no test part; the model can be scored on another corpus only.")
    for fold in experiment.folds:
        with gathering(problems):
            _check_targets(experiment, fold)
        problems += _streams_of(experiment, fold)
    raise_all(DataError, list(dict.fromkeys(problems)))


def _check_targets(experiment: Experiment, fold: Fold) -> None:
    """The task takes the training targets, and names every class that it will be asked about."""
    if not fold.train or experiment.unit.get("asks") == "nothing":
        return
    where = f" of {fold.name}" if fold.name else ""
    task = build(Task, experiment.task, [i.target for i in fold.train], where="task")
    for side in ("train", "valid", "test"):
        strange = _strange(task, [i.target for i in getattr(fold, side)])
        if strange:
            what = "; ".join(list(strange)[:SHOWN]) + (" ..." if len(strange) > SHOWN else "")
            raise DataError(
                f"split: the {side} part{where} has {strange.total()} examples that cannot be scored: {what}"
            )


def _strange(task: Task, targets: list[Any]) -> Counter[str]:
    """What is wrong with targets that the task does not take, and how many are so."""
    strange: Counter[str] = Counter()
    try:
        task.encode(targets)
    except DataError:  # only now one by one: nearly always all are taken
        for target, count in Counter(targets).items():
            try:
                task.encode([target])
            except DataError as error:
                strange[error.problems[0]] += count
    return strange


def _streams_of(experiment: Experiment, fold: Fold) -> list[str]:
    """Parts without any stream, and modalities that no training example has."""
    where = f" of {fold.name}" if fold.name else ""
    entries = {e.id: e for e in experiment.corpus.entries}
    problems = []
    for m, stream in experiment.streams.items():
        if fold.train and not any(stream in entries[i.recording].streams for i in fold.train):
            problems.append(
                f"streams.{m}: no training example{where} has it. Take it out of the recipe or change the split."
            )
    wanted = set(experiment.streams.values())
    for side in ("valid", "test"):
        items: Sequence[Any] = getattr(fold, side)
        if items and not any(wanted & entries[i.recording].streams.keys() for i in items):
            problems.append(f"split: no example of the {side} part{where} has any of the streams {sorted(wanted)}.")
    return problems
