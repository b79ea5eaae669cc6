"""Confidence intervals over whole groups: items of one speaker are not independent, and there are often few groups.

The method is the cluster jackknife with Student's t:

- The metric is computed without each group in turn. The variance is ``(n - 1) / n`` times the sum of squared changes
  (CV3: MacKinnon, Nielsen & Webb 2023, "Fast and reliable jackknife and bootstrap methods for cluster-robust
  inference", Journal of Applied Econometrics 38(5)).
- The quantile is that of Student's t, with the degrees of freedom of Bell & McCaffrey 2002, "Bias reduction in standard
  errors for linear regression with multi-stage samples", Survey Methodology 28(2); see `degrees_of_freedom`.
- A metric with bounds is transformed to a scale without bounds: shares and areas by the logit, correlations by Fisher's
  z, errors by the logarithm, all by the delta method. Survey statistics treat proportions in this way (Dean & Pagano
  2015, Journal of Survey Statistics and Methodology 3(4)).

`benchmarks/intervals.py` measures how often the truth is inside, for this and six other methods. The percentile
bootstrap over groups, in common use, is too narrow with few groups (Cameron, Gelbach & Miller 2008, Review of Economics
and Statistics 90(3)). With fewer than `FEWEST_GROUPS` groups no interval is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from plait.core.errors import DataError, PlaitError

__all__ = [
    "ANYWHERE",
    "FEWEST_GROUPS",
    "LEVEL",
    "MOST_BLOCKS",
    "NO_SPREAD",
    "TOO_FEW",
    "UNDEFINED",
    "Bounds",
    "Floats",
    "Interval",
]
__all__ += ["Kernel", "Units", "bounds_within", "degrees_of_freedom", "difference_of", "from_indices", "from_sums"]
__all__ += [
    "interval_of",
    "jackknife_interval",
    "jackknife_p",
    "jackknife_t",
    "leave_one_out",
    "mean_interval",
    "paired_interval",
]

Floats = NDArray[np.float64]
Bounds = tuple[float, float]
Kernel = Callable[[Floats], Floats]
"""From how often each unit is taken, [rows, units], to the metric, [rows] (NaN where it is not defined)."""

LEVEL = 0.95

FEWEST_GROUPS = 5
"""In the benchmark, the interval of a difference with three groups misses the truth more than once in ten times, and
that of an accuracy with four groups spans most of its range."""

MOST_BLOCKS = 200
"""More groups than that are left out in this many blocks: the standard error is then known to 5 %."""

ANYWHERE: Bounds = (-math.inf, math.inf)

TOO_FEW, UNDEFINED, NO_SPREAD = "too few groups", "not defined without some groups", "the same in all groups"
"""Why there is no interval."""


@dataclass(frozen=True)
class Interval:
    """Where a metric of new groups lies, or why that is not known.

    Attributes:
        low, high: ends of the interval; NaN where there is none.
        groups: how many groups there are.
        reason: why there is none: `TOO_FEW`, `UNDEFINED` or `NO_SPREAD`; empty where there is one.
    """

    low: float
    high: float
    groups: int
    reason: str = ""


@dataclass(frozen=True)
class Units:
    """The entries that are left out together: ``codes`` [entries] is the unit of each entry, from 0 to ``n - 1``.

    A unit is a group. With more than `MOST_BLOCKS` groups it is a block of groups, of sizes as equal as possible and
    the same in every call (Kott 2001, "The delete-a-group jackknife", Journal of Official Statistics 17(4)).
    """

    codes: NDArray[np.intp]
    n: int
    groups: int

    @classmethod
    def of(cls, groups: ArrayLike | Sequence[str], most: int = MOST_BLOCKS) -> Units:
        """Units of the group of each entry.

        Args:
            groups: of each entry.
            most: units; with more groups than this, blocks of groups.

        Raises:
            DataError: no entries.

        >>> Units.of(["ann", "bob", "ann"])
        Units(codes=array([0, 1, 0]), n=2, groups=2)
        """
        names, codes = np.unique(np.asarray(groups), return_inverse=True)
        if not len(codes):
            raise DataError("there are no items to compute an interval from.")
        n = min(len(names), most)
        # At random, since neighbours in the order of names may be of one family, room or day; seeded, to repeat.
        block = np.random.default_rng(0).permutation(len(names)) % n if n < len(names) else np.arange(n)
        return cls(block[codes.ravel()], n, len(names))

    @property
    def df(self) -> float:
        """Degrees of freedom of the jackknife's variance."""
        return float(degrees_of_freedom(np.bincount(self.codes, minlength=self.n)))


def degrees_of_freedom(sizes: ArrayLike) -> Floats:
    """Satterthwaite's degrees of freedom of the jackknife variance of a mean over groups of these sizes, [..., groups].

    As Bell & McCaffrey (2002): under a working model, the chi-square distribution with these degrees of freedom has the
    first two moments of the estimate. In their model items are independent; Imbens & Kolesár 2016, "Robust standard
    errors in small samples", Review of Economics and Statistics 98(4), let items of a group be correlated. How strongly
    is not known for a metric, so the worst case is taken: all group means are equally uncertain, whatever the size of
    the group. Groups of equal size give ``groups - 1``; unequal sizes give less.

    >>> float(degrees_of_freedom([20, 20, 20, 20, 20])), round(float(degrees_of_freedom([60, 10, 10, 10, 10])), 2)
    (4.0, 1.16)
    """
    share = np.asarray(sizes, np.float64)
    share = share / share.sum(-1, keepdims=True)
    if share.shape[-1] < 2:
        return np.full(share.shape[:-1], np.nan)
    # Leaving a group out changes the mean by share / (1 - share) times the distance of its mean from the whole mean.
    pull = share / (1 - share)
    both = np.eye(share.shape[-1]) - share[..., :, None] - share[..., None, :] + (share**2).sum(-1)[..., None, None]
    # `both` is the covariance of these distances for group means of variance 1; trace and squares give both moments.
    product = pull[..., :, None] * pull[..., None, :] * both
    return np.asarray(np.trace(product, axis1=-2, axis2=-1) ** 2 / (product**2).sum((-2, -1)))


def leave_one_out(kernels: Sequence[Kernel], units: Units) -> Floats:
    """Every metric of all units, and without each of them in turn: [kernels, 1 + units]."""
    counts = np.vstack([np.ones(units.n), 1 - np.eye(units.n)])
    return np.stack([kernel(counts) for kernel in kernels])


def from_indices(metric: Callable[[NDArray[np.intp]], float], units: Units) -> Kernel:
    """A kernel of any metric that takes the entries' indices. Slow: the metric is called once per row."""
    every = np.arange(len(units.codes))

    def one(row: Floats) -> float:
        index = np.repeat(every, row.astype(np.intp)[units.codes])
        try:
            return float(metric(index)) if len(index) else math.nan
        except (ValueError, ArithmeticError, PlaitError):
            return math.nan  # a class may be missing without a group; `interval_of` gives the reason

    return lambda counts: np.array([one(row) for row in counts])


def from_sums(items: Floats, units: Units, combine: Callable[[Floats], Floats]) -> Kernel:
    """A kernel of a metric of sums over entries. ``items`` [entries, k]; ``combine`` takes sums [rows, k] to [rows].

    Fast: each unit is summed once; all rows are then one matrix product.
    """
    sums = np.stack([np.bincount(units.codes, column, units.n) for column in items.T], axis=1)

    def kernel(counts: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return combine(counts @ sums)

    return kernel


def bounds_within(bounds: Bounds, values: ArrayLike) -> Bounds:
    """The bounds of a metric; no bounds if a value lies outside them.

    >>> bounds_within((0.0, 1.0), [0.9]), bounds_within((0.0, 1.0), [90.0])
    ((0.0, 1.0), (-inf, inf))
    """
    low, high = bounds
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return (low, high) if ((known >= low - 1e-9) & (known <= high + 1e-9)).all() else ANYWHERE


def difference_of(a: Floats, b: Floats) -> Floats:
    """``a - b``, of two metrics with the same units left out; a difference that is rounding only becomes 0."""
    gap = a - b
    # Else two equal models would differ by 1e-17 in some groups, and have an interval of that width.
    return np.where(np.abs(gap) <= 1e-12 * np.maximum(np.abs(a), np.abs(b)), 0.0, gap)


def jackknife_t(
    values: Floats, df: ArrayLike, groups: ArrayLike, *, bounds: Bounds = ANYWHERE, level: float = LEVEL
) -> tuple[Floats, Floats]:
    """Ends of the intervals of many metrics at once.

    Args:
        values: each metric of all units, then without each of them: [..., 1 + units].
        df: degrees of freedom, [...].
        groups: the number of groups, [...].
        bounds: the bounds of the metric. A share of exactly 1 has no spread; its interval then begins at
            ``((1 - level) / 2) ** (1 / groups)``: with a smaller share of such groups it is unlikely that all of these
            are (Clopper & Pearson 1934). A share of 0 likewise.
        level: how often the interval should contain the truth.

    Returns:
        Lower and upper ends, [...]; NaN where the metric is not defined or has no spread.

    >>> values = np.array([0.8, 0.78, 0.82, 0.79, 0.81, 0.8])
    >>> [round(float(end), 3) for end in jackknife_t(values, 4, 5, bounds=(0, 1))]
    [0.71, 0.867]
    """
    value, change = values[..., 0], values[..., 1:] - values[..., :1]
    # CV3: changes from the metric of all units, and not from the mean of the leave-outs, as CV3J has it.
    n = change.shape[-1]
    error = np.sqrt((n - 1) / n * np.square(change).sum(-1))
    # The same value whatever is left out says nothing of new groups: no interval, rather than one of width 0.
    with np.errstate(invalid="ignore"):
        error = np.where(error > 1e-12 * np.abs(value), error, np.nan)
    half_width = stats.t.ppf((1 + level) / 2, np.asarray(df, np.float64)) * error
    ends = [_moved(value, side * half_width, bounds) for side in (-1, 1)]
    # Only with bounds 0 and 1: of a correlation or an error a perfect value does not count successes.
    if bounds == (0.0, 1.0):
        tail = ((1 - level) / 2) ** (1 / np.asarray(groups, np.float64))
        best, worst = value > 1 - 1e-12, value < 1e-12
        ends = [np.select([best, worst], [tail, 0.0], ends[0]), np.select([best, worst], [1.0, 1 - tail], ends[1])]
    return ends[0], ends[1]


def _moved(value: Floats, by: Floats, bounds: Bounds) -> Floats:
    """A value moved by ``by`` on a scale without bounds that has slope 1 at the value (delta method)."""
    low, high = bounds
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if math.isfinite(high):  # the logit; for bounds of -1 and 1 it is twice Fisher's z
            z, slope = np.log((value - low) / (high - value)), (high - low) / ((value - low) * (high - value))
            return np.asarray(low + (high - low) * special.expit(z + slope * by))
        if math.isfinite(low):
            return np.asarray(low + (value - low) * np.exp(by / (value - low)))
        return np.asarray(value + by)


def interval_of(values: Floats, units: Units, *, bounds: Bounds = ANYWHERE, level: float = LEVEL) -> Interval:
    """The interval of a metric, [1 + units] as `leave_one_out` gives it.

    Raises:
        DataError: the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise DataError(f"interval level {level}; expected between 0 and 1, such as 0.95.")
    none = Interval(math.nan, math.nan, units.groups)
    # First of all: with few groups an interval can be computed, and misleads.
    if units.groups < FEWEST_GROUPS:
        return Interval(none.low, none.high, units.groups, TOO_FEW)
    if not np.isfinite(values).all():
        return Interval(none.low, none.high, units.groups, UNDEFINED)
    low, high = (float(end) for end in jackknife_t(values, units.df, units.groups, bounds=bounds, level=level))
    return Interval(low, high, units.groups, "" if math.isfinite(low) and math.isfinite(high) else NO_SPREAD)


def jackknife_p(difference: Floats, df: float) -> float:
    """The two-sided p-value of a difference, [1 + units] as `leave_one_out` gives it, by Student's t.

    Without bounds it is below 0.05 where `jackknife_t` has an interval that leaves out 0.

    Returns:
        NaN where the difference is not defined without some unit, or the same without any.

    >>> round(jackknife_p(np.array([0.05, 0.03, 0.07, 0.04, 0.06, 0.05]), 4), 3)
    0.152
    """
    change = difference[1:] - difference[0]
    if not np.isfinite(change).all():
        return math.nan
    n = len(change)
    error = math.sqrt((n - 1) / n * float(np.square(change).sum()))
    # As in `jackknife_t`: rounding alone must not pass for a spread.
    if error <= 1e-12 * max(1.0, abs(float(difference[0]))):
        return math.nan
    return float(2 * stats.t.sf(abs(float(difference[0])) / error, df))


def jackknife_interval(
    metric: Callable[[NDArray[np.intp]], float],
    groups: ArrayLike | Sequence[str],
    *,
    bounds: Bounds = ANYWHERE,
    level: float = LEVEL,
) -> Interval:
    """The interval of any metric.

    Args:
        metric: from indices into the entries to the metric; NaN, ValueError, ArithmeticError and PlaitError mean that
            it is not defined there. It is called once per group, at most 1 + `MOST_BLOCKS` times.
        groups: the group of each entry.
        bounds: the bounds of the metric.

    Raises:
        DataError: no entries, or a level not between 0 and 1.

    >>> right = np.array([1, 1, 0, 1, 0, 0, 1, 1, 1, 0])
    >>> found = jackknife_interval(lambda i: right[i].mean(), list("aabbccddee"), bounds=(0, 1))
    >>> round(found.low, 2), round(found.high, 2)
    (0.15, 0.93)
    >>> jackknife_interval(lambda i: right[i].mean(), list("aaabbbcccc")).reason
    'too few groups'
    """
    units = Units.of(groups)
    return interval_of(leave_one_out([from_indices(metric, units)], units)[0], units, bounds=bounds, level=level)


def mean_interval(
    values: ArrayLike, groups: ArrayLike | Sequence[str], *, bounds: Bounds = ANYWHERE, level: float = LEVEL
) -> Interval:
    """The interval of a mean of one number per item, [items]; fast.

    [k, items] gives the interval of the mean over all rows; the first axis may be seeds.

    >>> mean_interval([1.0, 2.0, 3.0, 4.0, 5.0], list("abcde"), level=0.5).high < 4
    True
    """
    table = np.atleast_2d(np.asarray(values, np.float64))
    units = Units.of(groups)
    if table.shape[1] != len(units.codes):
        raise DataError(f"{table.shape[1]} values but {len(units.codes)} groups; expected one group per value.")
    kernel = from_sums(np.stack([table.mean(0), np.ones(table.shape[1])], 1), units, lambda s: s[:, 0] / s[:, 1])
    return interval_of(leave_one_out([kernel], units)[0], units, bounds=bounds, level=level)


def paired_interval(a: ArrayLike, b: ArrayLike, groups: ArrayLike | Sequence[str], *, level: float = LEVEL) -> Interval:
    """The interval of mean(a) - mean(b) for two scores of the same items, [items]; the same groups are left out of
    both.

    >>> paired_interval([1, 1, 1, 1, 0.0], [0, 0, 0, 0, 0.0], ["v", "w", "x", "y", "z"]).low > 0
    True
    """
    one, two = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if one.shape != two.shape:
        raise DataError(f"scores of shapes {one.shape} and {two.shape}; expected two scores of the same items.")
    return mean_interval(difference_of(one, two), groups, level=level)
