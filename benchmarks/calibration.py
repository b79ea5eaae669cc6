"""Is the default as sure as it is right? PLAIT_DATA=... python benchmarks/calibration.py

Needs: at least one of utd_mhad, grid_s1, stress_predict, av_digits in PLAIT_DATA.
Takes: some forty minutes of one core a seed.

A set that is not there is left out, and told; runs that `default.py` trained in ``--out`` are taken as they are.

The expected calibration error (Guo et al. 2017, 15 bins) of all modalities together on the test part, beside what a
perfectly calibrated model of that size shows: labels are drawn from the model's own probabilities, and the error
measured, a thousand times; 95 % of the draws are below the bound. Asked is at most that bound plus 2 points, a seed's
mean.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import needs
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from targets import finish, target

from plait import fit, load_recipe
from plait.corpus.corpus import Corpus
from plait.evaluation.examined import Examined
from plait.metrics.functional import calibration_error
from plait.store.store import Store
from plait.training.experiment import Experiment
from plait.training.run import Run

RECIPES = Path(__file__).parents[1] / "recipes"
SETS = {"utd_mhad": "utd_mhad", "grid_letter": "grid_s1", "stress": "stress_predict", "av_digits": "av_digits"}
SLACK = 0.02


def bound(scores: NDArray[np.float64], *, draws: int = 1000, seed: int = 0) -> float:
    """The error below which 95 % of perfectly calibrated models with these probabilities stay.

    Args:
        scores: probabilities, [items, classes].
    """
    rng, sums = np.random.default_rng(seed), scores.cumsum(1)
    found = []
    for _ in range(draws):
        labels = (rng.random(len(scores))[:, None] > sums).sum(1).clip(max=scores.shape[1] - 1)
        found.append(calibration_error(labels, scores))
    return float(np.quantile(found, 0.95))


def of_run(run: Run, cache: str) -> list[dict[str, float]]:
    """A row a seed: accuracy, mean confidence, error and bound, of its folds' items together."""
    rows = []
    experiment, store = Experiment.of(run.recipe, Corpus(run.info.corpus, allow_outside=True)), Store(cache)
    features = experiment.prepare(store)
    full = [tuple(experiment.modalities)]
    replicates = [Examined(run, m, experiment, store, features, elsewhere=False).output(full) for m in run.finished]
    for seed in dict.fromkeys(m.seed for m in replicates):
        own = [m for m in replicates if m.seed == seed]
        scores = np.concatenate([m.outputs[full[0]] for m in own])
        truth = np.concatenate([m.target for m in own])
        rows.append(
            {
                "accuracy": float((scores.argmax(1) == truth).mean()),
                "confidence": float(scores.max(1).mean()),
                "error": calibration_error(truth, scores),
                "bound": bound(scores),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="runs/default", help="folder of the runs (default: that of default.py)")
    parser.add_argument("--cache", default=".plait-cache")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    args = parser.parse_args()
    folder = needs.check([SETS[name] for name in args.sets], fewest=1)
    table, targets = Table("set", "accuracy", "confidence", "error", "bound + 2", title="points"), []
    for name in args.sets:
        if needs.lacking(SETS[name], folder):
            continue
        recipe = load_recipe(RECIPES / f"{name}.yaml")
        recipe.train.seeds, recipe.evaluate.missing = args.seeds, []  # as `default.py` has it
        rows = of_run(fit(recipe, Path(args.out) / name, cache=args.cache, quiet=True), args.cache)
        mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        limit = mean["bound"] + SLACK
        table.add_row(name, *(f"{100 * x:.1f}" for x in (mean["accuracy"], mean["confidence"], mean["error"], limit)))
        targets.append(target(f"{name}: calibration error, points", 100 * mean["error"], "<=", 100 * limit))
    Console().print(table)
    finish(targets)


if __name__ == "__main__":
    main()
