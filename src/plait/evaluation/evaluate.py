"""Evaluate a run: every subset of its modalities from the same model, nothing retrained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar, cast

import numpy as np

from plait.core.parts import foreign_code
from plait.core.progress import Progress
from plait.evaluation.cause.claim import Claim
from plait.evaluation.cause.invariance import GROUP
from plait.evaluation.cause.summary import Causes
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

DAMAGED = 200
"""Items of a run that are damaged for an explanation's page, which is to take minutes; with ``corruptions`` all are."""


def evaluate(
    run: Run | str | Path,
    *,
    cache: str | Path = CACHE,
    corpus: str | Path | None = None,
    explain: bool = False,
    claim: Claim | None = None,
    environments: str = GROUP,
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
            ``mediation`` and ``faithfulness`` of explanations in time, ``robustness.corruptions`` of features; and for
            ``invariance`` and ``claim``.
        claim: a claim about the world to be tested, when explaining: treatment, outcome, and what to adjust for.
        environments: the fact of the manifest over which errors are compared, when explaining; by default the groups.
        corruptions: also answer for damaged items: ``robustness.corruptions``, of features and of raw signals, by every
            noise that fits each stream. Features of noisy signals are made for each noise and level, and kept.
        progress: told of features being prepared, and of replicates scored.

    Returns:
        The evaluation, all that the report shows, ready for JSON: subsets, intervals, baseline, classes and groups,
        parts, confusion, calibration, robustness, training, versions and date. ``unfinished``: replicates that are not
        fully trained, and so not scored. ``data.new``: the number of examples that were added after the run was begun,
        and so are not scored.

    Raises:
        ConfigError: the claim or the environments name a fact that no item has.
        DataError: no replicate is finished, the run's examples have changed since it was begun (the message says which
            and how), or the other corpus has none of the run's streams.
    """
    run = run if isinstance(run, Run) else Run(run)
    with foreign_code(run.allow_code):
        found = Examination(run, cache, corpus, progress)
        causes = Causes(found.experiment, claim or Claim(), environments) if explain else None
        return _evaluated(found, causes, corruptions)


def _evaluated(found: Examination, causes: Causes | None, corruptions: bool) -> Evaluation:
    run, experiment = found.run, found.experiment
    outputs, noise, missing, trained_on = [], [], [], []
    count = len(found.replicates)
    effects, explanations = list[Effect](), Explanations(count)
    kept = list[tuple[Sequence[Calibrated], ReplicateOutput]]()
    damage = Damage(signals=corruptions, most=None if corruptions else max(DAMAGED // count, 1))
    for one in found:
        outputs.append(one.output())
        trained_on.append(len(one.train))
        kept.append((one.model.conformal, outputs[-1]))
        noise += one.noise()
        missing += one.missing()
        effects += effects_of(one.model, one.data, seed=one.replicate.seed)
        if causes is not None:
            explanations.add(one, outputs[-1])
        if causes is not None or corruptions:
            damage.add(one, outputs[-1], found.progress)
    task = run.model(found.replicates[0]).task
    sections: dict[str, object] = {
        "parts": parts_of(experiment, trained_on, elsewhere=found.elsewhere),
        **made_with(),
        "robustness": {"noise": _mean(noise), "missing": _mean(missing), **damage.sections(task)},
        "training": {
            "seeds": [_curve(run, m, task.main_metric) for m in found.replicates],
            "warnings": [{"replicate": m.name, **one} for m in found.replicates for one in run.done(m).warnings],
        },
        "recipe_yaml": dump_recipe(run.recipe),
        "data": {**_data_section(experiment), "new": found.new},
        "unfinished": [m.name for m in run.replicates if m not in found.replicates],
        **explanations.sections(task),
        **({} if causes is None else causes.sections(outputs, task)),
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
