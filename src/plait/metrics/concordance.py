"""Concordance correlation."""

from __future__ import annotations

from plait.metrics import Metric, functional
from plait.metrics.functional import Array

__all__ = ["Ccc"]


class Ccc(Metric):
    """Lin's concordance correlation coefficient: correlation that also counts differences of mean and of scale.

    The usual metric of valence and arousal. See `plait.metrics.functional.concordance`; 0 where either side is
    constant.

    >>> import numpy as np
    >>> round(Ccc()(np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0])), 3)
    0.571
    """

    of = "values"
    bounds = (-1.0, 1.0)
    standard = False
    rank = 40

    def __call__(self, target: Array, scores: Array) -> float:
        return functional.concordance(target, scores)
