"""Answers calibrated on items of other groups, so that what is read from them is what they tell.

A head that has overfitted is sure where it knows nothing: of four classes it may know which two are left, and choose
between these by noise. One temperature cannot mend that, a linear map of the log-probabilities can: matrix scaling (Guo
et al. 2017, "On calibration of modern neural networks", section 4.2) with the regularisation of Kull et al. 2019,
"Beyond temperature scaling: obtaining well-calibrated multi-class probabilities with Dirichlet calibration", section 3.
Departure: what is pulled to 0 is the difference to the nearest multiple of the identity, so that without data it is a
temperature.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from plait.evaluation.intervals import Floats

__all__ = ["recalibrated"]

FOLDS = 5

FLOOR = 1e-9
"""Least probability of an answer."""

MOST = 15.0
"""Nats of evidence for or against a class: one answer that is sure and wrong must not decide the map."""

STRENGTHS = (1.0, 10.0, 100.0)
"""Of the regularisation, in items; the one with which other groups are answered best is taken."""


def recalibrated(scores: Floats, target: NDArray[np.integer], groups: NDArray[np.str_]) -> Floats:
    """Each group's answers, calibrated on the other groups, [items, classes].

    As they are if the loss of the calibrated ones is not lower, if there is one group only, or if there are fewer items
    than numbers of the map.

    Args:
        scores: probabilities, [items, classes].
        target: the true classes, [items].
        groups: of each item.

    >>> rng = np.random.default_rng(0)
    >>> half, noise = rng.integers(2, size=400), rng.integers(2, size=400)
    >>> sure = np.full((400, 4), 0.01)
    >>> sure[np.arange(400), 2 * half + noise] = 0.97         # which pair is known, which of the pair is not
    >>> found = recalibrated(sure, 2 * half + rng.integers(2, size=400), np.arange(400).astype(str))
    >>> found[0].round(1).tolist() in ([0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5])
    True
    """
    seen, codes = np.unique(target, return_inverse=True)
    names, group = np.unique(groups, return_inverse=True)
    if len(names) < 2 or len(seen) < 2 or len(seen) ** 2 > len(target):
        return scores
    folds = np.random.default_rng(0).permutation(len(names))[group] % min(FOLDS, len(names))
    own = np.maximum(scores[:, seen], FLOOR)
    own, rows = own / own.sum(1, keepdims=True), np.arange(len(codes))
    tried = [own, *(_crossed(own, codes, folds, strength) for strength in STRENGTHS)]
    best = min(tried, key=lambda p: -float(np.log(np.maximum(p[rows, codes], FLOOR)).mean()))
    found = np.zeros_like(scores, np.float64)
    found[:, seen] = best
    return found


def _crossed(own: Floats, codes: NDArray[np.intp], folds: NDArray[np.intp], strength: float) -> Floats:
    base = np.log(np.bincount(codes) / len(codes))
    evidence, found = np.clip(np.log(own) - base, -MOST, MOST), np.empty_like(own)
    for fold in np.unique(folds):
        out = folds == fold
        matrix, shift = _map(evidence[~out], base, codes[~out], strength)
        found[out] = np.exp(_logs(base + evidence[out] @ matrix + shift))
    return found


def _map(evidence: Floats, base: Floats, codes: NDArray[np.intp], strength: float) -> tuple[Floats, Floats]:
    """The matrix [classes, classes] and the shift [classes] of the evidence with the least regularised loss."""
    count, classes = evidence.shape
    rows, eye = np.arange(count), np.eye(classes)

    def loss(values: Floats) -> tuple[float, Floats]:
        matrix, shift = values[:-classes].reshape(classes, classes), values[-classes:]
        logs = _logs(base + evidence @ matrix + shift)
        off, error = matrix - np.trace(matrix) / classes * eye, np.exp(logs)
        error[rows, codes] -= 1
        slope = np.concatenate([(evidence.T @ error + strength * off).ravel(), error.sum(0) + strength * shift])
        size = strength / 2 * (np.square(off).sum() + np.square(shift).sum())
        return float(size - logs[rows, codes].sum()), slope

    found = minimize(loss, np.concatenate([eye.ravel(), np.zeros(classes)]), jac=True, method="L-BFGS-B")
    return found.x[:-classes].reshape(classes, classes), found.x[-classes:]


def _logs(values: Floats) -> Floats:
    values = values - values.max(1, keepdims=True)
    found: Floats = values - np.log(np.exp(values).sum(1, keepdims=True))
    return found
