"""Simulated test sets of `benchmarks/intervals.py`: groups of uneven size whose items are alike, skewed errors.

Every metric is a function of sums over groups, or of pairs of groups, so that thousands of sets are scored at once.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Score = Callable[[Floats], Floats]
"""How often each group is taken, [rows, groups] -> the metric of every test set, [sets, rows]."""


@dataclass(frozen=True)
class Sets:
    """Many test sets: the sizes of their groups [sets, groups], the metric, and its value were there endless groups."""

    sizes: Floats
    score: Score
    truth: float


@dataclass(frozen=True)
class Case:
    """A metric: between what it lies, and how test sets are drawn: (random, sets, groups, likeness) -> `Sets`."""

    name: str
    bounds: tuple[float, float]
    draw: Callable[[np.random.Generator, int, int, float], Sets]


def sizes_of(rng: np.random.Generator, sets: int, groups: int) -> NDArray[np.int64]:
    """About 20 items a group, the largest often five times the smallest; at least 4."""
    return np.maximum(np.round(20 * np.exp(rng.normal(-0.18, 0.6, (sets, groups)))), 4).astype(np.int64)


def skewed(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Mean 0, deviation 1, skewness 2."""
    return rng.exponential(1.0, shape) - 1


def alike(rng: np.random.Generator, there: NDArray[np.bool_], icc: float) -> Floats:
    """Skewed numbers, [sets, groups, items], of which two of a group correlate by ``icc``."""
    own = np.sqrt(icc) * skewed(rng, (*there.shape[:2], 1))
    return np.asarray(own + np.sqrt(1 - icc) * skewed(rng, there.shape))


def items_of(sizes: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.arange(sizes.max()) < sizes[..., None]


def ratio(sums: Floats, sizes: Floats) -> Score:
    """The mean of items, of their sums a group."""
    return lambda counts: (sums @ counts.T) / (sizes @ counts.T)


def mean_error(rng: np.random.Generator, sets: int, groups: int, icc: float) -> Sets:
    """A mean absolute error: skewed, positive, about 1.2 with a deviation of 1."""
    sizes = sizes_of(rng, sets, groups)
    there = items_of(sizes)
    values = 1.2 + alike(rng, there, icc)
    return Sets(sizes.astype(float), ratio((values * there).sum(-1), sizes.astype(float)), 1.2)


def accuracy(rng: np.random.Generator, sets: int, groups: int, icc: float, p: float = 0.85) -> Sets:
    """Right answers: each group has a share of its own, by a beta distribution."""
    sizes, spread = sizes_of(rng, sets, groups), 1 / icc - 1
    own = rng.beta(p * spread, (1 - p) * spread, (sets, groups))
    return Sets(sizes.astype(float), ratio(rng.binomial(sizes, own).astype(float), sizes.astype(float)), p)


def difference(
    rng: np.random.Generator, sets: int, groups: int, icc: float, wins: tuple[float, float] = (0.15, 0.07)
) -> Sets:
    """Two models on the same items: on so many only the first is right, on so many only the second."""
    sizes, spread = sizes_of(rng, sets, groups), 1 / icc - 1
    parts = np.array([*wins, 1 - sum(wins)]) * spread
    shares = rng.gamma(np.broadcast_to(parts, (sets, groups, 3))) + 1e-12
    found = rng.multinomial(sizes, shares / shares.sum(-1, keepdims=True))
    return Sets(sizes.astype(float), ratio((found[..., 0] - found[..., 1]) * 1.0, sizes * 1.0), wins[0] - wins[1])


def correlation(rng: np.random.Generator, sets: int, groups: int, icc: float, r: float = 0.6) -> Sets:
    sizes = sizes_of(rng, sets, groups)
    there = items_of(sizes)
    x, rest = alike(rng, there, icc), alike(rng, there, icc)
    y = r * x + math.sqrt(1 - r * r) * rest
    sums = np.stack([(v * there).sum(-1) for v in (np.ones(x.shape), x, y, x * x, y * y, x * y)], -1)

    def score(counts: Floats) -> Floats:
        n, a, b, aa, bb, ab = np.moveaxis(counts @ sums, -1, 0)
        return np.asarray((ab - a * b / n) / np.sqrt(np.maximum((aa - a * a / n) * (bb - b * b / n), 1e-300)))

    return Sets(sizes.astype(float), score, r)


def answers(
    rng: np.random.Generator, sets: int, groups: int, icc: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_], Floats]:
    """Sizes, which items are there, which are positive, and scores: shifted and told apart better or worse by group."""
    sizes = sizes_of(rng, sets, groups)
    there = items_of(sizes)
    positive = rng.random(there.shape) < rng.beta(4, 4, (sets, groups, 1))
    apart = 1.4 * (1 + 0.5 * np.sqrt(icc) * rng.normal(size=(sets, groups, 1)))
    own = np.sqrt(icc) * skewed(rng, (sets, groups, 1))
    return sizes, there, positive, own + apart * positive + np.sqrt(1 - icc) * rng.normal(size=there.shape)


def area(rng: np.random.Generator, sets: int, groups: int, icc: float) -> Sets:
    """The area under the ROC curve, of pairs of groups."""
    sizes, there, positive, scores = answers(rng, sets, groups, icc)
    tables = [pairs(there[i], positive[i], scores[i]) for i in range(sets)]
    won = np.stack(tables)
    ups, downs = ((there & side).sum(-1).astype(float) for side in (positive, ~positive))

    def score(counts: Floats) -> Floats:
        right = np.einsum("rg,sgh,rh->sr", counts, won, counts, optimize=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(right / ((ups @ counts.T) * (downs @ counts.T)))

    return Sets(sizes.astype(float), score, endless_area(icc))


def pairs(there: NDArray[np.bool_], positive: NDArray[np.bool_], scores: Floats) -> Floats:
    """How many negatives of each group are outscored by positives of each other, [groups, groups]."""
    n = len(there)
    ups = [np.sort(scores[g][there[g] & positive[g]]) for g in range(n)]
    downs = np.concatenate([scores[g][there[g] & ~positive[g]] for g in range(n)])
    owner = np.repeat(np.arange(n), [(there[g] & ~positive[g]).sum() for g in range(n)])
    won = [np.bincount(owner, len(up) - np.searchsorted(up, downs, side="right"), n) for up in ups]
    return np.asarray(won, float)


@functools.cache
def endless_area(icc: float) -> float:
    """The same of 20,000 groups."""
    _, there, positive, scores = answers(np.random.default_rng(12345), 1, 20_000, icc)
    truth, ranks = positive[there], stats.rankdata(scores[there])
    ups, downs = int(truth.sum()), int((~truth).sum())
    return float((ranks[truth].sum() - ups * (ups + 1) / 2) / (ups * downs))


CASES = (
    Case("mean error", (0.0, math.inf), mean_error),
    Case("accuracy", (0.0, 1.0), accuracy),
    Case("area under ROC", (0.0, 1.0), area),
    Case("correlation", (-1.0, 1.0), correlation),
    Case("paired difference", (-math.inf, math.inf), difference),
)
EQUAL = Case("two models equally good", (-math.inf, math.inf), functools.partial(difference, wins=(0.1, 0.1)))
