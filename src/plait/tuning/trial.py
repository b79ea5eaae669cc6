"""Train one recipe of a search as far as a rung, and measure it on validation items. The test part is not there."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from plait.core.errors import ConfigError
from plait.corpus.corpus import Corpus
from plait.evaluation.examined import output_of, training_targets
from plait.evaluation.replicates import ReplicateOutput
from plait.examples.data import ItemData, loader
from plait.examples.items import Item, find_items
from plait.examples.splits import Fold, fold_of, holds_back, homes, split_items
from plait.models.model import Model
from plait.recipe import Recipe, parse_recipe
from plait.store.store import Store
from plait.training.bands import fit_bands
from plait.training.experiment import Experiment, Features, default_split, open_corpus, task_and_unit
from plait.training.fit import Trained, train_fold
from plait.training.rehearsal import refuse
from plait.training.run import Replicate
from plait.training.thresholds import fit_thresholds
from plait.tuning.choice import Latency, Measured, figures

__all__ = ["Bench", "Job", "bytes_of", "latency", "measured"]

T = TypeVar("T")

PARTS = 4
"""Inner folds of a recipe without a validation part."""

KEPT = 4
"""Sets of items and features that are kept; as many as are often asked for in turn."""

TIMED, WARM = 30, 3
"""Items whose latency is measured, and items before them that are not."""


@dataclass(frozen=True)
class Job:
    """A trial to be trained to a rung; ``share``: of the whole training; ``recipe``: as YAML."""

    trial: int
    rung: int
    share: float
    recipe: str


@dataclass(frozen=True)
class Bench:
    """What all trials of a search share.

    Attributes:
        recipe: with its corpus and split written out.
        corpus: of the recordings of ``folds`` alone: no trial can open one of the test part.
        folds: whose ``valid`` side is what trials are measured on; the test side is empty.
    """

    folder: Path
    recipe: Recipe
    corpus: Corpus
    folds: list[Fold]
    store: Store
    _experiments: dict[str, Experiment] = field(default_factory=dict, compare=False, repr=False)
    _features: dict[str, Features] = field(default_factory=dict, compare=False, repr=False)

    def __getstate__(self) -> dict[str, object]:
        return {**vars(self), "_experiments": {}, "_features": {}}  # another process opens its own

    @classmethod
    def open(cls, recipe: Recipe, folder: Path, cache: str | Path) -> Bench:
        """Find the items to choose by: the validation part, or inner folds of the training part by its groups.

        Raises:
            ConfigError: the split holds back no test part, or there are fewer than two training groups.
            DataError: the corpus does not fit the recipe.
        """
        own = recipe.model_copy(deep=True)
        whole = open_corpus(own, folder)
        own.corpus, own.allow_outside = str(whole.path.resolve()), whole.allow_outside
        own.split = {k: v for k, v in (own.split or default_split(whole)).items() if k != "tune"}
        if not holds_back(own.split):
            raise ConfigError(
                "split: folds test every item, so nothing is held back on which the choice could be tested. Give "
                "a split with a test part, such as split={hash: group, test: 0.2}."
            )
        own.train.seeds = own.train.seeds[:1]
        folds = _folds(own, whole)
        seen = {item.recording for fold in folds for item in (*fold.train, *fold.valid)}
        return cls(folder, own, whole.only(seen), folds, Store(cache))

    @property
    def recordings(self) -> set[str]:
        return {entry.id for entry in self.corpus.entries}

    @property
    def chosen_on(self) -> str:
        """What trials are measured on, in words."""
        where = f"{len(self.folds)} inner folds of the training part" if self.folds[0].name else "the validation part"
        items = [item for fold in self.folds for item in fold.valid]
        return f"{where}: {len(items)} items of {len({item.group for item in items})} groups"

    def experiment(self, recipe: Recipe) -> Experiment:
        """The experiment of one recipe of the search, checked.

        Recipes that differ in the model or its training alone have the same items and features, which are found once:
        for short trainings that is most of the cost.

        Raises:
            ConfigError, DataError: the recipe cannot be trained on this corpus.
        """
        opened = partial(Experiment.of, recipe, self.corpus, split=False)
        found = replace(_kept(self._experiments, recipe, opened), recipe=recipe, folds=self.folds)
        refuse(found)
        return found

    def features(self, recipe: Recipe) -> Features:
        """The prepared features of one recipe of the search.

        Raises:
            ConfigError, DataError: as `experiment`.
        """
        prepared = partial(self.experiment(recipe).prepare, self.store, self.recordings, pack=True)
        return _kept(self._features, recipe, prepared)


def _kept(known: dict[str, T], recipe: Recipe, found: Callable[[], T]) -> T:
    """What belongs to a recipe's items and features; the oldest of `KEPT` is forgotten for it."""
    key = _data_of(recipe)
    if key not in known:
        while len(known) >= KEPT:
            del known[next(iter(known))]
        known[key] = found()
    return known[key]


def _data_of(recipe: Recipe) -> str:
    """What of a recipe its items and features depend on."""
    plain = recipe.model_dump(by_alias=True, mode="json", exclude={"model", "train", "fusion"})
    for plan in plain["streams"].values():
        (plan or {}).pop("encoder", None)
    return json.dumps(plain, sort_keys=True)


def _folds(recipe: Recipe, corpus: Corpus) -> list[Fold]:
    fold = _known_sides(recipe, corpus)
    if fold.valid:
        return [fold]
    count = Counter(item.group for item in fold.train)
    if len(count) < 2:
        raise ConfigError(
            f"split: {len(count)} groups are there to train on, so none can be held out to choose by. Give the "
            "training part more groups, or split.valid."
        )
    parts = min(PARTS, len(count))
    home = homes(count, parts, "tune")
    sides = [{g: "valid" if at == k else "train" for g, at in home.items()} for k in range(parts)]
    return [
        fold_of(fold.train, {i.recording: side[i.group] for i in fold.train}, f"tune{k + 1}")
        for k, side in enumerate(sides)
    ]


def _known_sides(recipe: Recipe, corpus: Corpus) -> Fold:
    """The training and the validation part; a test recording is known by its line in the manifest alone."""
    _, unit = task_and_unit(recipe)
    if "name" in recipe.split:  # the user's own split may divide recordings, so it must see the items
        (fold,) = split_items(find_items(corpus, unit).items, corpus, recipe.split)
        return Fold(fold.train, fold.valid, [])
    lines = [Item(e.id, 0.0, 1.0, 0, e.group or e.id, e.split or "", whole=True) for e in corpus.entries]
    (fold,) = split_items(lines, corpus, recipe.split)
    side = {item.recording: item.split for item in (*fold.train, *fold.valid)}
    return fold_of(find_items(corpus.only(side), unit).items, side)


def measured(bench: Bench, job: Job) -> Measured:
    """Train a job from the checkpoint of the rung below, and measure it.

    Raises:
        ConfigError, DataError: its recipe cannot be trained on this corpus.
    """
    began = time.process_time()
    recipe = parse_recipe(job.recipe, source=f"trial {job.trial}")
    experiment, features, seed = bench.experiment(recipe), bench.features(recipe), recipe.train.seeds[0]
    outputs, models = list[ReplicateOutput](), list[tuple[Model, ItemData]]()
    for fold in bench.folds:
        one = Replicate(seed, fold.name, job.share)
        place = bench.folder / "trials" / str(job.trial) / one.name
        trained = train_fold(experiment, fold, features, one, bench.store, place, True)
        model, valid = _finished(trained)
        models.append((model, valid))
        train = training_targets(model.task, fold.train)
        outputs.append(output_of(model, fold.valid, valid, train, one, [tuple(experiment.modalities)]))
    (model, valid), *_ = models
    return {
        **figures(model.task, outputs),
        "trial": job.trial,
        "rung": job.rung,
        "latency": latency(model, valid),
        "size": bytes_of(model),
        "streams": len(model.modalities),
        "seconds": time.process_time() - began,
    }


def _finished(trained: Trained) -> tuple[Model, ItemData]:
    """The model with all that a fit takes from a validation part, and the validation items."""
    if trained.valid is None:
        raise ConfigError("a fold of a search has no validation items.")
    fit_bands([(trained.model, trained.valid)])
    fit_thresholds(trained.model, trained.valid)
    return trained.model.eval(), trained.valid


def latency(model: Model, data: ItemData) -> Latency:
    """Milliseconds of processor from the prepared features of one item to its scores, items one at a time."""
    dims, spent = {m: model.dims[m] for m in data.modalities}, list[float]()
    with torch.inference_mode():
        for batch in itertools.islice(itertools.cycle(loader(data, dims, batch=1)), TIMED + WARM):
            # Processor time, as other jobs on the machine do not count.
            began = time.process_time()
            model.task.scores(model.answer(model.encode(batch.inputs), None, batch.at))
            spent.append(1e3 * (time.process_time() - began))
    low, median, high = (float(x) for x in np.percentile(spent[WARM:], [10, 50, 90]))
    return {"median": median, "low": low, "high": high}


def bytes_of(model: Model) -> int:
    """Bytes of the weights, as they are kept."""
    return sum(t.numel() * t.element_size() for t in model.state_dict().values())
