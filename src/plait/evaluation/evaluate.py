"""Evaluate a run: every subset of its modalities from the same model, nothing retrained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar, cast

import numpy as np

from plait.core.parts import foreign_code
from plait.core.progress import Progress
from plait.evaluation.deletion import Effect, deletion_of, effects_of
from plait.evaluation.examined import Examination
from plait.evaluation.explain import Explanations
from plait.evaluation.facts import about_of, item_facts, made_with, parts_of
from plait.evaluation.replicates import ReplicateOutput
from plait.evaluation.robustness.curves import Damage
from plait.evaluation.schema import Curve, DataFacts, Evaluation, MissingRow, NoiseRow
from plait.evaluation.summary import summarise
from plait.evaluation.uncertainty.summary import kept_of
from plait.models.conformal import Calibrated
from plait.recipe import dump_recipe
from plait.store.store import CACHE
from plait.training.experiment import Experiment
from plait.training.run import Replicate, Run

__all__ = ["evaluate"]


def evaluate(
    run: Run | str | Path,
    *,
    cache: str | Path = CACHE,
    corpus: str | Path | None = None,
    explain: bool = False,
    corruptions: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Score every finished replicate on its test part, or on the whole of another corpus.

    The test part is the one that the run was begun with, even if the corpus has changed.

    Args:
        run: see `plait.fit`; or its folder.
        cache: where prepared features are kept.
        corpus: the manifest of another corpus; its streams may be fewer than the run's.
        explain: also ask for what takes minutes more: ``dependence`` (permutation, additive projection), ``swaps``,
            ``robustness.corruptions`` of features, and ``faithfulness`` of explanations in time.
        corruptions: also answer for damaged items: ``robustness.corruptions``, of features and of raw signals, by every
            noise that fits each stream. Features of noisy signals are made for each noise and level, and kept.
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
        return _evaluated(Examination(run, cache, corpus, progress), explain, corruptions)


def _evaluated(found: Examination, explain: bool, corruptions: bool) -> Evaluation:
    run, experiment = found.run, found.experiment
    outputs, noise, missing, trained_on = [], [], [], []
    effects, explanations, kept = list[Effect](), Explanations(), list[tuple[Sequence[Calibrated], ReplicateOutput]]()
    damage = Damage(signals=corruptions)
    for one in found:
        outputs.append(one.output())
        trained_on.append(len(one.train))
        kept.append((one.model.conformal, outputs[-1]))
        noise += one.noise()
        missing += one.missing()
        effects += effects_of(one.model, one.data, seed=one.replicate.seed)
        if explain:
            explanations.add(one, outputs[-1])
        if explain or corruptions:
            damage.add(one, outputs[-1], found.progress)
    task = run.model(found.replicates[0]).task
    sections: dict[str, object] = {
        "parts": parts_of(experiment, trained_on, elsewhere=found.elsewhere),
        **made_with(),
        "robustness": {"noise": _mean(noise), "missing": _mean(missing), **damage.sections(task)},
        "training": {"seeds": [_curve(run, m, task.main_metric) for m in found.replicates]},
        "recipe_yaml": dump_recipe(run.recipe),
        "data": {**_data_section(experiment), "new": found.new},
        "unfinished": [m.name for m in run.replicates if m not in found.replicates],
        **explanations.sections(task),
    }
    if (deletion := deletion_of(effects)) is not None:
        sections["deletion"] = deletion
    about = {"run": run.folder.name, **about_of(experiment)}
    result = summarise(task, outputs, about=about, facts=item_facts(experiment), sections=sections)
    if "conformal" in result and (own := kept_of(kept)) is not None:
        result["conformal"]["kept"] = own
    return result


def _curve(run: Run, replicate: Replicate, metric: str) -> Curve:
    """A replicate's epochs, for the plots of the report."""
    log = run.done(replicate).log
    return cast(Curve, {"replicate": replicate.name, **log, "valid": log.get(f"valid_{metric}")})


def _data_section(experiment: Experiment) -> DataFacts:
    recordings = {i.recording for i in experiment.items.items}
    entries = [e for e in experiment.corpus.entries if e.id in recordings]
    lacking = {m: sum(s not in e.streams for e in entries) for m, s in experiment.streams.items()}
    return {"recordings": len(entries), "dropped": experiment.items.dropped, "missing_streams": lacking}


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
