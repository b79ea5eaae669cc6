"""`plait compare`: which modalities to fuse and how, by experiment, under one budget and on the same items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch

from plait.comparison.advice import advise
from plait.comparison.costs import item_seconds, step_bytes
from plait.comparison.schema import VERSION, Comparison, Costs, Failure, Numbers, Streams, VariantRow
from plait.comparison.scores import key_of, merged, scored, subsets_for
from plait.comparison.train import Job, train_all, unfinished
from plait.comparison.variants import QUICK, Variant, chosen_by, own_of, variants_of
from plait.core.errors import ConfigError, DataError, raise_all
from plait.core.parts import Spec
from plait.core.progress import Progress
from plait.evaluation.examined import Examined
from plait.evaluation.facts import about_of, made_with
from plait.evaluation.replicates import ReplicateOutput
from plait.evaluation.summary import plain, task_facts
from plait.examples.data import Asked, ItemData
from plait.examples.items import split_items
from plait.examples.splits import holds_back
from plait.recipe import Recipe, dump_recipe
from plait.store.store import Store
from plait.streams.clock import Grid
from plait.training.claim import claim
from plait.training.experiment import Experiment, Features, open_corpus
from plait.training.lock import locked
from plait.training.run import Done, Replicate, Run

__all__ = ["Candidates", "compare"]


@dataclass(frozen=True)
class Candidates:
    """What is compared, and on what.

    Attributes:
        fusions: names or specs of fusions, beside late, early (``concat``), intermediate (``shared``) and the recipe's.
        without: whether each modality is left out in turn too (only where there are three or more).
        only: names of the variants wanted, if not all.
        tune: folds of the training part to choose by; None for the recipe's own number, else 4.
    """

    fusions: Sequence[Spec] = ()
    without: bool = False
    only: Sequence[str] | None = None
    tune: int | None = None


def compare(
    recipe: Recipe,
    out: str | Path,
    *,
    cache: str | Path,
    candidates: Candidates = Candidates(),
    jobs: int = 1,
    cluster: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Comparison:
    """Train each modality alone, several fusions of all and the quick model, and say which to take and why.

    All have the recipe's budget: its epochs, batches, seeds. The choice is made on folds of the training part, so that
    the test part is not looked at; if the recipe's split is folds, on those. Each variant is an ordinary run in
    ``out``/variants. A comparison that was cut off is resumed by the same call, and gives the same numbers; with more
    candidates, only the new ones are trained.

    Args:
        recipe: of two modalities or more.
        out: folder of the comparison.
        cache: where prepared features are kept.
        candidates: what is compared.
        jobs: processes, each training one replicate (a variant, a seed, a fold) at a time.
        cluster: instead, a Ray cluster: ``local``, ``auto`` or an address. It must see ``out``, the corpus
            and ``cache``.
        overwrite: train anew where ``out`` holds variants of another recipe.
        progress: told of features prepared, replicates trained and replicates scored.

    Returns:
        The comparison, ready for JSON: values and paired differences of all variants, their costs, facts of the
        streams, what failed, and the advice. `plait.comparison.report.save_comparison` writes it.

    Raises:
        ConfigError: fewer than two modalities, unknown fusions, ``out`` holds another comparison; before any training.
        DataError: the corpus cannot be used as the recipe says, or no variant could be fully trained.
    """
    folder = Path(out)
    with locked(folder), ExitStack() as runs:
        variants, base, folders = _claimed(recipe, folder, candidates, overwrite, runs)
        return _compared(recipe, variants, base, folders, Store(cache), jobs, cluster, progress)


def _claimed(
    recipe: Recipe, folder: Path, candidates: Candidates, overwrite: bool, runs: ExitStack
) -> tuple[list[Variant], Experiment, dict[str, Path]]:
    """The variants to train, each a run in a folder of its own, locked until ``runs`` is closed."""
    base = _opened(recipe, folder, candidates.tune)
    wanted = variants_of(
        base.recipe, base.modalities, fusions=candidates.fusions, without=candidates.without, only=candidates.only
    )
    folders = {v.name: folder / "variants" / v.name for v in wanted}
    _claim_all(wanted, folders, base, overwrite, runs)
    return wanted, base, folders


def _compared(
    recipe: Recipe,
    wanted: Sequence[Variant],
    base: Experiment,
    folders: Mapping[str, Path],
    store: Store,
    jobs: int,
    cluster: str | None,
    progress: Progress | None,
) -> Comparison:
    # Packed: the replicates of all variants read the same features again in every epoch.
    features = base.prepare(store, pack=True, jobs=jobs, cluster=cluster, progress=progress)
    todo, total = unfinished(folders)
    cache, shared = store.folder.resolve(), [base.corpus.path.resolve(), store.folder.resolve()]
    failed = train_all(todo, cache, shared=shared, jobs=jobs, cluster=cluster, progress=progress, total=total)
    # A variant with any replicate missing is left out: its mean would be over other folds than that of the rest.
    kept = [v for v in wanted if v.name not in {job.variant for job in failed}]
    if not kept:
        raise DataError([*dict.fromkeys(f"{job.name}: {why}" for job, why in failed.items())])
    # Code is allowed, as these runs were just written from the user's own recipe.
    examined = _Examination({v: Run(folders[v.name], allow_code=True) for v in kept}, base, store, features)
    numbers = examined.result(failed, own_of(wanted, recipe), progress)
    return {**numbers, "advice": advise(numbers)}  # type: ignore[typeddict-item]  # mypy wants the key of --json only


def _opened(recipe: Recipe, folder: Path, tune: int | None) -> Experiment:
    """The recipe with its corpus and the folds to choose by; a raw folder is imported once, for all variants."""
    own = recipe.model_copy(deep=True)
    folder.mkdir(parents=True, exist_ok=True)
    corpus = open_corpus(own, folder)
    # Absolute, since each variant is a run in a folder of its own.
    own.corpus, own.allow_outside = str(corpus.path.resolve()), corpus.allow_outside
    own.split = chosen_by(own, corpus, tune)
    experiment = Experiment.of(own, corpus)
    if own.train.stop == "early" and not all(fold.valid for fold in experiment.folds):
        raise ConfigError("train.stop: early needs a validation part. Give split.valid, or stop: last.")
    return experiment


def _of_variant(base: Experiment, variant: Variant) -> Experiment:
    """The same experiment, with the variant's recipe and modalities."""
    streams = {m: base.streams[m] for m in variant.modalities}
    features = {m: base.features[m] for m in variant.modalities}
    return replace(base, recipe=variant.recipe, streams=streams, features=features)


def _claim_all(
    variants: Sequence[Variant], folders: Mapping[str, Path], base: Experiment, overwrite: bool, runs: ExitStack
) -> None:
    """Make every variant a run; all folders that hold another recipe's run are told at once."""
    problems: list[str] = []
    for variant in variants:
        try:
            runs.enter_context(locked(folders[variant.name]))
            claim(folders[variant.name], variant.recipe, _of_variant(base, variant), overwrite=overwrite)
        except ConfigError as error:
            problems += error.problems
    raise_all(ConfigError, problems)


class _Examination:
    """Trained variants, asked for their answers."""

    def __init__(self, runs: Mapping[Variant, Run], base: Experiment, store: Store, features: Features) -> None:
        self.runs, self.base, self.store, self.features = dict(runs), base, store, features
        self.seconds: dict[str, list[float]] = {v.name: [] for v in runs}

    def result(self, failed: Mapping[Job, str], own: str | None, progress: Progress | None) -> Numbers:
        """All numbers and facts of the comparison, ready for JSON."""
        replicates, base, recipe = self.replicates, self.base, self.base.recipe
        outputs = []
        for i, replicate in enumerate(replicates):
            if progress:
                progress(i, len(replicates), f"score {replicate.name}")
            outputs.append(self._of_replicate(replicate))
        task = next(iter(self.runs.values())).model(replicates[0]).task
        found = scored(task, list(self.runs), outputs)
        rows: list[VariantRow] = [
            {**row, **self._costs(variant, run)} for row, (variant, run) in zip(found["variants"], self.runs.items())
        ]
        if progress:
            progress(len(replicates), len(replicates), "")
        fold, made = base.folds[0], made_with()
        result: Numbers = {
            "version": VERSION,
            "name": recipe.name or base.corpus.path.parent.name,
            "corpus": base.corpus.path.parent.name,
            "task": task_facts(task, about_of(base), task.state().get("classes")),
            "modalities": base.modalities,
            "items": found["items"],
            "groups": found["groups"],
            "intervals": found["intervals"],
            "seeds": sorted({m.seed for m in replicates}),
            "folds": sorted({m.fold for m in replicates}),
            "baseline": found["baseline"],
            "variants": rows,
            "differences": found["differences"],
            "subsets": found["subsets"],
            "own": own,
            "streams": _streams(base, self.features),
            "held_back": holds_back(recipe.split),
            "not_looked_at": _held_back(base),
            "trained_on": {"items": len(fold.train), "groups": len({i.group for i in fold.train})},
            "budget": {
                "epochs": recipe.train.epochs,
                "steps": recipe.train.steps,
                "batch": recipe.train.batch,
                "stop": recipe.train.stop,
            },
            "failed": [_failure(job, why) for job, why in failed.items()],
            "recipe_yaml": dump_recipe(recipe),
            **made,
        }
        return cast(Numbers, plain(result))

    @property
    def replicates(self) -> list[Replicate]:
        """The seeds and folds that were asked for; a variant's run may have more seeds, of an earlier call."""
        base = self.base
        return [Replicate(seed, fold.name) for seed in base.recipe.train.seeds for fold in base.folds]

    def _examined(self, variant: Variant, run: Run, replicate: Replicate) -> Examined:
        experiment = _of_variant(self.base, variant)
        return Examined(run, replicate, experiment, self.store, self.features, elsewhere=False)

    def _of_replicate(self, replicate: Replicate) -> ReplicateOutput:
        """The answers of one seed and fold of all variants."""
        answers = {}
        for variant, run in self.runs.items():
            one = self._examined(variant, run, replicate)
            output = one.output(subsets_for(variant))
            # After the answers, so that what is loaded once is not in the time of the first.
            self.seconds[variant.name].append(item_seconds(one.model, one.data))
            for subset, scores in output.outputs.items():
                there = np.any([output.present[m] for m in subset], axis=0)
                answers[key_of(variant, subset)] = (scores, there)
        return merged(output, answers)

    def _costs(self, variant: Variant, run: Run) -> Costs:
        done = [run.done(replicate) for replicate in self.replicates]
        one, steps = self._examined(variant, run, self.replicates[0]), variant.kind != QUICK
        return {
            "parameters": done[0].parameters,
            "train_seconds": float(np.mean([_trained(d) for d in done])),
            "item_seconds": float(np.median(self.seconds[variant.name])),
            "step_bytes": step_bytes(one.model, one.data, variant.recipe.train.batch) if steps else None,
        }


def _trained(done: Done) -> float:
    """Processor seconds of a replicate's epochs, however often it was interrupted.

    The median epoch times their number: in the first epochs the first replicate of a fold also makes noisy copies,
    which the others then find.
    """
    seconds = done.log["processor_seconds"]
    return float(np.median(seconds) * len(seconds))


def _held_back(base: Experiment) -> int:
    """The number of items in the test part, which was not looked at."""
    if "tune" not in base.recipe.split:
        return 0
    # Without tune the split is the recipe's own again, whose test part is the one held back.
    spec = {k: v for k, v in base.recipe.split.items() if k != "tune"}
    return len(split_items(base.items.items, base.corpus, spec)[0].test)


def _failure(job: Job, why: str) -> Failure:
    return {"variant": job.variant, "replicate": job.replicate.name, "problem": why}


def _streams(base: Experiment, features: Features) -> Streams:
    """Facts of each modality as the model gets it."""
    fold = base.folds[0]
    items = [*fold.train, *fold.test]
    # Lengths and presence only; the targets are placeholders.
    data = ItemData(items, features, Asked(torch.zeros(len(items))), base.modalities)
    regular = data.regular()
    return {
        m: {
            "regular": m in regular,
            "rate": _rate({i.recording for i in items}, features, m),
            "rows": data.typical_length(m),
            "missing": float(1 - data.present(m).mean()),
        }
        for m in base.modalities
    }


def _rate(recordings: set[str], features: Features, modality: str) -> float | None:
    """Rows per second, the median over recordings; None where none has two rows."""
    clocks = [found[1] for r in sorted(recordings) if (found := features.get(r, modality)) and len(found[1]) > 1]
    rates = [float(c.rate) if isinstance(c, Grid) else (len(c) - 1) / (c.times[-1] - c.times[0]) for c in clocks]
    good = [rate for rate in rates if np.isfinite(rate)]  # rows that all have one time have no rate
    return float(np.median(good)) if good else None
