"""Fit a recipe: one replicate per seed and fold, each resumable, all in one run folder."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from plait.augmentations import Vary
from plait.core.atomic import write_text
from plait.core.errors import ConfigError, DataError, raise_all
from plait.core.jobs.outcomes import Died, Failed
from plait.core.jobs.work import each
from plait.core.parts import find
from plait.core.progress import Progress
from plait.examples.data import ItemData, Noisy, Swapped
from plait.examples.items import Fold
from plait.models.model import Model
from plait.recipe import Recipe, quick_recipe
from plait.store.store import CACHE, Store
from plait.tasks import Task
from plait.training.alarms import Alarm
from plait.training.bands import fit_bands
from plait.training.build import build_model, item_data, widens
from plait.training.claim import claim
from plait.training.closed_form import fit_closed_form
from plait.training.complete import begin, complete
from plait.training.experiment import Experiment, Features, open_corpus
from plait.training.held_out import can_hold_out, hold_out, parts_of
from plait.training.irm import environments_of
from plait.training.lock import locked
from plait.training.noisy import noisy_sources
from plait.training.preparation import Preparation
from plait.training.run import Replicate, Run, digest_of, held_out_name
from plait.training.sides import Sides
from plait.training.temperatures import fit_postprocessing, fit_temperatures
from plait.training.thresholds import fit_thresholds
from plait.training.warm_start import WarmStart

__all__ = ["Trained", "fit", "train_fold", "train_held_out", "train_replicate"]

FACTORS = "factors.json"
"""File of the factors that a held-out model was calibrated to."""


def fit(
    recipe: Recipe,
    out: str | Path,
    *,
    cache: str | Path = CACHE,
    jobs: int = 1,
    overwrite: bool = False,
    quiet: bool = False,
    quick: bool = False,
    progress: Progress | None = None,
) -> Run:
    """Train every replicate of a recipe, and keep everything that it needs in ``out``.

    Called again with the same recipe, it resumes where it was cut off and reaches the same numbers.

    Args:
        recipe: what to train.
        out: the run's folder.
        cache: where prepared features are kept.
        jobs: processes; each trains one replicate at a time.
        overwrite: start anew if ``out`` holds the run of another recipe.
        quiet: no progress bars in training.
        quick: the quick model instead of the recipe's own (`plait.recipe.quick_recipe`).
        progress: called while features are prepared.

    Raises:
        ConfigError: ``out`` holds the run of another recipe (the message names the keys that differ), or files that
            are not a run's; the corpus has changed since the run began; another process trains it.
        DataError: the corpus does not fit the recipe.
    """
    folder, recipe = Path(out), quick_recipe(recipe) if quick else recipe
    with locked(folder):
        experiment = claim(folder, recipe, overwrite=overwrite)
        features = experiment.prepare(Store(cache), pack=True, jobs=jobs, progress=progress)
        if progress:
            progress(0, 0, "")  # ends the bar: training has a bar of its own
        run = Run(folder)
        for replicate in run.finished:
            run.done(replicate)  # raises where it is damaged, or of another recipe
        todo = [m for m in run.replicates if m not in run.finished]
        # Once per fold and first: otherwise parallel replicates of a fold would all train it.
        without = {m.fold: m for m in reversed(run.replicates) if _needs_held_out(experiment, _fold(experiment, m))}
        work = [(train_held_out, list(without.values()) if todo else []), (train_replicate, todo)]
        _recall_folds(experiment, run)  # as another process would read them
        opened = Opened(run, experiment, features)
        for train, replicates in work:
            _each(train, replicates, folder, cache, jobs, quiet, opened)
    return Run(folder, allow_code=True, allow_outside=recipe.allow_outside)  # the caller's own recipe


class Opened(NamedTuple):
    """A claimed run with its experiment and features, which all its replicates share."""

    run: Run
    experiment: Experiment
    features: Features


def _open(folder: str | Path, cache: str | Path) -> Opened:
    """Open a run in a process that has only its folder."""
    run = Run(folder)
    corpus = open_corpus(run.recipe, run.folder)
    experiment = Experiment.begun(run.recipe, corpus, run.info.modalities, run.info.features)
    _recall_folds(experiment, run)
    return Opened(run, experiment, experiment.prepare(Store(cache), pack=True))


def _recall_folds(experiment: Experiment, run: Run) -> None:
    experiment.folds = Sides.read(run.folder, run.info.examples).remember(experiment.items).folds()


def _each(
    work: Callable[..., None],
    replicates: Sequence[Replicate],
    folder: Path,
    cache: str | Path,
    jobs: int,
    quiet: bool,
    opened: Opened,
) -> None:
    """Train the replicates, in parallel processes if there are several jobs and several replicates.

    Raises:
        DataError: the problems of those that failed, after all others have finished.
    """
    if jobs <= 1 or len(replicates) < 2:
        for replicate in replicates:
            work(str(folder), replicate, str(cache), quiet, opened)
        return
    problems: list[str] = []
    there = partial(_elsewhere, work, str(folder), str(cache))
    # Closed, so that an interrupt ends the processes at once.
    with closing(each(there, replicates, jobs=jobs)) as outcomes:
        for replicate, outcome in outcomes:
            problems += [f"{replicate.name}: {problem}" for problem in _problems(outcome)]
    raise_all(DataError, problems)


def _elsewhere(work: Callable[..., None], folder: str, cache: str, replicate: Replicate) -> None:
    """Call ``work`` in another process, which opens the run itself."""
    work(folder, replicate, cache, True)


def _problems(outcome: Died | Failed | None) -> Sequence[str]:
    if isinstance(outcome, Died):
        return [f"{outcome}: give fewer --jobs."]
    return outcome.problems if outcome else ()


def train_replicate(
    run_folder: str, replicate: Replicate, cache: str, quiet: bool, opened: Opened | None = None
) -> None:
    """Train one replicate of a claimed run to its end, from its checkpoint if there is one."""
    run, experiment, features = opened = opened or _open(run_folder, cache)
    fold, place = _fold(experiment, replicate), run.folder / replicate.name
    started = time.monotonic()
    trained = train_fold(experiment, fold, features, replicate, Store(cache), place, quiet)
    if trained.valid is not None:  # last: both depend on all other factors
        fit_bands([(trained.model, trained.valid)])
        fit_thresholds(trained.model, trained.valid)
    if _needs_held_out(experiment, fold):
        train_held_out(run_folder, replicate, cache, quiet, opened)
        trained.model.set_factors(run.factors(replicate.fold))
    trained.model.save(place)
    Preparation.of(run).write(place)
    done = {
        "recipe": digest_of(run.recipe),
        "log": trained.log,
        "warnings": [*trained.warnings],
        "seconds": round(time.monotonic() - started, 1),
        "parameters": _count(trained.model),
        **({} if trained.copied is None else {"copied": trained.copied}),
    }
    # Last: a replicate is finished once this file is there.
    write_text(place / "done.json", json.dumps(done), durable=True)


def train_held_out(
    run_folder: str, replicate: Replicate, cache: str, quiet: bool, opened: Opened | None = None
) -> None:
    """Train a held-out model for a fold without a validation part, and keep the calibration of its heads.

    It is trained like the fold's replicates, but without some groups of the training part. Its calibration on those
    groups is used for the replicates, whose own training items would make them look too confident. For a task that
    ``cross_fits`` there is such a model for each quarter of the groups.
    """
    place = Path(run_folder) / held_out_name(replicate.fold)
    if (place / FACTORS).exists():
        return
    run, experiment, features = opened or _open(run_folder, cache)
    task = find(Task, experiment.task, "task")[0]
    values, whole = task.is_numeric, _fold(experiment, replicate)
    models, held = list[Model](), list[tuple[Model, ItemData]]()
    for part in range(parts_of(whole) if task.cross_fits else 1):
        fold = hold_out(whole, classes=not values and task.asks == "label", part=part)
        folder = place / f"part-{part}" if part else place
        trained = train_fold(experiment, fold, features, replicate, Store(cache), folder, quiet, ranking=values)
        models.append(trained.model)
        if trained.valid is not None:
            held.append((trained.model, trained.valid))
    fit_bands(held)
    if len(held) == 1:
        fit_thresholds(*held[0], indirect=True)
    found = {"recipe": digest_of(run.recipe), "factors": models[0].factors()}
    write_text(place / FACTORS, json.dumps(found), durable=True)


def _calibrates(experiment: Experiment) -> bool:
    asked = experiment.unit.get("asks") != "nothing" and find(Task, experiment.task, "task")[0].calibrated
    return experiment.recipe.train.temperature_scaling and asked


def _needs_held_out(experiment: Experiment, fold: Fold) -> bool:
    descends = experiment.recipe.train.solver == "adamw"  # ridge regression has its own predictions for left-out items
    return descends and _calibrates(experiment) and not fold.valid and can_hold_out(fold)


def _fold(experiment: Experiment, replicate: Replicate) -> Fold:
    return next(f for f in experiment.folds if f.name == replicate.fold)


class Trained(NamedTuple):
    """A trained model, its log, the parts that it copied from another run, the validation part if there is one, and
    warnings."""

    model: Model
    log: dict[str, list[float]]
    copied: list[str] | None
    valid: ItemData | None = None
    warnings: Sequence[Alarm] = ()


def train_fold(
    experiment: Experiment,
    fold: Fold,
    features: Features,
    replicate: Replicate,
    store: Store,
    place: Path,
    quiet: bool,
    *,
    ranking: bool = True,
    smaller: Sequence[Model] = (),
) -> Trained:
    """Train a fresh model for a fold with the seed of ``replicate``; checkpoints go to ``place``.

    If the fold has a validation part, the model is calibrated on it (``ranking``: see `fit_temperatures`). ``smaller``:
    models that are trained with it, on slices of its weights (`plait.training.sandwich`).
    """
    plan = experiment.recipe
    torch.set_num_threads(plan.train.threads)
    if plan.train.solver == "ridge":
        solved = _closed_form(experiment, fold, features, replicate)
        held = item_data(experiment, fold.valid, features, solved.model.task) if fold.valid else None
        return solved._replace(valid=held)
    from plait.training.trainer import train_model  # here, since Lightning takes seconds to import

    torch.manual_seed(replicate.seed)
    start = WarmStart.of(plan)
    model, data = build_model(experiment, fold, features, start)
    copied = None if start is None else start.begin(model, replicate, fold, experiment)
    if copied and plan.model.get("freeze"):
        model.backbone.freeze([part for own in copied.values() for part in own])
    begin(model, data)
    noisy = noisy_sources(experiment, store, sorted({i.recording for i in fold.train}))
    train_data = ItemData(fold.train, features, data.asked, experiment.modalities, noisy=noisy)
    valid = item_data(experiment, fold.valid, features, model.task) if fold.valid else None
    irm = plan.train.irm
    places = None if irm is None else environments_of(experiment, fold.train, irm.environments)
    log, warnings = train_model(
        place,
        model,
        train_data,
        valid,
        recipe=plan,
        replicate=replicate,
        quiet=quiet,
        environments=places,
        smaller=smaller,
    )
    complete(model, data, valid)
    # After the deep model: its checkpoints hold the deep part alone, and resuming repeats this cheap fit.
    longest = max(train_data.typical_length(m) for m in model.modalities)
    if widens(plan, linear=model.task.linear, longest=longest, columns=max(model.dims.values())):
        quick = replace(experiment, recipe=quick_recipe(plan))
        model.widen(_closed_form(quick, fold, features, replicate, train_data, Vary(plan.augment.kinds)).model)
    if valid is not None and _calibrates(experiment):
        views, shares = _views(experiment, fold, features, model.task, noisy, valid)
        fit_temperatures(model, views, shares, ranking=ranking)
        fit_postprocessing(model, valid)
    return Trained(model, log, None if copied is None else [*copied], valid, warnings)


def _closed_form(
    experiment: Experiment,
    fold: Fold,
    features: Features,
    replicate: Replicate,
    noisy: ItemData | None = None,
    vary: Vary | None = None,
) -> Trained:
    """Fit a fresh model for a fold in closed form, on ``noisy`` instead of the plain items if given."""
    if experiment.recipe.model.get("from") is not None:
        raise ConfigError(
            "model.from: train.solver: ridge cannot start from a trained model. Leave one of the two out."
        )
    torch.manual_seed(replicate.seed)
    model, plain = build_model(experiment, fold, features)
    data = plain if noisy is None else noisy
    return Trained(model, fit_closed_form(model, data, seed=replicate.seed, vary=vary), None)


def _views(
    experiment: Experiment,
    fold: Fold,
    features: Features,
    task: Task,
    noisy: Noisy,
    valid: ItemData,
) -> tuple[list[ItemData], list[float]]:
    """The validation items, clean and under each noise of the training, and how often training saw each version."""
    views, shares = [valid], [float(np.prod([1 - sum(share for share, _ in groups) for groups in noisy.values()]))]
    for m, share, copies in ((m, *group) for m, groups in noisy.items() for group in groups):
        views += [item_data(experiment, fold.valid, Swapped(features, m, source), task) for source in copies]
        shares += [share / len(copies)] * len(copies)
    return views, shares


def _count(model: Model) -> int:
    return sum(p.numel() for p in model.parameters())
