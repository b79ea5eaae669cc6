"""Events over time, against cheap models: PLAIT_DATA=... python benchmarks/events.py

Needs: at least one of utd_mhad, esc10, stress_predict in PLAIT_DATA; scikit-learn.
Takes: some two hours of one core.

- ``actions``: which action, when? Clips of UTD-MHAD (skeleton, inertial) joined to sequences of six, with one to two
  seconds of rest before, between and after; subjects 1, 3, 5, 7 train, 2, 4, 6, 8 test. In rests the last pose moves to
  the next one, and both sensors have the noise of a still person.
- ``scenes``: which sound, when? Clips of seven classes of ESC-10 in scenes of twenty seconds, over a background of the
  other three (rain, sea waves, fire) at 0 dB; clips and backgrounds of folds 1 to 3 in training scenes, of fold 4 in
  test scenes. A clip begins and ends within 10 dB of its loudest tenth of a second, as nothing quieter is heard over
  the background. In training scenes both are varied in speed and through filters. A camera shows a shape for four of
  the classes while they sound. Event F1 has collars of 0.2 s (for offsets, or a fifth of the event), as in DCASE.
- ``stress``: under stress, every second? Stress-Predict, folds by person, nothing that was recorded later.

Beside each, a logistic regression on means and deviations of the same features around each instant, with a median
filter; for stress, also boosted trees, both on every fifth second.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import needs
import numpy as np
import torch
from event_cases import RECIPES, Floats, make_actions, make_scenes
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from targets import finish, target

from plait import evaluate, fit, load_recipe
from plait.evaluation.schema import Evaluation
from plait.examples.items import Fold, Item
from plait.recipe import Recipe, parse_recipe
from plait.store.store import Store
from plait.tasks.postprocessing import PostProcessing
from plait.tasks.tag import Tag
from plait.tasks.timed import padded
from plait.training.experiment import Experiment, Features, open_corpus

DATA = {"actions": "utd_mhad", "scenes": "esc10", "stress": "stress_predict"}

PAST = [(seconds, 1e-3) for seconds in (15.0, 45.0, 135.0, 405.0)]
"""Windows of the cheap model of stress."""

AROUND = [(0.15, 0.15), (0.5, 0.5), (1.5, 1.5)]
"""Windows of the cheap model of actions and sounds."""

ACTIONS = """
corpus: {manifest}
task: {{name: tag, target: action, rate: 10, background: rest, metric: mean_average_precision}}
split: {{by: manifest}}
streams:
  skeleton: {{feature: {{name: pose, velocities: true}}}}
  inertial: {{feature: {{name: series, differences: true}}, normalization_groups: 3}}
augment:
  random_gain: {{skeleton: 0.2, inertial: 0.2}}
  rotate: {{skeleton: {{axis: y, degrees: 30}}, inertial: {{axis: any, degrees: 20}}}}
train: {{epochs: 40}}
"""


SCENES = """
corpus: {manifest}
task: {{name: tag, target: sound, rate: 10, background: none, metric: event_f1}}
split: {{by: manifest}}
streams:
  sound:
    feature: {{name: log_mel, mels: 64, window: 0.04, hop: 0.02}}
    normalization: centre
    encoder: [conv2d, gru]
  camera: {{feature: dct, encoder: {{name: conv, strides: [1, 1]}}}}
train: {{batch: 16}}
evaluate: {{missing: [0.0]}}
"""


def around(features: Features, item: Item, modality: str, at: Floats, reach: float, back: float) -> Floats:
    """Mean and deviation of rows from ``reach`` before to ``back`` after each instant, [steps, 2 * dim]; 0 of none."""
    values, clock = features.get(item.recording, modality)
    part = clock.window(item.start + at[0] - reach, item.start + at[-1] + back)
    rows, times = values[part].astype(np.float64), clock[part].times
    known = np.isfinite(rows)
    rows = np.where(known, rows, 0.0)
    sums = np.stack([known, rows, rows**2]).cumsum(1)
    sums = np.concatenate([np.zeros((3, 1, values.shape[1])), sums], 1)
    low, high = (np.searchsorted(times, item.start + at + shift) for shift in (-reach, back))
    count, total, squares = sums[:, high] - sums[:, low]
    mean = total / np.maximum(count, 1)
    return np.concatenate([mean, np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0))], 1)


def described(
    task: Tag,
    items: Sequence[Item],
    features: Features,
    modalities: Sequence[str],
    reaches: Sequence[tuple[float, float]],
) -> tuple[Floats, NDArray[np.int64], NDArray[np.bool_]]:
    """Rows of all instants of items, their targets, and which are asked, [items, steps, ...].

    Without modalities, a row is the time alone: seconds since the recording's first item began.
    """
    asked = task.asked(items)
    assert asked.at is not None
    times, mask = asked.at.times.numpy().astype(np.float64), asked.at.mask.numpy()
    begun = {i.recording: i.start for i in sorted(items, key=lambda i: -i.start)}
    rows = [
        np.concatenate([around(features, i, m, at[on], *reach) for m in modalities for reach in reaches], 1)
        if modalities
        else (i.start - begun[i.recording] + at[on])[:, None]
        for i, at, on in zip(items, times, mask)
    ]
    return padded(rows, 0.0, np.float64), asked.targets.numpy(), mask


def logistic(c: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=200))


def trees() -> Any:
    """Few and small: neighbouring instants tell the same, so there are fewer rows than it seems."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    size = {"max_iter": 120, "max_leaf_nodes": 8, "min_samples_leaf": 200}
    slow = {"learning_rate": 0.05, "l2_regularization": 10, "max_features": 0.3}
    return HistGradientBoostingClassifier(**size, **slow, random_state=0)


def cheap(
    fold: Fold,
    recipe: Recipe,
    features: Features,
    modalities: Sequence[str],
    reaches: Sequence[tuple[float, float]],
    model: Any,
    *,
    width: int = 1,
    every: int = 1,
) -> dict[str, float]:
    """Metrics of a model of scikit-learn, an instant at a time: of a filter's ``width``, trained on every so many."""
    options = {k: v for k, v in recipe.task.items() if k in ("target", "rate", "background", "causal", "metric")}
    task = Tag([i.target for i in fold.train], **options)
    rows, target, mask = described(task, fold.train, features, modalities, reaches)
    test, truth, _ = described(task, fold.test, features, modalities, reaches)
    known = mask & (target >= 0) & (np.arange(mask.shape[1]) % every == 0)
    model.fit(rows[known], target[known])
    logits = np.log(model.predict_proba(test.reshape(-1, test.shape[-1])) + 1e-9).reshape(*test.shape[:2], -1)
    at = task.asked_at(fold.test)
    assert at is not None
    return task.metrics(task.scores(PostProcessing((), width, task.causal)(torch.from_numpy(logits), at)), truth)


def of_actions(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    make_actions(args.out / "actions", args.data / "utd_mhad")
    found = of_events(args, console, "actions", ACTIONS)
    subsets = {" + ".join(s["modalities"]): s["metrics"]["mean_average_precision"]["mean"] for s in found["subsets"]}
    for name, value in subsets.items():
        console.print(f"actions, {name}: mean average precision {value:.3f}")
    best = found["subsets"][-1]["metrics"]["mean_average_precision"]["mean"]
    return [target("actions: mean average precision at overlap .5, both streams", best, ">=", 0.85)]


def of_scenes(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    make_scenes(args.out / "scenes", args.data / "esc10")
    found = of_events(args, console, "scenes", SCENES, ["sound"])
    for subset in found["subsets"]:
        shown = {name: round(own["mean"], 3) for name, own in subset["metrics"].items()}
        console.print(f"scenes, {' + '.join(subset['modalities'])}: {shown}", soft_wrap=True)
    alone = {s["modalities"][0]: s for s in found["subsets"] if len(s["modalities"]) == 1}
    gain = next(c for c in found["contributions"] if c["modality"] == "camera")
    deletion = found["deletion"]
    console.print(f"scenes, what the camera adds: {gain}", soft_wrap=True)
    console.print(f"scenes, deletion test: {deletion}", soft_wrap=True)
    heard = alone["sound"]["metrics"]["event_f1"]["mean"]
    ratio = deletion["interval"]["low"] if deletion else np.nan
    return [
        target("scenes: event F1, sound alone", heard, ">=", 0.8),
        target("scenes: event F1 that the camera adds, lower end of 95 %", gain["interval"]["low"], ">", 0.0),
        target("scenes: deletion, evidence over elsewhere, lower end of 95 %", ratio, ">", 1.0),
    ]


def of_events(
    args: argparse.Namespace, console: Console, name: str, text: str, alone: Sequence[str] = ()
) -> Evaluation:
    """The evaluation of a recipe, after a table of it beside the cheap model, which also answers from ``alone``."""
    recipe = parse_recipe(text.format(manifest=args.out / name / "manifest.jsonl"))
    recipe.train.seeds = args.seeds
    found = evaluate(fit(recipe, args.out / f"{name}-run", cache=args.cache, quiet=True), cache=args.cache)
    experiment = Experiment.of(recipe, open_corpus(recipe, args.out))
    features = experiment.prepare(Store(args.cache))
    seen = [experiment.modalities, *([m] for m in alone)]
    others = [cheap(experiment.folds[0], recipe, features, m, AROUND, logistic(0.01), width=5) for m in seen]
    names = ["logistic regression", *(f"the same, {m} alone" for m in alone)]
    table(console, name, {"plait": means(found), **dict(zip(names, others))})
    return found


def of_stress(args: argparse.Namespace, console: Console) -> list[dict[str, Any]]:
    recipe = load_recipe(RECIPES / "stress_seconds.yaml")
    recipe.train.seeds = args.seeds
    found = means(evaluate(fit(recipe, args.out / "stress-run", cache=args.cache, quiet=True), cache=args.cache))
    experiment = Experiment.of(recipe, open_corpus(recipe, args.out))
    features = experiment.prepare(Store(args.cache))
    columns, every = {"plait": found}, experiment.modalities
    rivals = {
        "logistic regression": (partial(logistic, 1e-3), every),
        "boosted trees": (trees, every),
        # All people go through the same tasks in the same order: what tells the time tells the answer.
        "trees, time alone": (trees, []),
    }
    for name, (model, seen) in rivals.items():
        others = [cheap(fold, recipe, features, seen, PAST, model(), every=5) for fold in experiment.folds]
        columns[name] = {k: float(np.mean([own[k] for own in others])) for k in others[0]}
    table(console, "Stress-Predict, every second, nothing later", columns)
    return [target("stress: area under ROC, a second at a time, causal", found["roc_auc"], ">=", 0.88)]


def means(found: Evaluation) -> dict[str, float]:
    """Metrics of all modalities together, mean over seeds."""
    return {metric: own["mean"] for metric, own in found["subsets"][-1]["metrics"].items()}


def table(console: Console, title: str, columns: dict[str, dict[str, float]]) -> None:
    """Metrics of several models; those of the first."""
    shown = Table("metric", *columns, title=title)
    for name in next(iter(columns.values())):
        shown.add_row(name, *(f"{own.get(name, np.nan):.3f}" for own in columns.values()))
    console.print(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(DATA), help=f"of {', '.join(DATA)}")
    parser.add_argument("--out", type=Path, default=Path("runs/events"))
    parser.add_argument("--cache", default=".plait-cache")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    args = parser.parse_args()
    args.data = needs.check([DATA[name] for name in args.parts], ["sklearn"], fewest=1)
    console, found = Console(), []
    for name, work in (("actions", of_actions), ("scenes", of_scenes), ("stress", of_stress)):
        if name in args.parts:
            found += work(args, console)
    finish(found)


if __name__ == "__main__":
    main()
