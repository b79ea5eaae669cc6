"""How many answers are wrong among those that are left if the least sure ones are withheld.

El-Yaniv & Wiener 2010, "On the foundations of noise-free selective classification" (JMLR 11); the area: Geifman, Uziel
& El-Yaniv 2019, "Bias-reduced uncertainty estimation for deep neural classifiers" (ICLR), section 2.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plait.evaluation.intervals import Floats

__all__ = ["RiskCoverage", "risk_coverage"]


class RiskCoverage(NamedTuple):
    """Attributes:
    coverage: shares of the items that are answered, rising to 1, [items].
    risk: share of wrong answers among them, [items].
    area: mean risk over all coverages; lower is better.
    best: the area if all wrong answers were the least sure ones.
    chance: the area if confidence told nothing: the share of wrong answers.
    """

    coverage: Floats
    risk: Floats
    area: float
    best: float
    chance: float


def risk_coverage(scores: Floats, target: NDArray[np.integer]) -> RiskCoverage:
    """The curve of risk against coverage, items in the order of their confidence.

    Items of equal confidence are answered together: each has their common risk.

    Args:
        scores: probabilities, [items, classes].
        target: true classes, [items].

    >>> found = risk_coverage(np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([0, 1]))
    >>> found.risk.tolist(), found.area, found.best
    ([0.0, 0.5], 0.25, 0.25)
    """
    wrong = (scores.argmax(1) != target).astype(np.float64)
    sure = scores.max(1)
    order = np.argsort(-sure, kind="stable")
    ties, codes = np.unique(-sure, return_inverse=True)
    shared = (np.bincount(codes, wrong) / np.bincount(codes, minlength=len(ties)))[codes][order]
    count = np.arange(1, len(wrong) + 1)
    risk, best = np.cumsum(shared) / count, np.cumsum(np.sort(wrong)) / count
    return RiskCoverage(count / len(wrong), risk, float(risk.mean()), float(best.mean()), float(wrong.mean()))
