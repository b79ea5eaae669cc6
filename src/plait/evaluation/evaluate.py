"""Evaluate a run: every subset of its modalities from the same model, nothing retrained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray

from plait.augmentations import Vary
from plait.core.errors import DataError
from plait.core.parts import foreign_code
from plait.core.progress import Progress
from plait.corpus.corpus import Corpus
from plait.evaluation.deletion import Effect, deletion_of, effects_of
from plait.evaluation.facts import about_of, made_with, parts_of
from plait.evaluation.replicates import ReplicateOutput, main_of, paddings_of, same_steps, stacked
from plait.evaluation.schema import Curve, DataFacts, Evaluation, MissingRow, NoiseRow
from plait.evaluation.summary import subsets_of, summarise
from plait.examples.data import FeatureSource, ItemData, Swapped, loader
from plait.examples.items import Item
from plait.examples.units.around import base_of
from plait.models.model import Model
from plait.recipe import Recipe, dump_recipe
from plait.store.store import CACHE, Store
from plait.tasks import Task
from plait.training.experiment import Experiment, Features
from plait.training.noisy import NoisyFeatures
from plait.training.plans import held_by, plan_of
from plait.training.run import Replicate, Run
from plait.training.sides import Sides
from plait.transforms.noise import noise_named, noise_of

__all__ = ["Examined", "evaluate", "restricted", "score_subsets"]

Subset = tuple[str, ...]
Scores = NDArray[np.float64]


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


def evaluate(
    run: Run | str | Path,
    *,
    cache: str | Path = CACHE,
    corpus: str | Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score every finished replicate on its test part, or on the whole of another corpus.

    The test part is the one that the run was begun with, even if the corpus has changed.

    Args:
        run: see `plait.fit`; or its folder.
        cache: where prepared features are kept.
        corpus: the manifest of another corpus; its streams may be fewer than the run's.
        progress: told of features being prepared, and of replicates scored.

    Returns:
        The evaluation, all that the report shows, ready for JSON: subsets, intervals, baseline, classes and groups,
        parts, confusion, calibration, robustness, training, versions and date. ``unfinished``: replicates that are not
        fully trained, and so not scored. ``data.new``: the number of examples that were added after the run was begun,
        and so are not scored.

    Raises:
        DataError: no replicate is finished, the run's examples have changed since it was begun (the message says which
            and how), or the other corpus has none of the run's streams.
    """
    run = run if isinstance(run, Run) else Run(run)
    with foreign_code(run.allow_code):
        return _evaluated(run, cache, corpus, progress)


def _evaluated(run: Run, cache: str | Path, corpus: str | Path | None, progress: Progress | None) -> Evaluation:
    replicates = _scored(run)
    experiment, new = _experiment(run, corpus)
    store = Store(cache)
    wanted = {i.recording for i in _all_items(experiment, corpus, replicates)}
    features = experiment.prepare(store, wanted, progress=progress)
    outputs, noise, missing, trained_on = [], [], [], []
    effects: list[Effect] = []
    for i, replicate in enumerate(replicates):
        if progress:
            progress(i, len(replicates), replicate.name)
        one = Examined(run, replicate, experiment, store, features, elsewhere=corpus is not None)
        outputs.append(one.output())
        trained_on.append(len(one.train))
        noise += one.noise()
        missing += one.missing()
        effects += effects_of(one.model, one.data, seed=replicate.seed)
    if progress:
        progress(len(replicates), len(replicates), "")
    first = run.model(replicates[0])
    sections: dict[str, object] = {
        "parts": parts_of(experiment, trained_on, elsewhere=corpus is not None),
        **made_with(),
        "robustness": {"noise": _mean(noise), "missing": _mean(missing)},
        "training": {"seeds": [_curve(run, m, first.task.main_metric) for m in replicates]},
        "recipe_yaml": dump_recipe(run.recipe),
        "data": {**_data_section(experiment), "new": new},
        "unfinished": [m.name for m in run.replicates if m not in replicates],
    }
    if (deletion := deletion_of(effects)) is not None:
        sections["deletion"] = deletion
    about = {"run": run.folder.name, **about_of(experiment)}
    return summarise(first.task, outputs, about=about, sections=sections)


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


def _curve(run: Run, replicate: Replicate, metric: str) -> Curve:
    """A replicate's epochs, for the plots of the report."""
    log = run.done(replicate).log
    return cast(Curve, {"replicate": replicate.name, **log, "valid": log.get(f"valid_{metric}")})


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
    for plan in (own.evaluate.noise, own.augment.noise, *chosen):
        for m in set(plan) - set(modalities):
            del plan[m]
    return own


def _all_items(experiment: Experiment, corpus: object, replicates: Sequence[Replicate]) -> list[Item]:
    if corpus is not None:
        return experiment.items.items
    return [i for fold in experiment.folds if fold.name in {m.fold for m in replicates} for i in fold.test]


def _data_section(experiment: Experiment) -> DataFacts:
    recordings = {i.recording for i in experiment.items.items}
    entries = [e for e in experiment.corpus.entries if e.id in recordings]
    lacking = {m: sum(s not in e.streams for e in entries) for m, s in experiment.streams.items()}
    return {"recordings": len(entries), "dropped": experiment.items.dropped, "missing_streams": lacking}


class Examined:
    """One replicate of a run and its test items."""

    def __init__(
        self,
        run: Run,
        replicate: Replicate,
        experiment: Experiment,
        store: Store,
        features: Features,
        *,
        elsewhere: bool,
    ) -> None:
        self.experiment, self.store, self.features = experiment, store, features
        self.replicate, self.model = replicate, run.model(replicate)
        folds = Sides.read(run.folder, run.info.examples).folds() if elsewhere else experiment.folds
        fold = next(f for f in folds if f.name == replicate.fold)
        self.items = experiment.items.items if elsewhere else fold.test
        self.asked = self.model.task.asked(self.items)
        self.target = self.asked.targets
        self.modalities = experiment.modalities
        self.elsewhere, self.number = elsewhere, run.replicates.index(replicate)
        # A task that asks for the future has learned all that its baseline needs; a run does not keep such targets.
        kept = [] if self.model.task.asks in ("future", "relations") else [i.target for i in fold.train]
        self.train = self.model.task.encode(kept).numpy()
        self.data = self._data(features)

    def _data(self, source: FeatureSource) -> ItemData:
        return ItemData(self.items, source, self.asked, self.modalities)

    def output(self, subsets: Sequence[Subset] | None = None) -> ReplicateOutput:
        """Its scores with some subsets of its modalities, by default with all subsets."""
        task, count = self.model.task, len(self.items)
        found = score_subsets(
            self.model, self.data, subsets or task.subsets(self.modalities) or subsets_of(self.modalities)
        )
        outputs, target = _on_one_clock(task, found, self.target.numpy())
        return ReplicateOutput(
            # On another corpus each fold's model answers for all items, so each counts as a seed.
            seed=self.number if self.elsewhere else self.replicate.seed,
            fold="" if self.elsewhere else self.replicate.fold,
            items=[i.id for i in self.items],
            recordings=[i.recording for i in self.items],
            groups=[i.group for i in self.items],
            target=target,
            present={m: self.data.present(m) for m in self.modalities},
            outputs=outputs,
            baseline=_constant(task.baseline(self.train, count), target),
        )

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


Row = TypeVar("Row", NoiseRow, MissingRow)


def _mean(rows: list[Row]) -> list[Row]:
    """Rows that differ in ``value`` only become one row, with mean and standard deviation."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        # By their text, since a row holds a list and cannot be a key.
        found.setdefault(repr({k: v for k, v in row.items() if k != "value"}), []).append(row)
    return [_averaged(alike) for alike in found.values()]


def _averaged(rows: list[Row]) -> Row:
    values = [math.nan if row["value"] is None else row["value"] for row in rows]
    mean = rows[0].copy()
    mean["value"], mean["sd"] = float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None
    return mean
