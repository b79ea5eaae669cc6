"""Fast paths of the intervals: metrics that are functions of sums over items, or of pairs of groups.

A kernel is used for a metric only if it gives the task's own numbers on all items and on several parts of them. So a
task that defines a metric in its own way is never overruled: it takes the general, slower path.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from plait.evaluation.intervals import Floats, Kernel, Units, from_indices, from_sums

__all__ = ["kernel_for"]

Metric = Callable[[NDArray[np.intp]], float]


def kernel_for(metric: Metric, scores: Floats, target: NDArray[np.generic], units: Units) -> Kernel:
    """A kernel of the metric, a fast one if there is one.

    Args:
        metric: takes indices into the items.
        scores: [items, classes or 1]; timed scores [items, steps, ...] have no fast kernel.
        target: encoded, [items] or [items, steps, ...].
        units: of the items.
    """
    slow = from_indices(metric, units)
    if scores.ndim != 2 or target.ndim != 1:
        return slow  # timed answers and texts
    # Kernels are told by their numbers, not by the metric's name: a task may give its own metric a known name.
    trials = _trials(units.n)
    wanted = slow(trials)
    # A metric that is not even defined on all items has no number to be recognised by.
    if np.isfinite(wanted[0]):
        for kernel in _candidates(np.asarray(scores, np.float64), target, units):
            if np.allclose(kernel(trials), wanted, rtol=1e-7, atol=1e-9, equal_nan=True):
                return kernel
    return slow


def _trials(n: int) -> Floats:
    """All units, all but one, every second one, and a few in which classes may be missing."""
    place = np.arange(n)
    return np.stack([place >= 0, place != n // 2, place % 2 == 0, place < max(n // 4, 1)]).astype(np.float64)


def _candidates(scores: Floats, target: NDArray[np.generic], units: Units) -> Iterator[Kernel]:
    if scores.shape[1] > 1 and np.issubdtype(np.asarray(target).dtype, np.integer):
        yield from _of_classes(scores, np.asarray(target), units)
    elif scores.shape[1] == 1:
        yield from _of_values(scores[:, 0], np.asarray(target, np.float64), units)


def _of_classes(scores: Floats, target: NDArray[np.generic], units: Units) -> Iterator[Kernel]:
    """Accuracy, F1 (macro over the classes seen, or over all; weighted), mean recall over classes, area under ROC."""
    said, classes = scores.argmax(1), np.arange(scores.shape[1])
    one = np.ones((len(target), 1))
    yield from_sums(np.column_stack([said == target, one]).astype(float), units, lambda s: s[:, 0] / s[:, 1])
    true, guess = target[:, None] == classes, said[:, None] == classes
    # F1 and recall need hits, truths and answers of each class only, and these are sums over items.
    table = np.column_stack([true & guess, true, guess]).astype(float)
    for combine in (_f1_seen, _f1_all, _f1_weighted, _recall):
        yield from_sums(table, units, combine)
    yield _area(scores, target, units)


def _split(sums: Floats) -> tuple[Floats, Floats, Floats]:
    hit, true, guess = np.split(sums, 3, axis=1)
    return hit, true, guess


def _f1_all(sums: Floats) -> Floats:
    hit, true, guess = _split(sums)
    mean: Floats = np.where(true + guess > 0, 2 * hit / np.maximum(true + guess, 1), 0.0).mean(1)
    return mean


def _f1_seen(sums: Floats) -> Floats:
    hit, true, guess = _split(sums)
    seen = true + guess > 0
    mean: Floats = np.where(seen, 2 * hit / np.maximum(true + guess, 1), 0.0).sum(1) / seen.sum(1)
    return mean


def _f1_weighted(sums: Floats) -> Floats:
    hit, true, guess = _split(sums)
    each = np.where(true + guess > 0, 2 * hit / np.maximum(true + guess, 1), 0.0)
    mean: Floats = (each * true).sum(1) / true.sum(1)
    return mean


def _recall(sums: Floats) -> Floats:
    hit, true, _ = _split(sums)
    seen = true > 0
    mean: Floats = np.where(seen, hit / np.maximum(true, 1), 0.0).sum(1) / seen.sum(1)
    return mean


def _area(scores: Floats, target: NDArray[np.generic], units: Units) -> Kernel:
    """Area under ROC (Hanley & McNeil 1982: the share of pairs in the right order), each class against the rest.

    Won pairs are counted once per pair of groups; a row then weighs each pair of groups by how often both are taken.
    """
    # With two classes both areas are the same.
    columns = [1] if scores.shape[1] == 2 else list(range(scores.shape[1]))
    tables = [_pairs(scores[:, c], target == c, units) for c in columns]

    def kernel(counts: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            areas = [
                np.einsum("dg,gh,dh->d", counts, won, counts, optimize=True) / ((counts @ yes) * (counts @ no))
                for won, yes, no in tables
            ]
        mean: Floats = np.mean(areas, axis=0)
        return mean

    return kernel


def _pairs(score: Floats, positive: NDArray[np.bool_], units: Units) -> tuple[Floats, Floats, Floats]:
    """Pairs that a positive of one unit wins over a negative of another, [units, units], ties half; and both totals."""
    yes = np.bincount(units.codes[positive], minlength=units.n).astype(float)
    no = np.bincount(units.codes[~positive], minlength=units.n).astype(float)
    won = np.zeros((units.n, units.n))
    owner, value = units.codes[positive], score[positive]
    for h in np.flatnonzero(no):
        below = np.sort(score[~positive & (units.codes == h)])
        # The mean of both sides counts a tie as half a win.
        beaten = (np.searchsorted(below, value) + np.searchsorted(below, value, side="right")) / 2
        won[:, h] = np.bincount(owner, beaten, units.n)
    return won, yes, no


def _of_values(value: Floats, target: Floats, units: Units) -> Iterator[Kernel]:
    """Mean absolute error, mean squared error and its root, Pearson's correlation."""
    error, one = value - target, np.ones(len(value))
    yield from_sums(np.stack([np.abs(error), one], 1), units, lambda s: s[:, 0] / s[:, 1])
    # The square of 1e200 overflows; this kernel then fails its trials, and the metric itself, which scales, is used.
    with np.errstate(over="ignore"):
        square = np.stack([error**2, one], 1)
    yield from_sums(square, units, lambda s: s[:, 0] / s[:, 1])
    yield from_sums(square, units, lambda s: np.sqrt(s[:, 0] / s[:, 1]))
    x, y = _of_size_one(value), _of_size_one(target)
    yield from_sums(np.stack([one, x, y, x * x, y * y, x * y], 1), units, _pearson)


def _of_size_one(values: Floats) -> Floats:
    """Deviations from the mean, scaled to 1 at most: a correlation does not depend on it, the rounding of sums does."""
    away = values - values.mean()
    scaled: Floats = away / (np.abs(away).max() or 1.0)
    return scaled


def _pearson(sums: Floats) -> Floats:
    n, x, y, xx, yy, xy = sums.T
    # Rounding may leave a variance just below 0.
    down = np.maximum(xx - x * x / n, 0) * np.maximum(yy - y * y / n, 0)
    return np.where(down > 0, (xy - x * y / n) / np.sqrt(down), np.nan)
