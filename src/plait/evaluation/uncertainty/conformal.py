"""Whether conformal sets hold what they promise, for further items and for groups that were left out.

Thresholds and sets are those of `plait.models.conformal`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from plait.core.errors import DataError
from plait.evaluation.intervals import Floats
from plait.models.conformal import threshold

__all__ = ["Groups", "across_groups", "band", "resplit"]


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
