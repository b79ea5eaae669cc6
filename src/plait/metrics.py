"""Metrics, in numpy, of probabilities or values against truths; as in scikit-learn unless said otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "accuracy",
    "balanced_accuracy",
    "calibration_error",
    "confusion",
    "correlation",
    "f1",
    "log_loss",
    "mean_absolute_error",
    "roc_auc",
    "root_mean_squared_error",
]

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


def confusion(truth: NDArray[Any], guess: NDArray[Any], classes: int) -> Indices:
    """Counts [classes, classes]: rows are truths, columns guesses, both as class indices.

    >>> confusion(np.array([0, 1, 1]), np.array([0, 0, 1]), 2).tolist()
    [[1, 0], [1, 1]]
    """
    flat = np.asarray(truth, np.int64) * classes + np.asarray(guess, np.int64)
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def accuracy(truth: NDArray[Any], guess: NDArray[Any]) -> float:
    """Share of right guesses; nan of nothing.

    >>> accuracy(np.array([0, 1]), np.array([0, 0]))
    0.5
    """
    return float(np.mean(np.asarray(truth) == np.asarray(guess))) if len(truth) else float("nan")


def balanced_accuracy(truth: NDArray[Any], guess: NDArray[Any]) -> float:
    """Mean recall over the classes that occur among the truths; nan of nothing.

    >>> balanced_accuracy(np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0]))
    0.5
    """
    truth, guess = np.asarray(truth), np.asarray(guess)
    recalls = [np.mean(guess[truth == c] == c) for c in np.unique(truth)]
    return float(np.mean(recalls)) if recalls else float("nan")


def f1(truth: NDArray[Any], guess: NDArray[Any], *, weighted: bool = False) -> float:
    """F1 averaged over the classes that occur among truths or guesses; nan of nothing.

    Args:
        truth: classes, [n].
        guess: classes, [n].
        weighted: weigh classes by how often they are true, instead of equally (macro).

    >>> round(f1(np.array([0, 0, 1]), np.array([0, 1, 1])), 3)
    0.667
    """
    truth, guess = np.asarray(truth), np.asarray(guess)
    labels = np.union1d(truth, guess)
    if not len(labels):
        return float("nan")
    hits = np.array([np.sum((truth == c) & (guess == c)) for c in labels])
    true = np.array([np.sum(truth == c) for c in labels])
    said = np.array([np.sum(guess == c) for c in labels])
    return float(np.average(2 * hits / (true + said), weights=true if weighted else None))


def log_loss(truth: NDArray[Any], probabilities: Floats) -> float:
    """Mean of ``-ln p`` of the true class, nats; p is kept above the float's epsilon. nan of nothing.

    >>> round(log_loss(np.array([0, 1]), np.array([[0.5, 0.5], [0.5, 0.5]])), 4)
    0.6931
    """
    if not len(truth):
        return float("nan")
    p = probabilities[np.arange(len(truth)), np.asarray(truth, np.int64)]
    return float(-np.log(np.clip(p, np.finfo(np.float64).eps, 1.0)).mean())


def calibration_error(truth: NDArray[Any], probabilities: Floats, bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017, equation 3) over equal bins of the top probability.

    nan of nothing.

    >>> round(calibration_error(np.array([0, 0]), np.array([[0.8, 0.2], [0.8, 0.2]])), 3)
    0.2
    """
    if not len(truth):
        return float("nan")
    top, right = probabilities.max(1), probabilities.argmax(1) == np.asarray(truth)
    # bins are open below and closed above, as in the paper
    place = np.clip(np.ceil(top * bins).astype(np.int64) - 1, 0, bins - 1)
    gap = np.bincount(place, weights=right - top, minlength=bins)
    return float(np.abs(gap).sum() / len(top))


def roc_auc(truth: NDArray[Any], score: Floats) -> float:
    """Area under the ROC curve: how often a positive outscores a negative, ties by half (Mann-Whitney).

    nan where only one of both occurs: there is nothing to rank.

    >>> roc_auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75
    """
    positive = np.asarray(truth).astype(bool)
    ups, downs = int(positive.sum()), int((~positive).sum())
    if not ups or not downs:
        return float("nan")
    _, place, counts = np.unique(np.asarray(score), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return float((ranks[positive].sum() - ups * (ups + 1) / 2) / (ups * downs))


def mean_absolute_error(truth: Floats, guess: Floats) -> float:
    """Mean distance, in the target's units; nan of nothing.

    >>> mean_absolute_error(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    1.0
    """
    return float(np.abs(truth - guess).mean()) if len(truth) else float("nan")


def root_mean_squared_error(truth: Floats, guess: Floats) -> float:
    """Root of the mean squared distance, in the target's units; nan of nothing.

    >>> root_mean_squared_error(np.array([0.0, 0.0]), np.array([3.0, 3.0]))
    3.0
    """
    return float(np.sqrt(np.square(truth - guess).mean())) if len(truth) else float("nan")


def correlation(truth: Floats, guess: Floats) -> float:
    """Pearson's correlation; 0 where either is constant (a constant guess tells nothing), nan of nothing.

    >>> round(correlation(np.array([1.0, 2.0, 3.0]), np.array([2.0, 4.0, 6.0])), 6)
    1.0
    """
    if not len(truth):
        return float("nan")
    a, b = truth - truth.mean(), guess - guess.mean()
    size = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
    # rounding leaves a constant's deviations at about an epsilon of its size, not at zero
    floor = 1e-12 * len(a) * max(float(np.abs(truth).max() * np.abs(guess).max()), 1e-300)
    return float((a * b).sum() / size) if size > floor else 0.0
