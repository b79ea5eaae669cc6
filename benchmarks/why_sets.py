"""What `why.py` asks of runs of real data: do explanations, promises and robustness hold, and what do they cost?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from targets import target

from plait import evaluate, fit, load_recipe
from plait.evaluation.contribution.bank import Bank
from plait.evaluation.contribution.dependence import Exchanged
from plait.evaluation.examined import Examination
from plait.evaluation.intervals import difference_of, jackknife_interval
from plait.evaluation.replicates import ReplicateOutput
from plait.evaluation.robustness.curves import corrupted
from plait.evaluation.rows import interval_row
from plait.evaluation.schema import Evaluation
from plait.evaluation.summary import rows_of
from plait.metrics.functional import f1
from plait.models.model import FACTORS
from plait.report.report import save_evaluation
from plait.tasks import Task
from plait.training.run import Run

RECIPES = Path(__file__).parents[1] / "recipes"
SETS = {
    "utd_mhad": "utd_mhad",
    "grid_letter": "grid_s1",
    "stress": "stress_predict",
    "av_digits": "av_digits",
    "mosi": "mosi",
}
"""Recipes, and the data of each."""

SPLITS = {"utd_mhad": {"folds": 2, "by": "subject"}}
"""In place of the recipe's: four people, as in the official test part, are too few for an interval; so all eight are
tested, each by a model of four others."""

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
    """Mean area over all kinds of damage less that of late fusion, with its interval; and where it is less."""

    gain: float
    low: float | None
    high: float | None
    worse: list[str]


def of_damage(runs: Trained, cache: str) -> Damage:
    """The default against late fusion that was trained for it, on the same damaged items."""
    told: list[ReplicateOutput] = []
    task: Task | None = None
    for one, other in zip(Examination(runs.default, cache, None), Examination(runs.late, cache, None)):
        task, both = one.model.task, {}
        for who, examined in (("model", one), ("late", other)):
            made = corrupted(examined.model, examined.data, examined.output([tuple(examined.modalities)]))
            both |= {
                (f"{who}|{key.partition('|')[2]}",): scores
                for (key,), scores in made.outputs.items()
                if key.startswith("model|")
            }
        plain = one.output([tuple(one.modalities)])
        there = np.ones(len(plain.items), bool)
        told.append(replace(plain, outputs=both, present={key[0]: there for key in both}))
    assert task is not None
    rows, left_out, units = rows_of(task, told)
    values = {row["modalities"][0]: own for row, own in zip(rows, left_out)}
    sign = 1 if task.higher_is_better else -1
    curves: dict[str, list[Any]] = {}
    for key in values:
        who, _, rest = key.partition("|")
        if who == "model":
            gain = sign * difference_of(values[key], values[f"late|{rest}"])
            curves.setdefault(rest.rpartition("|")[0], []).append(gain)
    each = {name: np.mean(own, axis=0) for name, own in curves.items()}
    mean = np.mean([*each.values()], axis=0)
    span, worse = interval_row(mean, units), []
    for name, gain in each.items():
        high = interval_row(gain, units)["high"]
        if high is not None and high < -0.01:
            worse.append(f"{name} ({100 * gain[0]:+.1f})")
    return Damage(float(mean[0]), span["low"], span["high"], worse)


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
