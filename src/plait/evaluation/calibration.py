"""Calibration: is a model that is 80 % sure right in 80 % of cases?

Guo, Pleiss, Sun & Weinberger 2017, "On calibration of modern neural networks", ICML, equations 1 to 3. The
error itself is `plait.metrics.functional.calibration_error`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plait.evaluation.schema import Bin
from plait.metrics.functional import checked_probabilities

__all__ = ["reliability"]


def reliability(scores: NDArray[np.float64], target: NDArray[np.generic], *, bins: int = 15) -> list[Bin]:
    """Bins of equal width over the confidence, without empty ones, from the least to the most confident.

    A confidence on the border of two bins belongs to the lower one (the paper's ((m-1)/M, m/M]).

    Args:
        scores: probabilities, [items, classes].
        target: numbers of the true classes, [items].

    Raises:
        DataError: the shapes do not fit, or rows are not probabilities.

    >>> reliability(np.array([[0.8, 0.2], [0.3, 0.7]]), np.array([0, 0]), bins=2)
    [{'low': 0.5, 'high': 1.0, 'confidence': 0.75, 'accuracy': 0.5, 'count': 2}]
    """
    truth, rows = checked_probabilities("reliability", target, scores)
    sure, right = rows.max(1), rows.argmax(1) == truth
    # ceil - 1 puts a border into the lower bin; the clip keeps a confidence of 0, or just above 1, inside.
    place = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    found: list[Bin] = []
    for m in np.unique(place):
        inside = place == m
        found.append(
            {
                "low": float(m / bins),
                "high": float((m + 1) / bins),
                "confidence": float(sure[inside].mean()),
                "accuracy": float(right[inside].mean()),
                "count": int(inside.sum()),
            }
        )
    return found
