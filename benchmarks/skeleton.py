"""Actions from a skeleton alone, with graph convolutions and without: PLAIT_DATA=... python benchmarks/skeleton.py

Needs: utd_mhad in PLAIT_DATA.
Takes: an hour.

UTD-MHAD: odd subjects train, even ones test. `recipes/utd_skeleton_st_gcn.yaml` as it is, with ST-GCN++ in the place of
ST-GCN, and with the default encoder, trained as `recipes/utd_mhad.yaml` does it. Every seed, last epoch; the test part
is scored once.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import needs
from rich.console import Console
from rich.table import Table
from targets import finish, target

from plait import Run, evaluate, fit, load_recipe
from plait.recipe import Recipe

RECIPES = Path(__file__).parents[1] / "recipes"
STREAM = "skeleton"
GOAL, LONGEST = 95.0, 300.0


def forms() -> dict[str, Recipe]:
    """The recipes that are compared, each of the same people, labels and seeds."""
    found = {name: load_recipe(RECIPES / "utd_skeleton_st_gcn.yaml") for name in ("st_gcn", "st_gcn_pp", "conv+gru")}
    other, plain, usual = found["st_gcn_pp"], found["conv+gru"], load_recipe(RECIPES / "utd_mhad.yaml")
    other.streams[STREAM].encoder = {**other.streams[STREAM].encoder, "name": "st_gcn_pp", "widths": [24, 48, 96]}
    plain.streams[STREAM], plain.augment.gaussian_noise = usual.streams[STREAM], usual.augment.gaussian_noise
    plain.train = usual.train.model_copy(update={"seeds": plain.train.seeds})
    return found


def figures(run: Run, result: dict[str, Any]) -> dict[str, float]:
    score = next(row for row in result["subsets"] if row["modalities"])["metrics"]["accuracy"]
    done = [run.done(replicate) for replicate in run.replicates]
    return {
        "mean": 100 * score["mean"],
        "sd": 100 * (score["sd"] or 0.0),
        "seconds": max(sum(one.log["processor_seconds"]) for one in done),
        "parameters": done[0].parameters,
    }


def show(found: dict[str, dict[str, float]]) -> None:
    table = Table(title="UTD-MHAD, skeleton alone")
    for name in ("encoder", "accuracy, %", "sd", "slowest fit, s of one core", "parameters"):
        table.add_column(name, justify="left" if name == "encoder" else "right")
    for name, one in found.items():
        table.add_row(name, f"{one['mean']:.1f}", f"{one['sd']:.1f}", f"{one['seconds']:.0f}", f"{one['parameters']:,}")
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("forms", nargs="*", help="st_gcn, st_gcn_pp, conv+gru (default: all)")
    parser.add_argument("--out", default="runs/skeleton")
    parser.add_argument("--cache", default=".plait-cache")
    parser.add_argument("--fresh", action="store_true", help="train anew what an earlier call has trained")
    args = parser.parse_args()
    needs.check(["utd_mhad"])
    found = {}
    for name, recipe in forms().items():
        if args.forms and name not in args.forms:
            continue
        quiet = not sys.stderr.isatty()
        run = fit(recipe, Path(args.out) / name, cache=args.cache, quiet=quiet, overwrite=args.fresh)
        found[name] = figures(run, evaluate(run, cache=args.cache))
    show(found)
    graphs = [one for name, one in found.items() if name.startswith("st_gcn")]
    targets = graphs and [
        target("UTD-MHAD, better graph form, skeleton alone, %", max(g["mean"] for g in graphs), ">=", GOAL),
        target("slowest fit of a graph form, s of one core", max(g["seconds"] for g in graphs), "<=", LONGEST),
    ]
    finish(targets, forms=found)


if __name__ == "__main__":
    main()
