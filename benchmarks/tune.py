"""Searches at a quarter of a grid's compute, beside the grid: python benchmarks/tune.py [SET ...]

Needs: utd_mhad and grid_s1 in PLAIT_DATA; for ``made`` nothing beyond plait and its extra search.
Takes: perhaps 40 minutes of one core for utd_mhad and grid_letter; for ``made`` 15 minutes with --steps 120.

Two spaces of twelve recipes each. ``training``: three fusions, two widths, two learning rates. ``size``: four widths
and all subsets of the two streams, which can share weights. In both each recipe is trained whole (the grid); beside it
stand `plait tune` with successive halving, which gets a quarter of that, and as many random recipes as a quarter pays
for, trained whole; in ``size`` also one model with the weights of all recipes (sampler weight_sharing). All choose on
the same validation items with the same seed, and each choice is scored once on the test part.

Validation figures of shared weights are those of slices. So a choice made by them is compared by the figure that the
grid measured of that recipe, trained alone; and how alike both rank the recipes is Kendall's tau.

UTD-MHAD: person 7 is held out to choose by, and the official test part has four people: too few for an interval over
people. There the interval is over recordings; it is narrower, so that the target is harder to reach.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import needs
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from scipy.stats import kendalltau
from targets import check_parts, finish, target

from plait import CorpusWriter, Recipe, Stream, load_recipe, parse_recipe, tune
from plait.tuning.tune import Search, Tuned

POINTS = 12

SPACES = {
    "training": ("fusion=late,concat,gated", "model.dim=32,96", "train.lr=1e-3,4e-3"),
    "size": ("model.dim=16,32,64,96", "streams=subsets"),
}

SHARED = "weight_sharing"


def ways_of(space: str) -> dict[str, Search]:
    """Nine trials on three rungs are 9/9 + 3/3 - 3/9 + 1 - 1/3 = 2.3 whole trainings, and few too early promotions."""
    over = SPACES[space]
    ways = {
        "grid": Search(over, trials=POINTS, sampler="grid", rungs=1),
        "tune": Search(over, trials=9, sampler="tpe"),
        "random": Search(over, trials=POINTS // 4, sampler="random", rungs=1),
    }
    return ways | ({SHARED: Search(over, sampler=SHARED)} if space == "size" else {})


# Without the quick model, which hides what a deep one lacks and is fitted anew on each rung.
ALIKE = ["train.seeds=[0]", "train.wide=false"]

NEEDED = {"utd_mhad": "utd_mhad", "grid_letter": "grid_s1"}

SPLITS = {
    "utd_mhad": [
        "split={by: subject, train: [1, 3, 5], valid: [7], test: [2, 4, 6, 8]}",
        "corpus.import.group='{id}'",
    ]
}
"""Of sets whose recipe has no validation part."""

SETS = (*NEEDED, "made")


def recipe_of(name: str, out: Path, steps: int) -> Recipe:
    """The recipe of a set; ``made``: two streams that tell one bit each, noisily, from 24 people."""
    own = [*ALIKE, f"train.steps={steps}"]
    if name != "made":
        return load_recipe(Path(__file__).parents[1] / f"recipes/{name}.yaml", own + SPLITS.get(name, []))
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


def of_space(name: str, found: dict[str, Tuned], console: Console) -> list[dict[str, Any]]:
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
    grid, rows = found["grid"], list[dict[str, Any]]()
    for way in ("tune", SHARED):
        if way in found:
            rows += targets_of(f"{name}, {way}", grid, found[way])
    if SHARED in found:
        console.print(f"{name}: rank correlation of shared weights with the grid, {tau(grid, found[SHARED]):.2f}")
    return rows


def targets_of(name: str, grid: Tuned, other: Tuned) -> list[dict[str, Any]]:
    return [
        target(f"{name}: best by validation, over the low end of the grid's best", over_low(grid, other), ">=", 0),
        target(f"{name}: test figure, over the low end of the grid's", over_test(grid, other), ">=", 0),
        target(f"{name}: whole trainings, of the grid's", share(other, grid, "trainings"), "<=", 0.25),
        target(f"{name}: seconds of processor, of the grid's", share(other, grid, "seconds"), "<=", 0.25),
    ]


def alone(grid: Tuned) -> dict[str, float]:
    """What the grid measured of each recipe, by its point."""
    return {key(grid["points"][str(one["trial"])]): one["metric"] for one in grid["trials"]}


def key(point: Any) -> str:
    return json.dumps(point, sort_keys=True)


def tau(grid: Tuned, other: Tuned) -> float:
    """Kendall's tau of the figures of shared weights with those of the recipes trained alone."""
    known = alone(grid)
    pairs = [(one["metric"], known[key(other["points"][str(one["trial"])])]) for one in other["trials"]]
    return float(kendalltau(*zip(*pairs)).statistic)


def over_low(grid: Tuned, tuned: Tuned) -> float:
    """How far the search's best is above the low end of the interval of the grid's best; NaN, missed: no interval.

    Both by the figure of the recipe trained alone, which a search by shared weights does not have.
    """
    low, best = best_of(grid)["low"], best_of(tuned)
    if tuned["search"]["sampler"] == SHARED:
        best["metric"] = alone(grid)[key(tuned["points"][str(best["trial"])])]
    return float("nan") if low is None else best["metric"] - low


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
    parser.add_argument("--spaces", nargs="*", default=[*SPACES], help=f"of {', '.join(SPACES)}")
    parser.add_argument("--steps", type=int, default=250, help="of a whole training")
    parser.add_argument("--out", default="runs/tune", help="the searches are kept here, and go on from here")
    parser.add_argument("--cache", default=".plait-cache")
    args = parser.parse_args()
    check_parts(parser, args.sets, SETS)
    check_parts(parser, args.spaces, SPACES)
    needs.check([NEEDED[name] for name in args.sets if name in NEEDED], ["optuna"])
    torch.set_num_threads(1)
    console, rows, out = Console(width=130), list[dict[str, Any]](), Path(args.out).resolve()
    ranks = dict[str, float]()
    for name in args.sets:
        recipe = recipe_of(name, out, args.steps)
        for space in args.spaces:
            found = {
                way: tune(recipe, out / name / space / way, search, cache=args.cache)
                for way, search in ways_of(space).items()
            }
            rows += of_space(f"{name}, {space}", found, console)
            if SHARED in found:
                ranks[name] = tau(found["grid"], found[SHARED])
    finish(rows, rank_correlation=ranks)


if __name__ == "__main__":
    main()
