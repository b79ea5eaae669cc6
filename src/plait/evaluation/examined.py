"""The replicates of a run with the items that they are tested on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from plait.augmentations import Vary
from plait.core.errors import DataError
from plait.core.progress import Progress
from plait.corpus.corpus import Corpus
from plait.evaluation.replicates import ReplicateOutput, main_of, paddings_of, same_steps, stacked
from plait.evaluation.schema import MissingRow, NoiseRow
from plait.evaluation.summary import subsets_of
from plait.examples.data import FeatureSource, ItemData, Swapped, loader
from plait.examples.items import Item
from plait.examples.units.around import base_of
from plait.models.model import Model
from plait.recipe import Recipe
from plait.store.store import Store
from plait.tasks import Task
from plait.training.experiment import Experiment, Features
from plait.training.noisy import NoisyFeatures
from plait.training.plans import held_by, plan_of
from plait.training.run import Replicate, Run
from plait.training.sides import Sides
from plait.transforms.noise import noise_named, noise_of

__all__ = ["Examination", "Examined", "output_of", "restricted", "score_subsets", "training_targets"]

Subset = tuple[str, ...]
Scores = NDArray[np.float64]


class Examination:
    """The finished replicates of a run, and what they are tested on: its test part, or the whole of another corpus.

    Args:
        run: a run with a finished replicate.
        cache: where prepared features are kept.
        corpus: the manifest of another corpus.
        progress: told of features being prepared.
        part: ``test``; or the part that something is chosen by: ``valid``, or ``train`` where there is no such part.

    Attributes:
        replicates: those that are scored.
        experiment: the run's, with its corpus or with another.
        new: examples that were added after the run was begun.

    Raises:
        DataError: as `plait.evaluate`.
    """

    def __init__(
        self,
        run: Run,
        cache: str | Path,
        corpus: str | Path | None,
        progress: Progress | None = None,
        *,
        part: str = "test",
    ) -> None:
        self.run, self.elsewhere, self.progress, self.part = run, corpus is not None, progress, part
        self.replicates = _scored(run)
        self.experiment, self.new = _experiment(run, corpus)
        self._store = Store(cache)
        wanted = {i.recording for i in _all_items(self.experiment, corpus, self.replicates, part)}
        self._features = self.experiment.prepare(self._store, wanted, progress=progress)

    def __len__(self) -> int:
        return len(self.replicates)

    def __iter__(self) -> Iterator[Examined]:
        for i, replicate in enumerate(self.replicates):
            if self.progress:
                self.progress(i, len(self), replicate.name)
            own = self.run, replicate, self.experiment, self._store, self._features
            yield Examined(*own, elsewhere=self.elsewhere, part=self.part)
        if self.progress:
            self.progress(len(self), len(self), "")


def score_subsets(
    model: Model,
    data: ItemData,
    subsets: Sequence[Subset],
    *,
    keep: Mapping[str, NDArray[np.bool_]] | None = None,
) -> dict[Subset, Scores]:
    """Scores of every item for each subset of modalities, as the task's ``scores`` gives them; encoders run once.

    Batches of timed answers may differ in their number of steps; they are padded to the longest.

    Args:
        keep: per modality [items], False where it is to be hidden.
    """
    found: dict[Subset, list[Scores]] = {s: [] for s in subsets}
    task = model.task
    model.eval()
    with torch.inference_mode():
        for tokens, _, index, at in loader(data, {m: model.dims[m] for m in data.modalities}, batch=64):
            if keep is not None:
                tokens = {
                    m: t._replace(mask=t.mask & torch.from_numpy(keep[m])[index][:, None]) for m, t in tokens.items()
                }
            encoded = model.encode(tokens)
            encoded = model.kept(encoded, at) if len(subsets) > 1 else encoded
            for subset in subsets:
                found[subset].append(task.scores(model.answer(encoded, subset, at)))
    padding, _ = paddings_of(task)
    return {s: stacked(o, padding) for s, o in found.items()}


def training_targets(task: Task, items: Sequence[Item]) -> NDArray[np.generic]:
    """The encoded targets of the training items, from which a task knows its best constant answer."""
    # A task that asks for the future has learned all that its baseline needs; a run does not keep such targets.
    kept = [] if task.asks in ("future", "relations") else [i.target for i in items]
    found: NDArray[np.generic] = task.encode(kept).numpy()
    return found


def output_of(
    model: Model,
    items: Sequence[Item],
    data: ItemData,
    train: NDArray[np.generic],
    replicate: Replicate,
    subsets: Sequence[Subset],
) -> ReplicateOutput:
    """What a model answers on some items with some subsets of its modalities.

    Args:
        items, data: what is asked, and its features and targets.
        train: the encoded training targets, for the best constant answer.
        replicate: which seed and fold the model is.
    """
    task = model.task
    found = score_subsets(model, data, subsets)
    outputs, target = _on_one_clock(task, found, data.targets.numpy())
    return ReplicateOutput(
        seed=replicate.seed,
        fold=replicate.fold,
        items=[i.id for i in items],
        recordings=[i.recording for i in items],
        groups=[i.group for i in items],
        target=target,
        present={m: data.present(m) for m in data.modalities},
        outputs=outputs,
        baseline=_constant(task.baseline(train, len(items)), target),
    )


class Examined:
    """One replicate of a run and its test items, or those of another ``part``."""

    def __init__(
        self,
        run: Run,
        replicate: Replicate,
        experiment: Experiment,
        store: Store,
        features: Features,
        *,
        elsewhere: bool,
        part: str = "test",
    ) -> None:
        self.experiment, self.store, self.features = experiment, store, features
        self.replicate, self.model = replicate, run.model(replicate)
        folds = Sides.read(run.folder, run.info.examples).folds() if elsewhere else experiment.folds
        fold = next(f for f in folds if f.name == replicate.fold)
        self.items = experiment.items.items if elsewhere else [*fold.sides[part]]
        self.asked = self.model.task.asked(self.items)
        self.target = self.asked.targets
        self.modalities = experiment.modalities
        self.elsewhere, self.number = elsewhere, run.replicates.index(replicate)
        self.train = training_targets(self.model.task, fold.train)
        self.data = self._data(features)

    def _data(self, source: FeatureSource) -> ItemData:
        return ItemData(self.items, source, self.asked, self.modalities)

    def output(self, subsets: Sequence[Subset] | None = None) -> ReplicateOutput:
        """Its scores with some subsets of its modalities, by default with all subsets."""
        task = self.model.task
        wanted = subsets or task.subsets(self.modalities) or subsets_of(self.modalities)
        # On another corpus each fold's model answers for all items, so each counts as a seed.
        one = Replicate(self.number, "") if self.elsewhere else self.replicate
        return output_of(self.model, self.items, self.data, self.train, one, wanted)

    def _metric(self, scores: Scores) -> float:
        task = self.model.task
        return main_of(task, *same_steps(task, scores, self.target.numpy()))

    def noise(self) -> list[NoiseRow]:
        """The main metric with noise on one modality: with all modalities, and with that one alone."""
        rows: list[NoiseRow] = []
        full = tuple(self.modalities)
        pool = tuple(dict.fromkeys(i.recording for i in self.items))
        plans = [(m, plan) for m, own in self.experiment.recipe.evaluate.noise.items() for plan in own]
        for modality, plan in plans:
            subsets = list(dict.fromkeys([full, (modality,)]))
            noise = noise_of(plan.kind)
            kind = noise_named(plan.kind)[0]
            for level in plan.levels:
                # The same seed for every replicate and level, so that curves differ by the level and not by the draw.
                noisy = NoisyFeatures(self.experiment, self.store, modality, plan.kind, (level, level), pool, seed=0)
                scores = score_subsets(self.model, self._data(Swapped(self.features, modality, noisy)), subsets)
                rows += [
                    {
                        "modality": modality,
                        "kind": kind,
                        "axis": noise.axis,
                        "rising": noise.rising,
                        "level": level,
                        "subset": list(s),
                        "value": self._metric(x),
                        "sd": None,
                    }
                    for s, x in scores.items()
                ]
        return rows

    def missing(self) -> list[MissingRow]:
        """The main metric with a share of all streams hidden at random."""
        full = tuple(self.modalities)
        rows: list[MissingRow] = []
        for share in self.experiment.recipe.evaluate.missing:
            # Seeded by the share as well: another share in the recipe does not change the rows of the others.
            rng = np.random.default_rng((self.replicate.seed, round(share * 1000)))
            keep = {m: rng.random(len(self.items)) >= share for m in self.modalities}
            scores = score_subsets(self.model, self.data, [full], keep=keep)[full]
            rows.append({"share": share, "value": self._metric(scores), "sd": None})
        return rows


def _scored(run: Run) -> list[Replicate]:
    """The finished replicates that can be pooled: those of the seeds with the most folds finished, and the same folds.

    If any seed has all its folds, only such seeds are used, and every example is answered.
    """
    # Seeds with unlike folds have unlike test items; no group could then be left out of all of them alike.
    folds: dict[int, list[str]] = {}
    for m in run.finished:
        folds.setdefault(m.seed, []).append(m.fold)
    if not folds:
        names = ", ".join(m.name for m in run.replicates)
        raise DataError(f"{run.folder}: no replicate is trained to its end ({names} not yet). Go on with: plait fit")
    most = max(folds.values(), key=len)
    return [m for m in run.finished if folds[m.seed] == most]


def _experiment(run: Run, corpus: str | Path | None) -> tuple[Experiment, int]:
    """The run's recipe with its corpus, or with another; and the number of examples that the run does not know."""
    recipe = run.recipe
    if corpus is None:
        return _own_experiment(run)
    other = Corpus(corpus, allow_outside=run.allow_outside)
    kept = list(held_by(other, recipe, run.info.modalities))
    if not kept:
        there = {name for entry in other.entries for name in entry.streams}
        wanted = ", ".join(run.info.modalities.values())
        raise DataError(f"{corpus}: has none of the run's streams ({wanted}); it has {', '.join(sorted(there))}.")
    # Not split: nobody trained on it, so all of it is a test.
    return Experiment.of(restricted(recipe, kept), other, split=False), 0


def _own_experiment(run: Run) -> tuple[Experiment, int]:
    kept = Sides.read(run.folder, run.info.examples)
    # The manifest of a raw folder was written into the run's folder, so all its files lie outside that.
    corpus = Corpus(run.info.corpus, allow_outside=run.allow_outside or run.info.imported)
    experiment = Experiment.begun(run.recipe, corpus, run.info.modalities, run.info.features)
    now = Sides.of(experiment.corpus, experiment.items.items, [])
    if changes := kept.changes(now):
        raise DataError(
            f"{run.folder}: {corpus.path} has changed since this run was begun: {'; '.join(changes)}. Its training "
            "part can no longer be told from its test part. Undo the change, or fit anew."
        )
    # The folds as they were begun with: dividing anew could move what was trained on into the test part.
    experiment.folds = kept.remember(experiment.items).folds()
    experiment.items = replace(experiment.items, items=kept.items)
    return experiment, kept.added(now)


def restricted(recipe: Recipe, modalities: Sequence[str]) -> Recipe:
    """The same recipe with some of its modalities only, without its settings for the others.

    >>> from plait.recipe import parse_recipe
    >>> recipe = parse_recipe("{corpus: m.jsonl, task: classify, augment: {random_gain: {see: 0.1, hear: 0.2}}}")
    >>> restricted(recipe, ["hear"]).augment.kinds["random_gain"]
    {'hear': 0.2}
    """
    own = recipe.model_copy(deep=True)
    # The plan of a context is its modality's, which may be left out here.
    own.streams = {m: own.streams.get(m) if base_of(m) in modalities else plan_of(own, m) for m in modalities}
    by_modality = Vary(own.augment.kinds).modalities
    chosen = [own.augment.kinds[name] for name, names in by_modality.items() if names]
    dropout = own.augment.modality_dropout
    for plan in (own.evaluate.noise, own.augment.noise, *chosen, *([dropout] if isinstance(dropout, dict) else [])):
        for m in set(plan) - set(modalities):
            del plan[m]
    return own


def _all_items(experiment: Experiment, corpus: object, replicates: Sequence[Replicate], part: str) -> list[Item]:
    if corpus is not None:
        return experiment.items.items
    return [i for fold in experiment.folds if fold.name in {m.fold for m in replicates} for i in fold.sides[part]]


def _on_one_clock(
    task: Task, outputs: Mapping[Subset, Scores], target: NDArray[np.generic]
) -> tuple[dict[Subset, Scores], NDArray[np.generic]]:
    """Timed answers and their targets, all with the same number of steps."""
    for scores in outputs.values():
        target = same_steps(task, scores, target)[1]
    return {s: same_steps(task, scores, target)[0] for s, scores in outputs.items()}, target


def _constant(baseline: Scores, target: NDArray[np.generic]) -> Scores:
    """A timed baseline with as many steps as the target: its last step is repeated, as all its steps are the same."""
    if baseline.ndim < 3 or target.ndim < 2:
        return baseline
    return baseline[:, np.minimum(np.arange(target.shape[1]), baseline.shape[1] - 1)]
