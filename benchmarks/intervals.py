"""How often 95 % intervals hold the truth: python benchmarks/intervals.py

Needs: nothing beyond plait.
Takes: about a minute of one core.

Simulated test sets (`intervals_cases.py`): groups of 4 to 80 items, of which two of a group are alike by an intra-class
correlation of 0.1, 0.3 and 0.5; skewed errors; 5, 10 and 30 groups. Of each method the share of 2,000 test sets whose
interval holds the value that endless groups would have, and the median width; of each number of groups the worst of the
three likenesses. The methods:

- percentile: the percentile bootstrap over groups (Field & Welsh 2007), as plait had it before;
- BCa: bias-corrected and accelerated (Efron 1987), the acceleration by the jackknife over groups;
- wild: wild cluster bootstrap-t of the groups' influences, Rademacher weights (Cameron, Gelbach & Miller 2008);
- bootstrap-t: studentised bootstrap of the groups' influences (Efron 1981), on the metric's own open scale;
- t, groups - 1: cluster jackknife and Student's t (CV3), on the metric as it is;
- open t, groups - 1: the same on the open scale (logit, Fisher's z, logarithm);
- plait: the same with the degrees of freedom of Bell & McCaffrey: `plait.evaluation.intervals.jackknife_t`.

An interval that could not be computed counts as one that misses.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator

import numpy as np
from intervals_cases import CASES, EQUAL, Case, Floats, Sets
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy import special, stats
from targets import finish, target

from plait.evaluation.intervals import FEWEST_GROUPS, degrees_of_freedom, jackknife_t

GROUPS, LIKENESS = (3, 4, 5, 10, 30), (0.1, 0.3, 0.5)
WANTED = {5: 0.90, 10: 0.93, 30: 0.93}
TAILS = (0.025, 0.975)
Ends = tuple[Floats, Floats]
Figures = tuple[float, float, float]
"""The share of intervals that hold the truth, the median width, the share that leave out 0."""
Found = dict[tuple[str, int, float], dict[str, Figures]]
"""Figures by metric, number of groups and likeness, then by method."""


def left_out(groups: int) -> Floats:
    return np.vstack([np.ones(groups), 1 - np.eye(groups)])


def percentile(drawn: Floats) -> Ends:
    low, high = np.nanquantile(drawn, TAILS, axis=1)
    return low, high


def bca(drawn: Floats, values: Floats) -> Ends:
    """Efron 1987, "Better bootstrap confidence intervals", equations 2.3 and 6.6."""
    value, change = values[:, :1], values[:, 1:].mean(1, keepdims=True) - values[:, 1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        below = ((drawn < value).mean(1) + (drawn <= value).mean(1)) / 2
        bias = stats.norm.ppf(below)
        speed = (change**3).sum(1) / (6 * (change**2).sum(1) ** 1.5)
        places = [stats.norm.cdf(bias + (bias + z) / (1 - speed * (bias + z))) for z in stats.norm.ppf(TAILS)]
    ordered, last = np.sort(drawn, axis=1), drawn.shape[1] - 1
    ends = [ordered[np.arange(len(drawn)), np.nan_to_num(p * last).astype(int)] for p in places]
    return ends[0], ends[1]


def opened(values: Floats, bounds: tuple[float, float]) -> tuple[Floats, Floats]:
    """Values where they have no bounds, and how fast they move there."""
    low, high = bounds
    with np.errstate(divide="ignore"):
        if np.isfinite(high):
            return np.log((values - low) / (high - values)), (high - low) / ((values - low) * (high - values))
        return (np.log(values - low), 1 / (values - low)) if np.isfinite(low) else (values, np.ones_like(values))


def closed(values: Floats, bounds: tuple[float, float]) -> Floats:
    low, high = bounds
    if np.isfinite(high):
        return low + (high - low) * special.expit(values)
    return low + np.exp(values) if np.isfinite(low) else values


def studentised(values: Floats, bounds: tuple[float, float], counts: Floats, signs: Floats) -> tuple[Ends, Ends]:
    """Wild and ordinary bootstrap-t of the groups' influences on the open scale (no metric is computed anew)."""
    n = values.shape[1] - 1
    centre, slope = opened(values[:, 0], bounds)
    pull = (n - 1) * (values[:, :1] - values[:, 1:]) * slope[:, None]
    pull = pull - pull.mean(1, keepdims=True)
    error = np.sqrt((pull**2).sum(1) / (n * (n - 1)))

    def ratios(weights: Floats, squares: Floats) -> Floats:
        moved, spread = pull @ weights.T / n, (pull**2) @ squares.T / n
        return moved / np.sqrt(np.maximum(spread - moved**2, 1e-300) / (n - 1))

    wild = np.quantile(np.abs(ratios(signs, np.ones_like(signs))), 0.95, axis=1)
    low, high = np.quantile(ratios(counts, counts), TAILS, axis=1)
    ends = [[closed(centre + t * error, bounds) for t in both] for both in ((-wild, wild), (-high, -low))]
    return (ends[0][0], ends[0][1]), (ends[1][0], ends[1][1])


def intervals(case: Case, sets: Sets, draws: int, rng: np.random.Generator) -> dict[str, Ends]:
    """The ends by each method, [sets]."""
    n = sets.sizes.shape[1]
    values = sets.score(left_out(n))
    counts = rng.multinomial(n, np.full(n, 1 / n), draws).astype(float)
    every = np.array(list(itertools.product((-1.0, 1.0), repeat=n))) if n <= 10 else rng.choice([-1.0, 1.0], (draws, n))
    drawn = sets.score(counts)
    wild, ordinary = studentised(values, case.bounds, counts, every)
    df = degrees_of_freedom(sets.sizes)
    return {
        "percentile": percentile(drawn),
        "BCa": bca(drawn, values),
        "wild": wild,
        "bootstrap-t": ordinary,
        "t, groups - 1": jackknife_t(values, n - 1, n),
        "open t, groups - 1": jackknife_t(values, n - 1, n, bounds=case.bounds),
        "plait": jackknife_t(values, df, n, bounds=case.bounds),
    }


def measured(case: Case, groups: int, icc: float, args: argparse.Namespace) -> dict[str, Figures]:
    rng = np.random.default_rng([args.seed, groups, round(100 * icc)])
    parts: dict[str, list[Floats]] = {}
    for done in range(0, args.sets, 250):
        sets = case.draw(rng, min(250, args.sets - done), groups, icc)
        with np.errstate(all="ignore"):  # a set without a wrong answer has no spread: it counts as missed
            ends = intervals(case, sets, args.draws, rng)
        for name, (low, high) in ends.items():
            held = (low <= sets.truth) & (sets.truth <= high)
            parts.setdefault(name, []).append(np.stack([held, high - low, (low > 0) | (high < 0)], 1))
    whole = {name: np.concatenate(p) for name, p in parts.items()}
    return {name: (x[:, 0].mean(), float(np.nanmedian(x[:, 1])), x[:, 2].mean()) for name, x in whole.items()}


def cells(args: argparse.Namespace) -> Iterator[tuple[Case, int, float]]:
    for case in (*CASES, EQUAL):
        yield from ((case, groups, icc) for groups in GROUPS for icc in LIKENESS)


def worst(found: Found, case: Case, groups: int, method: str) -> Figures:
    """Over the likenesses: the least often, the typical width, the most often."""
    rows = [found[case.name, groups, icc][method] for icc in LIKENESS]
    return min(r[0] for r in rows), float(np.median([r[1] for r in rows])), max(r[2] for r in rows)


def shown(found: Found, case: Case) -> Table:
    table = Table(title=f"{case.name}: truth inside (median width)")
    for name in ("method", *(f"{g} groups" for g in GROUPS)):
        table.add_column(name, justify="right" if name != "method" else "left")
    for method in next(iter(found.values())):
        row = [worst(found, case, g, method) for g in GROUPS]
        table.add_row(method, *(f"{100 * held:.1f} % ({min(width, 99):.2f})" for held, width, _ in row))
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", type=int, default=2000, help="test sets of each kind")
    parser.add_argument("--draws", type=int, default=500, help="draws of the bootstraps")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    began = time.perf_counter()
    found: Found = {}
    for case, groups, icc in track(list(cells(args)), "simulated", console=Console(stderr=True), transient=True):
        found[case.name, groups, icc] = measured(case, groups, icc, args)
    for case in CASES:
        Console().print(shown(found, case))
    targets = [
        target(f"{case.name}, {groups} groups: truth inside 95 %", worst(found, case, groups, "plait")[0], ">=", wanted)
        for case in CASES
        for groups, wanted in WANTED.items()
    ]
    for groups in WANTED:
        called = worst(found, EQUAL, groups, "plait")[2]
        targets.append(target(f"{EQUAL.name}, {groups} groups: called better or worse", called, "<=", 0.06))
    rows = [
        {"metric": name, "groups": groups, "icc": icc, "method": method, "inside": round(held, 4)}
        | ({"width": round(width, 4)} if np.isfinite(width) else {"width": None})
        for (name, groups, icc), methods in found.items()
        for method, (held, width, _) in methods.items()
    ]
    finish(targets, fewest_groups=FEWEST_GROUPS, seconds=round(time.perf_counter() - began, 1), rows=rows)


if __name__ == "__main__":
    main()
