"""Sets of classes, and intervals of values, that hold the truth as often as they promise.

Split conformal prediction: Vovk, Gammerman & Shafer 2005, "Algorithmic learning in a random world"; sets of classes by
the least ambiguous ones (Sadinle, Lei & Wasserman 2019, "Least ambiguous set-valued classifiers with bounded error
levels", JASA 114), intervals by absolute errors (Lei et al. 2018, "Distribution-free predictive inference for
regression", JASA 113).

The promise is about items that are exchangeable with those of the calibration: further items of the same people. It
says nothing of new people, of whom only as many are known as there are groups; so these are reported apart
(`across_groups`), without a promise.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from plait.core.errors import DataError
from plait.evaluation.intervals import Floats

__all__ = ["Groups", "across_groups", "band", "nonconformity", "resplit", "threshold"]


def nonconformity(scores: Floats, target: NDArray[np.generic]) -> Floats:
    """How badly the truth fits the answer, [items]: 1 less its probability, or the absolute error of a value.

    >>> nonconformity(np.array([[0.75, 0.25]]), np.array([1])).tolist()
    [0.75]
    >>> nonconformity(np.array([[2.0]]), np.array([5.0])).tolist()
    [3.0]
    """
    if scores.shape[1] > 1:
        return np.asarray(1 - scores[np.arange(len(scores)), np.asarray(target, np.intp)], np.float64)
    return np.abs(scores[:, 0] - np.asarray(target, np.float64))


def threshold(calibration: Floats, level: float = 0.9) -> float:
    """The greatest nonconformity that is still taken into a set; infinite with too few items for the level.

    The ``ceil((n + 1) * level)``-th smallest of n: a further item stays at or below it with probability ``level`` at
    least.

    Args:
        calibration: nonconformity of items that neither trained the model nor are tested, [items].
        level: how often sets hold the truth.

    Raises:
        DataError: the level is not between 0 and 1.

    >>> threshold(np.arange(1.0, 10.0), 0.8), threshold(np.arange(3.0), 0.9)
    (8.0, inf)
    """
    if not 0 < level < 1:
        raise DataError(f"level of conformal sets {level}; expected between 0 and 1, such as 0.9.")
    rank = math.ceil((len(calibration) + 1) * level - 1e-9)
    return float(np.partition(calibration, rank - 1)[rank - 1]) if rank <= len(calibration) else math.inf


def band(calibrated: int, tested: int, level: float = 0.9, *, share: float = 0.95) -> tuple[float, float]:
    """Where the coverage of a single test lies if all is as promised: its beta-binomial interval.

    Angelopoulos & Bates 2023, "Conformal prediction: a gentle introduction", section 3.2.

    Args:
        calibrated, tested: numbers of items.
        level: how often sets hold the truth.
        share: of all such tests, those whose coverage lies within.

    >>> low, high = band(100, 430)
    >>> round(low, 2), round(high, 2)
    (0.83, 0.96)
    """
    outside = math.floor((calibrated + 1) * (1 - level) + 1e-9)
    if outside < 1:
        return 1.0, 1.0  # nothing is left out
    found = stats.betabinom(tested, calibrated + 1 - outside, outside)
    return float(found.ppf((1 - share) / 2)) / tested, float(found.ppf((1 + share) / 2)) / tested


def resplit(values: Floats, level: float = 0.9, *, draws: int = 200, seed: int = 0) -> Floats:
    """The coverage on one half of the items by a threshold from the other, halves drawn anew each time, [draws].

    Args:
        values: nonconformity, [items].
        level: how often sets hold the truth.
        draws: how many halves.
        seed: draws them.
    """
    rng, half = np.random.default_rng(seed), len(values) // 2
    found = []
    for _ in range(draws):
        order = rng.permutation(len(values))
        found.append(float((values[order[half:]] <= threshold(values[order[:half]], level)).mean()))
    return np.array(found)


class Groups(NamedTuple):
    """Attributes:
    coverage: of all items, each by a threshold from the other groups.
    each: the coverage of each group, by name.
    """

    coverage: float
    each: dict[str, float]


def across_groups(values: Floats, groups: NDArray[np.str_], level: float = 0.9) -> Groups:
    """The coverage on each group by a threshold from all others.

    Args:
        values: nonconformity, [items].
        groups: of each item.
        level: how often sets hold the truth.

    Raises:
        DataError: one group.
    """
    names = np.unique(groups)
    if len(names) < 2:
        raise DataError("one group: there is no other to calibrate by.")
    held = {str(g): values[groups == g] <= threshold(values[groups != g], level) for g in names}
    return Groups(float(np.concatenate([*held.values()]).mean()), {g: float(x.mean()) for g, x in held.items()})
