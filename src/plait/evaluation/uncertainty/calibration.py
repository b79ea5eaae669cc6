"""Calibration: is a model that is 80 % sure right in 80 % of cases?

Guo, Pleiss, Sun & Weinberger 2017, "On calibration of modern neural networks", ICML, equations 1 to 3. The
error itself is `plait.metrics.functional.calibration_error`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plait.evaluation.schema import Bin
from plait.metrics.functional import checked_probabilities

__all__ = ["Expected", "brier", "expected_error", "reliability"]


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


DRAWN = 10_000_000
"""Truths that are drawn at once."""


class Expected(NamedTuple):
    """The calibration error that a perfectly calibrated model of as many items shows by chance: mean, and the value
    that 95 % of such models stay below."""

    mean: float
    high: float


def expected_error(scores: NDArray[np.float64], *, bins: int = 15, draws: int = 1000, seed: int = 0) -> Expected:
    """What `plait.metrics.functional.calibration_error` gives if every answer is right as often as it says.

    An error of bins is above 0 by chance, the more the fewer items there are (Vaicenavicius et al. 2019, "Evaluating
    model calibration in classification", AISTATS, section 4: consistency resampling).

    Args:
        scores: probabilities, [items, classes].
        bins: as for the error.
        draws: how often truths are drawn anew.
        seed: draws them.

    >>> expected_error(np.full((100, 2), 0.5)).high < expected_error(np.full((10, 2), 0.5)).high
    True
    """
    sure = np.asarray(scores, np.float64).max(1)
    place = np.clip(np.ceil(sure * bins).astype(int) - 1, 0, bins - 1)
    # One column per bin: the sums of what was right less what was said, of all draws, are one product.
    inside = (place[:, None] == np.unique(place)).astype(np.float64)
    rng, some = np.random.default_rng(seed), max(1, DRAWN // len(sure))
    errors = np.concatenate(
        [
            np.abs(((rng.random((min(some, draws - k), len(sure))) < sure) - sure) @ inside).sum(1) / len(sure)
            for k in range(0, draws, some)
        ]
    )
    return Expected(float(errors.mean()), float(np.quantile(errors, 0.95)))


def brier(scores: NDArray[np.float64], target: NDArray[np.generic]) -> float:
    """Squared distance of the probabilities from the truth, summed over classes, mean over items (Brier 1950).

    >>> brier(np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([0, 0]))
    0.25
    """
    truth = np.asarray(target)[:, None] == np.arange(scores.shape[1])
    return float(np.square(scores - truth).sum(1).mean())
