"""Find before training what would go wrong in it: `plait check RECIPE` reports it, and `fit` refuses to start.

No file is decoded and no feature computed; only parts, options, targets, sides and streams are checked.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from plait.core.errors import ConfigError, DataError, gathering, raise_all
from plait.core.parts import build, find
from plait.core.progress import Progress
from plait.corpus.corpus import Corpus
from plait.examples.items import Fold
from plait.examples.targets import Target
from plait.fusion import Fusion
from plait.importing.folder import import_folder
from plait.recipe import CorpusPlan, Recipe
from plait.tasks import Task
from plait.training.experiment import Experiment
from plait.training.full import full_recipe
from plait.training.irm import check_irm
from plait.training.warm_start import WarmStart

__all__ = ["refuse", "rehearse"]

SOME = 100
"""Items from which a forecast is built to check its options."""

SHOWN = 5
"""Most values that a message names."""


def rehearse(recipe: Recipe, folder: Path, progress: Progress | None = None) -> Experiment:
    """The experiment of a recipe, with every check that `fit` makes.

    Args:
        recipe: as for `plait.training.fit.fit`.
        folder: where the manifest of a raw folder is written.
        progress: called while a raw folder is imported.

    Raises:
        ConfigError, DataError: all problems that can be found at once.
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
    """Check a recipe on its corpus, before anything is prepared or trained.

    Raises:
        ConfigError, DataError: all problems that can be found at once.
    """
    recipe, problems = experiment.recipe, list[str]()
    with gathering(problems):
        WarmStart.of(recipe)
    # Built and thrown away: a fusion checks its options against the modalities only when it is built.
    with gathering(problems):
        build(Fusion, recipe.fusion, experiment.modalities, recipe.model.get("dim", 128), where="fusion")
    if recipe.train.wide and (recipe.train.solver == "ridge" or not find(Task, experiment.task, "task")[0].linear):
        problems.append(
            "train.wide: true needs a task with linear heads, such as classify, regress or tag, and solver: adamw."
        )
    if recipe.train.stop == "early" and not all(fold.valid for fold in experiment.folds):
        problems.append("train.stop: early needs a validation part. Give split.valid, or stop: last.")
    problems += check_irm(experiment)
    raise_all(ConfigError, problems)
    if experiment.unit.get("asks") != "nothing" and not any(fold.test for fold in experiment.folds):
        experiment.notes.append("split: there is no test part; the model can be scored on another corpus only.")
    for fold in experiment.folds:
        with gathering(problems):
            _check_targets(experiment, fold)
        problems += _streams_of(experiment, fold)
    raise_all(DataError, list(dict.fromkeys(problems)))


def _check_targets(experiment: Experiment, fold: Fold) -> None:
    """Refuse targets of any side that the task, built from the training targets, does not know."""
    if not fold.train or experiment.unit.get("asks") == "nothing":
        return
    where = f" of {fold.name}" if fold.name else ""
    if experiment.unit.get("asks") == "future":
        # Its targets are numbers of streams, which it takes all; only the options can be wrong.
        some = [i.target for i in fold.train[:: max(len(fold.train) // SOME, 1)]]
        build(Task, experiment.task, some, where="task")
        return
    task = build(Task, experiment.task, [i.target for i in fold.train], where="task")
    for side in ("train", "valid", "test"):
        strange = _strange(task, [i.target for i in fold.sides[side]])
        if strange:
            what = "; ".join(list(strange)[:SHOWN]) + (" ..." if len(strange) > SHOWN else "")
            raise DataError(
                f"split: the {side} part{where} has {strange.total()} examples that cannot be scored: {what}"
            )


def _strange(task: Task, targets: list[Target]) -> Counter[str]:
    """The problems of targets that the task does not take, each with its number of targets."""
    strange: Counter[str] = Counter()
    try:
        task.encode(targets)
    except DataError:  # one by one only after a failure: nearly always all are taken
        for target, count in Counter(targets).items():
            try:
                task.encode([target])
            except DataError as error:
                strange[error.problems[0]] += count
    return strange


def _streams_of(experiment: Experiment, fold: Fold) -> list[str]:
    """Modalities that no training example has, and sides in which no example has any stream."""
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
        items = fold.sides[side]
        if items and not any(wanted & entries[i.recording].streams.keys() for i in items):
            problems.append(f"split: no example of the {side} part{where} has any of the streams {sorted(wanted)}.")
    return problems
