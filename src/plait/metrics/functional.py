"""Metrics of labels, probabilities or values as numpy functions; as in scikit-learn unless stated otherwise.

All of them check their input alike: different lengths, NaN, infinite numbers, values that are not probabilities and
classes that do not exist raise a `DataError`. For empty input a metric is nan.

They are our own, not scikit-learn's (plait does not depend on it) or torchmetrics': these count a NaN as a wrong
answer. And an interval computes a metric once per group and subset: at 300 items these functions take a quarter
(accuracy, area under ROC) to two thirds (F1) of torchmetrics' time. Tests compare them with scikit-learn and SciPy.
"""

from __future__ import annotations

import math
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plait.core.errors import DataError

__all__ = [
    "Array",
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "calibration_error",
    "checked_probabilities",
    "concordance",
    "confusion",
    "correlation",
    "f1",
    "log_loss",
    "mean_absolute_error",
    "roc_auc",
    "root_mean_squared_error",
]

Array = NDArray[Any]
"""Numbers of any type."""

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def confusion(truth: NDArray[np.generic], guess: NDArray[np.generic], classes: int) -> Indices:
    """Counts [classes, classes]: rows are truths, columns guesses, both as class indices.

    Raises:
        DataError: different lengths, or an index that is not a class.

    >>> confusion(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
    [[1, 0], [1, 1]]
    """
    true, said = _aligned("confusion", truth=truth, guess=guess)
    flat = _classes("confusion", "truth", true, classes) * classes + _classes("confusion", "guess", said, classes)
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def accuracy(truth: NDArray[np.generic], guess: NDArray[np.generic]) -> float:
    """Share of correct guesses; nan for empty input.

    Args:
        truth: classes, [n]: numbers, booleans or texts.
        guess: classes, [n].

    Raises:
        DataError: different lengths, a NaN or None, or texts mixed with numbers. All metrics of classes raise it.

    >>> accuracy(np.array([0, 1]), np.array([0, 0]))
    0.5
    """
    truth, guess = _labels("accuracy", truth, guess)
    return float(np.mean(truth == guess)) if len(truth) else math.nan


def balanced_accuracy(truth: NDArray[np.generic], guess: NDArray[np.generic]) -> float:
    """Mean recall over the classes that occur among the truths; nan for empty input.

    >>> balanced_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]))
    0.5
    """
    truth, guess = _labels("balanced_accuracy", truth, guess)
    recalls = [np.mean(guess[truth == c] == c) for c in np.unique(truth)]
    return float(np.mean(recalls)) if recalls else math.nan


def f1(truth: NDArray[np.generic], guess: NDArray[np.generic], *, weighted: bool = False) -> float:
    """F1 averaged over the classes that occur among truths or guesses; nan for empty input.

    Args:
        truth: classes, [n].
        guess: classes, [n].
        weighted: weight classes by how often they are true, instead of equally (macro).

    >>> round(f1(np.array([0, 0, 1]), np.array([0, 1, 1])), 3)
    0.667
    """
    truth, guess = _labels("f1", truth, guess)
    labels = np.union1d(truth, guess)
    if not len(labels):
        return math.nan
    hits = np.array([np.sum((truth == c) & (guess == c)) for c in labels])
    true = np.array([np.sum(truth == c) for c in labels])
    said = np.array([np.sum(guess == c) for c in labels])
    return float(np.average(2 * hits / (true + said), weights=true if weighted else None))


def log_loss(truth: NDArray[np.generic], probabilities: Floats) -> float:
    """Mean of ``-ln p`` of the true class, nats; p is clipped to float64's epsilon. nan for empty input.

    Args:
        truth: class indices, [n].
        probabilities: [n, classes].

    Raises:
        DataError: different lengths, rows that do not add up to 1, or an index that is not a class.

    >>> round(log_loss(np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.5]])), 4)
    0.6931
    """
    truth, probabilities = checked_probabilities("log_loss", truth, probabilities)
    if not len(truth):
        return math.nan
    p = probabilities[np.arange(len(truth)), truth]
    return float(-np.log(np.clip(p, np.finfo(np.float64).eps, 1.0)).mean())


def calibration_error(truth: Array, probabilities: Floats, bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017, equation 3) over equal bins of the top probability.

    nan for empty input.

    Raises:
        DataError: as `log_loss`.

    >>> round(calibration_error(np.array([0, 0]), np.array([[0.8, 0.2], [0.8, 0.2]])), 3)
    0.2
    """
    truth, probabilities = checked_probabilities("calibration_error", truth, probabilities)
    if not len(truth):
        return math.nan
    top, right = probabilities.max(1), probabilities.argmax(1) == truth
    # bins are open below and closed above, as in the paper; rounding may lift a top probability above 1
    place = np.clip(np.ceil(top * bins).astype(np.int64) - 1, 0, bins - 1)
    gap = np.bincount(place, weights=right - top, minlength=bins)
    return float(np.abs(gap).sum() / len(top))


def roc_auc(truth: Array, score: Floats) -> float:
    """Area under the ROC curve: how often a positive outscores a negative; ties count half (Mann-Whitney).

    nan where only one class occurs: there is nothing to rank.

    Args:
        truth: booleans, or 0 and 1, [n].
        score: [n]; larger means more likely positive.

    Raises:
        DataError: different lengths, a truth that is neither 0 nor 1, or a score that is not finite.

    >>> roc_auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    truth, score = _aligned("roc_auc", truth=truth, score=score)
    positive, score = _classes("roc_auc", "truth", truth, 2).astype(bool), _finite("roc_auc", "score", score)
    ups, downs = int(positive.sum()), int((~positive).sum())
    if not ups or not downs:
        return math.nan
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    # Equal scores share the mean of their ranks: that counts a tie as half.
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[positive].sum() - ups * (ups + 1) / 2) / (ups * downs))


def average_precision(truth: Array, score: Floats) -> float:
    """Area under the precision-recall curve, without interpolation; nan where there is no positive.

    >>> average_precision(np.array([0, 1, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1]))
    0.5833333333333333
    """
    truth, score = _aligned("average_precision", truth=truth, score=score)
    if not truth.any():
        return math.nan
    order = np.argsort(-score, kind="stable")
    right, value = np.cumsum(truth[order] > 0), score[order]
    last = np.flatnonzero(np.append(np.diff(value) != 0, True))  # equal scores share one threshold
    gained = np.diff(right[last], prepend=0)
    return float((gained * right[last] / (last + 1)).sum() / right[-1])


def mean_absolute_error(truth: Floats, guess: Floats) -> float:
    """Mean absolute difference, in the target's units; nan for empty input.

    Raises:
        DataError: different lengths, or numbers that are not finite. All metrics of values raise it.

    >>> mean_absolute_error(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    1.0
    """
    error, scale = _errors("mean_absolute_error", truth, guess)
    return float(np.abs(error).mean()) * scale if len(error) else math.nan


def root_mean_squared_error(truth: Floats, guess: Floats) -> float:
    """Root of the mean squared difference, in the target's units; nan for empty input.

    >>> root_mean_squared_error(np.array([0.0, 0.0]), np.array([3.0, 3.0]))
    3.0
    """
    error, scale = _errors("root_mean_squared_error", truth, guess)
    return math.sqrt(np.square(error).mean()) * scale if len(error) else math.nan


def correlation(truth: Floats, guess: Floats) -> float:
    """Pearson's correlation; 0 where either side is constant (a constant guess tells nothing), nan for empty input.

    Deviations from the mean are scaled to length 1 before they are multiplied, as in SciPy. Plain sums of squares lose
    digits under a large mean, overflow at large scales, and vanish at small ones.

    >>> round(correlation(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])), 6)
    1.0
    """
    truth, guess = _values("correlation", truth, guess)
    if not len(truth):
        return math.nan
    # Compared exactly: the variance of equal numbers is not always 0 after rounding.
    if (truth == truth[0]).all() or (guess == guess[0]).all():
        return 0.0
    # Rounding can lead beyond 1 by some 1e-16.
    return float(np.clip(_direction(truth) @ _direction(guess), -1.0, 1.0))


def concordance(truth: Floats, guess: Floats) -> float:
    """Concordance correlation coefficient; 0 where either side is constant, nan for empty input.

    Twice the covariance over the sum of both variances and the squared difference of the means (Lin 1989, "A
    concordance correlation coefficient to evaluate reproducibility", Biometrics 45, equation 1), with variances that
    divide by n.

    >>> round(concordance(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])), 6)
    0.363636
    """
    truth, guess = _values("concordance", truth, guess)
    if not len(truth):
        return math.nan
    if (truth == truth[0]).all() or (guess == guess[0]).all():
        return 0.0
    both, _ = _scaled(np.stack([truth, guess]))  # of one scale, since the two scales are compared
    means = both.mean(1)
    away = both - means[:, None]
    apart = np.square(away).mean(1).sum() + (means[0] - means[1]) ** 2
    # 0 where the variances are too small for a float
    return float(np.clip(2 * (away[0] * away[1]).mean() / apart, -1.0, 1.0)) if apart > 0 else 0.0


def _direction(values: Floats) -> Floats:
    """Deviations from the mean, scaled to a Euclidean length of 1. The values must not be all equal."""
    away, _ = _scaled(values)
    away = away - away.mean()
    away, _ = _scaled(away - away.mean())  # the mean of large numbers is itself rounded: a second pass takes the rest
    return np.asarray(away / np.sqrt(away @ away))


def _errors(metric: str, truth: Floats, guess: Floats) -> tuple[Floats, float]:
    """Guesses minus truths, [n], scaled so that squares neither overflow nor vanish; and the factor to undo it."""
    truth, guess = _values(metric, truth, guess)
    both, scale = _scaled(np.stack([truth, guess]))
    error, more = _scaled(both[1] - both[0])
    return error, scale * more


def _scaled(values: Floats) -> tuple[Floats, float]:
    """Values of at most 1, and the power of two that they were divided by."""
    largest = float(np.abs(values).max(initial=0.0))
    # A power of two changes the exponent only, so that no digit is lost.
    exponent = math.frexp(largest)[1] if largest else 0
    # in two steps: one power of two cannot bring the smallest numbers up to 1
    half = exponent // 2
    return np.ldexp(np.ldexp(values, -half), half - exponent), math.ldexp(math.ldexp(1.0, half), exponent - half)


def _aligned(metric: str, **arrays: ArrayLike) -> list[Array]:
    """The arrays with one axis each, all of one length."""
    found = {name: np.asarray(x) for name, x in arrays.items()}
    if any(x.ndim != 1 for x in found.values()) or len({len(x) for x in found.values()}) > 1:
        shapes = " and ".join(f"{name} {list(x.shape)}" for name, x in found.items())
        raise DataError(f"{metric}: {shapes}; expected one number per item, [items].")
    return list(found.values())


def _values(metric: str, truth: ArrayLike, guess: ArrayLike) -> tuple[Floats, Floats]:
    truth, guess = _aligned(metric, truth=truth, guess=guess)
    return _finite(metric, "truth", truth), _finite(metric, "guess", guess)


def _finite(metric: str, name: str, values: NDArray[np.generic]) -> Floats:
    try:
        numbers = values.astype(np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{metric}: {name} holds {values.dtype.name}; expected numbers.") from None
    if not np.isfinite(numbers).all():
        _refuse(metric, name, numbers, ~np.isfinite(numbers), "finite numbers")
    return numbers


def _classes(metric: str, name: str, values: NDArray[np.generic], classes: int) -> Indices:
    numbers = _finite(metric, name, values)
    strange = (numbers < 0) | (numbers >= classes) | (numbers % 1 != 0)
    if strange.any():
        _refuse(metric, name, numbers, strange, f"classes from 0 to {classes - 1}")
    return numbers.astype(np.int64)


def _labels(metric: str, truth: ArrayLike, guess: ArrayLike) -> list[NDArray[np.generic]]:
    """Classes of any kind that can be compared and ordered: numbers, booleans or texts."""
    pair = _aligned(metric, truth=truth, guess=guess)
    for name, values in zip(("truth", "guess"), pair):
        none = _none(values)
        if none.any():
            _refuse(metric, name, values, none, "one class per item")
    # '1' never equals 1: mixed kinds would silently count as wrong answers.
    kinds = {kind for values in pair for kind in _kinds(values)}
    if len(kinds) > 1:
        raise DataError(f"{metric}: classes are {' and '.join(sorted(kinds))}; expected one kind in truth and guess.")
    return pair


def _none(values: NDArray[np.generic]) -> NDArray[np.bool_]:
    """True where a class is missing: NaN or None."""
    if values.dtype.kind == "f":
        return np.asarray(np.isnan(values))
    return np.array([v is None or v != v for v in values] if values.dtype.kind == "O" else [False], bool)


def _kinds(values: NDArray[np.generic]) -> set[str]:
    """Whether the array holds texts, numbers or both; empty for an empty array."""
    if not len(values):
        return set()
    # Only an array of objects can mix kinds; of any other the first value tells all.
    each = values if values.dtype.kind == "O" else values[:1]
    return {"texts" if isinstance(v, str) else "numbers" for v in each}


def checked_probabilities(metric: str, truth: object, probabilities: object) -> tuple[Indices, Floats]:
    """Class indices [n], and rows [n, classes] that each add up to 1.

    Raises:
        DataError: they are not; the message names the metric.
    """
    rows, truth = np.asarray(probabilities), np.asarray(truth)
    if rows.ndim != 2 or truth.shape != rows.shape[:1]:
        shapes = f"truth {list(truth.shape)} and probabilities {list(rows.shape)}"
        raise DataError(f"{metric}: {shapes}; expected [items] and [items, classes].")
    rows = _finite(metric, "probabilities", rows)
    # The tolerance is for float32 softmax; counts and logits do not pass.
    off = (np.abs(rows.sum(1) - 1) > 1e-3) | (rows < 0).any(1) if len(rows) else np.zeros(0, bool)
    if off.any():
        _refuse(metric, "probabilities", rows, off, "rows of at least 0 that add up to 1")
    return _classes(metric, "truth", truth, rows.shape[1]), rows


def _refuse(metric: str, name: str, values: NDArray[np.generic], bad: NDArray[np.bool_], wanted: str) -> NoReturn:
    """Raise a `DataError` with the number of bad items and the first of them."""
    rows = np.asarray(bad.reshape(len(bad), -1).any(1))
    first = int(rows.argmax())
    shown = values[first].tolist() if isinstance(values[first], np.ndarray) else values[first]
    raise DataError(
        f"{metric}: {name} is {shown!s} at item {first} ({int(rows.sum())} of {len(rows)} items are like that); "
        f"expected {wanted}. Check where they come from: the targets, or the model's answers."
    )
