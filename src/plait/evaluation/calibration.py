"""Calibration: is a model that says 80 % right 80 times in a hundred?

Guo, Pleiss, Sun & Weinberger 2017, "On calibration of modern neural networks", ICML, equations 1 to 3. The
error itself is `plait.metrics.functional.calibration_error`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plait.metrics.functional import checked_probabilities

__all__ = ["reliability"]


def reliability(scores: NDArray[np.float64], target: NDArray[np.generic], *, bins: int = 15) -> list[dict[str, float]]:
    """Bins of equal width over the confidence, those that are not empty, from the least sure to the surest.

    A confidence on the border of two bins is in the lower one (the paper's ((m-1)/M, m/M]).

    Args:
        scores: probabilities, [items, classes].
        target: numbers of the true classes, [items].

    Raises:
        DataError: shapes that do not fit, or rows that are no probabilities.

    >>> reliability(np.array([[0.8, 0.2], [0.3, 0.7]]), np.array([0, 0]), bins=2)
    [{'low': 0.5, 'high': 1.0, 'confidence': 0.75, 'accuracy': 0.5, 'count': 2}]
    """
    truth, rows = checked_probabilities("reliability", target, scores)
    sure, right = rows.max(1), rows.argmax(1) == truth
    place = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    found = []
    for m in np.unique(place):
        inside = place == m
        row = {"low": m / bins, "high": (m + 1) / bins, "confidence": float(sure[inside].mean())}
        found.append({**row, "accuracy": float(right[inside].mean()), "count": int(inside.sum())})
    return [{k: v if k == "count" else float(v) for k, v in row.items()} for row in found]
