"""Confidence intervals by bootstrap over whole groups: items of one speaker are not independent.

Cameron, Gelbach & Miller 2008, "Bootstrap-based improvements for inference with clustered errors", Review of
Economics and Statistics 90(3); Field & Welsh 2007, "Bootstrapping clustered data", JRSS B 69(3), the "cluster
bootstrap". Percentile intervals, not the former's bootstrap-t: with fewer than about ten groups they are too
narrow, and the report says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plait.errors import DataError, PlaitError

__all__ = ["Interval", "Kernel", "Units", "clustered_bootstrap", "from_indices", "from_sums", "interval_of"]
__all__ += ["mean_bootstrap", "paired_bootstrap", "resample"]

Floats = NDArray[np.float64]
Kernel = Callable[[Floats], Floats]
"""How often each unit was drawn, [draws, units] -> the metric, [draws] (NaN where it is not defined)."""

FEWEST_GROUPS = 3


@dataclass(frozen=True)
class Interval:
    """Where a metric lies, and how that was found out.

    Attributes:
        low, high: ends of the interval (NaN when the metric failed on every draw).
        unit: what was drawn: 'group', or 'item' where there are fewer than 3 groups. An interval over
            items says nothing about new groups.
        groups: how many groups there are.
        draws: on how many draws the metric could be computed.
        skipped: on how many it could not (a draw with one class only).
    """

    low: float
    high: float
    unit: str
    groups: int
    draws: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Units:
    """What is drawn together: ``codes`` [entries] number the unit of each entry from 0 to ``n - 1``."""

    codes: NDArray[np.intp]
    n: int
    unit: str
    groups: int

    @classmethod
    def of(cls, groups: ArrayLike | Sequence[str], items: ArrayLike | Sequence[str] | None = None) -> Units:
        """Groups; or, with fewer than 3 of them, items (entries that share an item's id go together).

        Raises:
            DataError: nothing to draw from, or another number of items than of groups.
        """
        names, codes = np.unique(np.asarray(groups), return_inverse=True)
        if not len(codes):
            raise DataError("there are no items to compute an interval from.")
        if len(names) >= FEWEST_GROUPS:
            return cls(codes.ravel(), len(names), "group", len(names))
        own = np.arange(len(codes)) if items is None else np.unique(np.asarray(items), return_inverse=True)[1].ravel()
        if len(own) != len(codes):
            raise DataError(f"{len(own)} items but {len(codes)} groups; expected one group an item.")
        return cls(own, int(own.max()) + 1, "item", len(names))


def _draws(n: int, draws: int, seed: int) -> Iterator[Floats]:
    """Counts of each of n units in samples of n with replacement, [some draws, n], in bounded memory."""
    rng = np.random.default_rng(seed)
    step = max(1, 4_000_000 // n)
    for done in range(0, draws, step):
        rows = min(step, draws - done)
        picked = rng.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(picked.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def resample(kernels: Sequence[Kernel], units: int, *, draws: int = 1000, seed: int = 0) -> Floats:
    """Every metric on the same draws, [kernels, draws], so that their differences are paired."""
    parts = [np.stack([kernel(counts) for kernel in kernels]) for counts in _draws(units, draws, seed)]
    return np.concatenate(parts, axis=1)


def from_indices(metric: Callable[[NDArray[np.intp]], float], units: Units) -> Kernel:
    """Any metric of the entries' indices. Slow: it is called once a draw."""
    every = np.arange(len(units.codes))

    def one(row: Floats) -> float:
        index = np.repeat(every, row.astype(np.intp)[units.codes])
        try:
            return float(metric(index)) if len(index) else float("nan")
        except (ValueError, ArithmeticError, PlaitError):
            return float("nan")  # counted as skipped by `interval_of`

    return lambda counts: np.array([one(row) for row in counts])


def from_sums(items: Floats, units: Units, combine: Callable[[Floats], Floats]) -> Kernel:
    """A metric of sums over entries. ``items`` [entries, k]; ``combine`` takes sums [draws, k] to [draws].

    Fast: each unit is summed once, and a draw is then one row of a matrix product.
    """
    sums = np.stack([np.bincount(units.codes, column, units.n) for column in items.T], axis=1)

    def kernel(counts: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return combine(counts @ sums)

    return kernel


def interval_of(values: Floats, units: Units, level: float = 0.95) -> Interval:
    """The percentile interval of a metric's values over the draws, [draws]; NaN are skipped and counted.

    Raises:
        DataError: the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise DataError(f"interval level {level}; expected between 0 and 1, such as 0.95.")
    good = values[np.isfinite(values)]
    tails = [50 * (1 - level), 50 * (1 + level)]
    low, high = np.percentile(good, tails) if len(good) else (np.nan, np.nan)
    return Interval(float(low), float(high), units.unit, units.groups, len(good), len(values) - len(good))


def clustered_bootstrap(
    metric: Callable[[NDArray[np.intp]], float],
    groups: ArrayLike | Sequence[str],
    *,
    items: ArrayLike | Sequence[str] | None = None,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of any metric, drawing whole groups with replacement.

    Args:
        metric: takes indices into the entries (with repeats), gives the metric; NaN, ValueError,
            ArithmeticError and PlaitError mean that it is not defined there.
        groups: the group of each entry.
        items: ids of the entries, where several entries (seeds) are of one item.
        draws: 1000 by default; the metric is called that often, so give a slow one fewer (200).
            For means of numbers an item use `mean_bootstrap`, which is hundreds of times faster.

    Raises:
        DataError: no entries, or a level not between 0 and 1.

    >>> right = np.array([1, 1, 0, 1, 0, 0, 1, 1])
    >>> clustered_bootstrap(lambda i: right[i].mean(), list("aabbccdd"), draws=200).unit
    'group'
    """
    units = Units.of(groups, items)
    return interval_of(resample([from_indices(metric, units)], units.n, draws=draws, seed=seed)[0], units, level)


def mean_bootstrap(
    values: ArrayLike,
    groups: ArrayLike | Sequence[str],
    *,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """The same for the mean of one number an item, [items]; fast.

    [k, items] gives the interval of the mean over all rows: the first axis may be seeds.

    >>> mean_bootstrap([1.0, 1.0, 0.0, 0.0], ["a", "a", "b", "b"], draws=100)
    Interval(low=0.0, high=1.0, unit='item', groups=2, draws=100, skipped=0)
    """
    table = np.atleast_2d(np.asarray(values, np.float64))
    units = Units.of(groups)
    if table.shape[1] != len(units.codes):
        raise DataError(f"{table.shape[1]} values but {len(units.codes)} groups; expected one group a value.")
    kernel = from_sums(np.stack([table.mean(0), np.ones(table.shape[1])], 1), units, lambda s: s[:, 0] / s[:, 1])
    return interval_of(resample([kernel], units.n, draws=draws, seed=seed)[0], units, level)


def paired_bootstrap(
    a: ArrayLike,
    b: ArrayLike,
    groups: ArrayLike | Sequence[str],
    *,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Interval of mean(a) - mean(b), of two scores of the same items, [items]: both on the same draws.

    >>> gain = paired_bootstrap([1, 1, 1, 0.0], [0, 0, 0, 0.0], ["w", "x", "y", "z"], draws=500)
    >>> gain.low > 0, gain.high
    (True, 1.0)
    """
    one, two = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if one.shape != two.shape:
        raise DataError(f"scores of shapes {one.shape} and {two.shape}; expected two scores of the same items.")
    return mean_bootstrap(one - two, groups, draws=draws, seed=seed, level=level)
