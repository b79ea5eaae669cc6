"""A search at a quarter of a grid's compute, beside the grid: python benchmarks/tune.py [SET ...]

Needs: av_digits and grid_s1 in PLAIT_DATA; for ``made`` nothing beyond plait and its extra search.
Takes: perhaps two hours of one core for av_digits and grid_letter; for ``made`` 7 minutes with --steps 120.

Twelve recipes (three fusions, two widths, two learning rates) are each trained whole. Beside this grid: `plait tune`
with successive halving, which gets a quarter of that, and as many random recipes as a quarter pays for, trained whole.
All choose on the same validation items with the same seed, and each choice is scored once on the test part.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import needs
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from targets import check_parts, finish, target

from plait import CorpusWriter, Recipe, Stream, load_recipe, parse_recipe, tune
from plait.tuning.tune import Search, Tuned

OVER = ("fusion=late,concat,gated", "model.dim=32,96", "train.lr=1e-3,4e-3")
POINTS = 12

WAYS = {
    "grid": Search(OVER, trials=POINTS, sampler="grid", rungs=1),
    "tune": Search(OVER, trials=9, sampler="tpe"),
    "random": Search(OVER, trials=POINTS // 4, sampler="random", rungs=1),
}
"""Nine trials on three rungs are 9/9 + 3/3 - 3/9 + 1 - 1/3 = 2.3 whole trainings, and a few too early promotions."""

# Without the quick model, which hides what a deep one lacks and is fitted anew on each rung.
ALIKE = ["train.seeds=[0]", "train.wide=false"]

NEEDED = {"av_digits": "av_digits", "grid_letter": "grid_s1"}
SETS = (*NEEDED, "made")


def recipe_of(name: str, out: Path, steps: int) -> Recipe:
    """The recipe of a set; ``made``: two streams that tell one bit each, noisily, from 24 people."""
    own = [*ALIKE, f"train.steps={steps}"]
    if name != "made":
        return load_recipe(Path(__file__).parents[1] / f"recipes/{name}.yaml", own)
    rng, folder = np.random.default_rng(0), out / "made-corpus"
    if not (folder / "manifest.jsonl").exists():
        with CorpusWriter(folder) as corpus:
            for i in range(480):
                a, b = i % 2, i // 2 % 2
                left = rng.normal(0, 1.0, (24, 3)) + a * np.sin(np.arange(24) / 2)[:, None]
                right = rng.normal(0, 1.0, (40, 2)) + b * np.cos(np.arange(40) / 3)[:, None]
                split = ("train", "train", "valid", "test")[i // 20 % 4]
                streams = {"left": Stream.of(left, rate=12), "right": Stream.of(right, rate=20)}
                corpus.add(f"r{i}", streams, labels={"kind": "abcd"[2 * a + b]}, group=f"g{i // 20}", split=split)
    text = f"{{corpus: {folder / 'manifest.jsonl'}, task: {{name: classify, target: kind}}, split: {{by: manifest}}}}"
    return parse_recipe(text, own)


def best_of(result: Tuned) -> dict[str, Any]:
    """What was measured of the best trial, trained to the end."""
    last = result["search"]["rungs"] - 1  # type: ignore[operator]
    return next({**one} for one in result["trials"] if one["trial"] == result["best"] and one["rung"] == last)


def of_set(name: str, found: dict[str, Tuned], console: Console) -> list[dict[str, Any]]:
    table = Table(
        "way", "validation", "95 %", "test", "95 %", "optimism", "whole trainings", "s of processor", title=name
    )
    for way, result in found.items():
        best, test, cost = best_of(result), result["test"], result["cost"]
        table.add_row(
            way,
            f"{best['metric']:.3f}",
            interval(best),
            f"{test['metric']:.3f}",
            interval({**test}),
            f"{test['optimism']:+.3f}",
            f"{cost['trainings']:.1f}",
            f"{cost['seconds']:.0f}",
        )
    console.print(table)
    grid, tuned = found["grid"], found["tune"]
    return [
        target(f"{name}: best validation figure, over the low end of the grid's best", over_low(grid, tuned), ">=", 0),
        target(f"{name}: test figure, over the low end of the grid's", over_test(grid, tuned), ">=", 0),
        target(f"{name}: whole trainings, of the grid's", share(tuned, grid, "trainings"), "<=", 0.25),
        target(f"{name}: seconds of processor, of the grid's", share(tuned, grid, "seconds"), "<=", 0.25),
    ]


def over_low(grid: Tuned, tuned: Tuned) -> float:
    """How far the search's best is above the low end of the interval of the grid's best; NaN, missed: no interval."""
    low = best_of(grid)["low"]
    return float("nan") if low is None else best_of(tuned)["metric"] - low


def over_test(grid: Tuned, tuned: Tuned) -> float:
    low = grid["test"]["low"]
    return float("nan") if low is None else tuned["test"]["metric"] - low


def share(one: Tuned, other: Tuned, what: str) -> float:
    return float(one["cost"][what] / other["cost"][what])  # type: ignore[literal-required]


def interval(one: dict[str, Any]) -> str:
    return one["reason"] if one["low"] is None else f"{one['low']:.3f} to {one['high']:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=[*NEEDED], help=f"of {', '.join(SETS)}")
    parser.add_argument("--steps", type=int, default=350, help="of a whole training")
    parser.add_argument("--out", default="runs/tune", help="the searches are kept here, and go on from here")
    parser.add_argument("--cache", default=".plait-cache")
    args = parser.parse_args()
    check_parts(parser, args.sets, SETS)
    needs.check([NEEDED[name] for name in args.sets if name in NEEDED], ["optuna"])
    torch.set_num_threads(1)
    console, rows, out = Console(), list[dict[str, Any]](), Path(args.out).resolve()
    for name in args.sets:
        recipe = recipe_of(name, out, args.steps)
        found = {way: tune(recipe, out / name / way, search, cache=args.cache) for way, search in WAYS.items()}
        rows += of_set(name, found, console)
    finish(rows)


if __name__ == "__main__":
    main()
