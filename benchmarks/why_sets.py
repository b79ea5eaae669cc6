"""What `why.py` asks of runs of real data: do explanations, promises and robustness hold, and what do they cost?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from default import RECIPES
from targets import target

from plait import evaluate, fit, load_recipe
from plait.evaluation.contribution.bank import Bank
from plait.evaluation.contribution.dependence import Exchanged
from plait.evaluation.examined import Examination
from plait.evaluation.intervals import jackknife_interval
from plait.evaluation.replicates import ReplicateOutput
from plait.evaluation.robustness.curves import corrupted, curves_of
from plait.evaluation.schema import Evaluation
from plait.metrics.functional import f1
from plait.models.model import FACTORS
from plait.report.report import save_evaluation
from plait.training.run import Run

SPLITS = {"utd_mhad": {"folds": 2, "by": "subject"}, "stress": {"folds": 2, "by": "id"}}
"""In place of the recipes': four people, as in the official test part of UTD-MHAD, are too few for an interval, so all
eight are tested, each by a model of four others; and two models of the 28 people of Stress-Predict are quicker than
five."""

PEOPLE = {"utd_mhad": "people", "grid_letter": "sentences of one speaker", "stress": "people"}
"""Sets on which explanations are tried, and what their groups are."""

Rows = list[dict[str, Any]]


class Trained(NamedTuple):
    """The default and late fusion, trained alike."""

    default: Run
    late: Run


def trained(name: str, out: Path, cache: str, seeds: Sequence[int]) -> Trained:
    """Both models of a set, trained if they are not there yet."""
    runs = []
    for fusion in ("", "late"):
        recipe = load_recipe(RECIPES / f"{name}.yaml")
        recipe.train.seeds, recipe.evaluate.missing, recipe.evaluate.noise = [*seeds], [], {}
        recipe.split = SPLITS.get(name, recipe.split)
        if fusion:
            recipe.fusion = {"name": fusion}
        runs.append(fit(recipe, out / f"{name}{'-' * bool(fusion)}{fusion}", cache=cache, quiet=True))
    return Trained(*runs)


def of_explanations(name: str, found: Evaluation) -> Rows:
    """Deletion and insertion against random orders, over groups, and the check by a model with random weights."""
    rows = []
    for row in found["faithfulness"]:
        where = f"{name}, {row['method']}, {PEOPLE[name]}"
        for what in ("deletion", "insertion"):
            low = _known(row[f"{what}_gain"]["low"])
            rows.append(target(f"{where}: {what} better than random, lower end", low, ">", 0.0))
        # The order of the model with random weights must not find what this model's order finds.
        most, least = (_known(row[f"{who}_gain"][end]) for who, end in (("foreign", "high"), ("deletion", "low")))
        rows.append(target(f"{where}: gain by random weights, upper end", most, "<", least))
    return rows


def _known(value: float | None) -> float:
    """NaN, which meets no target, where an interval cannot be told."""
    return np.nan if value is None else value


def of_promises(name: str, found: Evaluation, run: Run, cache: str) -> Rows:
    """Conformal coverage, and calibration with and without the fitted temperatures."""
    rows = []
    if (held := found.get("conformal")) is not None:
        rows.append(
            target(f"{name}: coverage, off 90 %, points", 100 * abs(held["coverage"] - held["level"]), "<=", 1.0)
        )
        low, high = held["band"]
        rows.append(target(f"{name}: one coverage in its band", float(low <= held["single"] <= high), "==", 1.0))
    if (sure := found.get("calibration")) is not None:
        rows.append(target(f"{name}: calibration error", sure["ece"], "<=", sure["ece_bound"]))
        rows.append(target(f"{name}: log-loss after scaling", sure["log_loss"], "<=", _unscaled(run, cache)))
    return rows


def _unscaled(run: Run, cache: str) -> float:
    """The log-loss of the answers if no factor had been fitted, mean over replicates."""
    found = []
    for one in Examination(run, cache, None):
        for factor in FACTORS:
            one.model.factor(factor).fill_(float(factor != "wide_weight"))
        full = tuple(one.modalities)
        scores = one.output([full]).outputs[full]
        found.append(-np.log(np.maximum(scores[np.arange(len(scores)), one.target.numpy()], 1e-12)).mean())
    return float(np.mean(found))


class Damage(NamedTuple):
    """Mean over all kinds of damage of the area less that of late fusion; and where it is surely less by a point."""

    gain: float
    worse: list[str]


def of_damage(runs: Trained, cache: str) -> Damage:
    """The default against late fusion that was trained for it, in place of its own heads, on the same damaged items."""
    told: list[ReplicateOutput] = []
    for one, other in zip(Examination(runs.default, cache, None), Examination(runs.late, cache, None)):
        own, late = (corrupted(x.model, x.data, x.output([tuple(x.modalities)])) for x in (one, other))
        answers = {key: scores for key, scores in own.outputs.items() if key[0].startswith("model|")}
        answers |= {(f"late{name[5:]}",): x for (name,), x in late.outputs.items() if name.startswith("model|")}
        there = np.ones(len(own.items), bool)
        told.append(replace(own, outputs=answers, present={key[0]: there for key in answers}))
    rows = curves_of(one.model.task, told)
    highs = {f"{row['modality'] or 'all'} {row['kind']}": row["interval"]["high"] for row in rows}
    worse = [name for name, high in highs.items() if high is not None and high < -0.01]
    return Damage(float(np.mean([row["gain_over_late"] for row in rows])), worse)


def of_cost(name: str, run: Run, cache: str) -> Rows:
    """Processor seconds of contribution, and of the whole page, of one replicate and of all."""
    began = time.process_time()
    one = next(iter(Examination(run, cache, None)))
    Exchanged(Bank(one.model, one.data), one.output(), permutations=10, pairs=300)
    contribution = time.process_time() - began
    began = time.process_time()
    with TemporaryDirectory() as folder:
        save_evaluation(evaluate(run, cache=cache, explain=True), folder)
    page = time.process_time() - began
    return [
        target(f"{name}: contribution, seconds", contribution, "<=", 60),
        target(f"{name}: whole page of {len(run.finished)} replicates, seconds", page, "<=", 180),
    ]


def of_intervals(items: int = 10_000, groups: int = 2_000) -> Rows:
    """The interval of a metric that is no mean of items; here by leaving out groups in turn, not by drawing 2,000."""
    rng = np.random.default_rng(0)
    truth, said = rng.integers(8, size=(2, items))
    names = rng.integers(groups, size=items).astype(str)
    began = time.process_time()
    jackknife_interval(lambda i: f1(truth[i], said[i]), names, bounds=(0, 1))
    return [target("interval of macro F1 of 10,000 items, seconds", time.process_time() - began, "<=", 5)]
