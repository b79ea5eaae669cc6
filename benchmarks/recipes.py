"""Fit and evaluate the recipes on real data: PLAIT_DATA=... python benchmarks/recipes.py [utd_mhad grid_letter ...]

Needs: utd_mhad, grid_s1, stress_predict, mosi in PLAIT_DATA (of the recipes that are asked for).
Takes: hours.

Every seed of the recipe, last epoch or validation as it says; the test part is scored once.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import needs
from rich.console import Console
from targets import finish, target

from plait import Run, evaluate, fit, load_recipe, write_report
from plait.report.table import summary_of

RECIPES = Path(__file__).parents[1] / "recipes"


def mean(result: dict[str, Any], *modalities: str, metric: str = "") -> float:
    """The metric's mean over seeds for a subset of modalities."""
    wanted = metric or result["task"]["metric"]
    row = next(s for s in result["subsets"] if set(s["modalities"]) == set(modalities))
    return float(row["metrics"][wanted]["mean"])


def noisy(result: dict[str, Any], level: float, *modalities: str) -> float:
    rows = result["robustness"]["noise"]
    return next(r["value"] for r in rows if r["level"] == level and set(r["subset"]) == set(modalities))


def utd_mhad(result: dict[str, Any], run: Run) -> list[dict[str, Any]]:
    slowest = max(run.done(m).seconds for m in run.replicates)
    return [
        target("UTD-MHAD fused, %", 100 * mean(result, "skeleton", "inertial"), ">=", 97.0),
        target("UTD-MHAD skeleton alone, %", 100 * mean(result, "skeleton"), ">=", 94.0),
        target("UTD-MHAD inertial alone, %", 100 * mean(result, "inertial"), ">=", 91.0),
        target("UTD-MHAD slowest fit, s", slowest, "<=", 240),
    ]


def grid_letter(result: dict[str, Any], run: Run) -> list[dict[str, Any]]:
    clean = mean(result, "video", "audio") - mean(result, "audio")
    babble = noisy(result, -5, "video", "audio") - noisy(result, -5, "audio")
    return [
        target("GRID letter, fused less audio alone, clean, points", 100 * clean, ">=", -0.5),
        target("GRID letter, fused less audio alone at -5 dB, points", 100 * babble, ">=", 15),
    ]


def stress(result: dict[str, Any], run: Run) -> list[dict[str, Any]]:
    streams = list(run.info.modalities)
    return [
        target("Stress-Predict, area under ROC, all streams", mean(result, *streams), ">=", 0.80),
        target("Stress-Predict, subsets reported", len(result["subsets"]), "==", 2 ** len(streams) - 1),
    ]


def mosi(result: dict[str, Any], run: Run) -> list[dict[str, Any]]:
    gain = result["baseline"]["metrics"]["mae"] - mean(result, "text", "audio", metric="mae")
    return [target("MOSI, constant's MAE less ours", gain, ">=", 0.0)]


CHECKS = {f.__name__: f for f in (utd_mhad, grid_letter, stress, mosi)}
DATA = {"utd_mhad": "utd_mhad", "grid_letter": "grid_s1", "stress": "stress_predict", "mosi": "mosi"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipes", nargs="*", help=f"of {', '.join(CHECKS)} (default: all)")
    parser.add_argument("--out", default="runs")
    parser.add_argument("--cache", default=".plait-cache")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--fresh", action="store_true", help="train anew what an earlier call has trained")
    args = parser.parse_args()
    needs.check([DATA[name] for name in args.recipes or CHECKS])
    targets = []
    for name in args.recipes or CHECKS:
        recipe = load_recipe(RECIPES / f"{name}.yaml")
        quiet = not sys.stderr.isatty()
        run = fit(recipe, Path(args.out) / name, cache=args.cache, jobs=args.jobs, quiet=quiet, overwrite=args.fresh)
        result = evaluate(run, cache=args.cache)
        write_report(result, run.folder / "report.html")
        Console().print(summary_of(result))
        targets += CHECKS[name](result, run)
    finish(targets)


if __name__ == "__main__":
    main()
