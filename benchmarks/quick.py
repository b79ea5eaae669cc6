"""The quick model, and how soon the default is good: PLAIT_DATA=... python benchmarks/quick.py

Needs: utd_mhad in PLAIT_DATA.
Takes: a minute; with --curve some twenty minutes of one core.

UTD-MHAD, odd people train, even ones test; features are prepared before anything is timed; times are of one core.
``--curve`` trains the default for fewer and fewer steps, beside what it was before the quick model answered beside it
(``train: {wide: false, temperature_scaling: false}``), and says when each reaches 98.0 %: the least time of a recipe
that does.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import needs
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from targets import finish, target

from plait import evaluate, fit, load_recipe
from plait.recipe import Recipe

RECIPE = Path(__file__).parents[1] / "recipes/utd_mhad.yaml"
GOAL, LEAST, LONGEST = 98.0, 95.5, 10.0
STEPS = (700, 500, 350, 200, 100)
BEFORE = {"wide": False, "temperature_scaling": False}


def one(recipe: Recipe, cache: Path, *, quick: bool = False) -> tuple[float, float]:
    """Accuracy of all modalities in points, and seconds of one core, of a recipe with one seed."""
    with tempfile.TemporaryDirectory() as out:
        started = time.process_time()
        run = fit(recipe, Path(out) / "run", cache=cache, quiet=True, quick=quick)
        seconds = time.process_time() - started
        found = evaluate(run, cache=cache)
    whole = max(found["subsets"], key=lambda s: len(s["modalities"]))
    return 100 * whole["metrics"]["accuracy"]["mean"], seconds


def recipe_of(seed: int, **train: Any) -> Recipe:
    recipe = load_recipe(RECIPE)
    recipe.train = recipe.train.model_copy(update={"seeds": [seed], **train})
    return recipe


def curve(seeds: list[int], cache: Path, console: Console) -> dict[str, float]:
    """Seconds to `GOAL`, before and now; infinite where it is not reached."""
    table, best = Table("steps", "before, %", "s", "now, %", "s", title="the default"), {}
    for steps in STEPS:
        cells = [str(steps)]
        for name, options in (("before", BEFORE), ("now", {})):
            found = np.array([one(recipe_of(seed, steps=steps, **options), cache) for seed in seeds]).mean(0)
            cells += [f"{found[0]:.1f}", f"{found[1]:.0f}"]
            if found[0] >= GOAL:
                best[name] = min(best.get(name, np.inf), float(found[1]))
        table.add_row(*cells)
    console.print(table)
    return {name: best.get(name, np.inf) for name in ("before", "now")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--curve", action="store_true")
    parser.add_argument("--cache", type=Path, default=Path(".plait-cache"))
    args = parser.parse_args()
    needs.check(["utd_mhad"])
    torch.set_num_threads(1)
    console = Console()
    one(recipe_of(0), args.cache, quick=True)  # prepares, and warms up
    rows = np.array([one(recipe_of(seed), args.cache, quick=True) for seed in args.seeds])
    console.print(f"quick: {rows[:, 0].mean():.1f} % ({rows[:, 0].min():.1f} to {rows[:, 0].max():.1f})")
    targets = [
        target("quick model on UTD-MHAD, accuracy, mean of seeds", rows[:, 0].mean(), ">=", LEAST),
        target("its fit, slowest seed, seconds of one core", rows[:, 1].max(), "<=", LONGEST),
    ]
    if args.curve:
        found = curve(args.seeds, args.cache, console)
        ratio = found["now"] / found["before"] if np.isfinite(found["before"]) else np.inf
        targets.append(target("default's time to 98.0 % over what it was", ratio, "<=", 0.5))
    finish(targets)


if __name__ == "__main__":
    main()
