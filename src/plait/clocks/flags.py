"""Why a clock should be checked, in one word each; docs/synchronise.md says what to do about it."""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["Flag", "nearer", "untold"]

Array = NDArray[np.float64]


class Flag(StrEnum):
    """Why a device is flagged. Clocks with one of the first four flags were corrected, all others were not.

    >>> Flag("uncertain").corrected, Flag("nothing-in-common").corrected
    (True, False)
    """

    NONE = ""
    UNCERTAIN = "uncertain"
    UNTOLD = "untold"
    DISPUTED = "disputed"
    NOT_BETTER = "not-better"
    NOTHING_IN_COMMON = "nothing-in-common"
    AMBIGUOUS = "ambiguous"
    CONTRADICTION = "contradiction"
    OUT_OF_RANGE = "out-of-range"
    NOTHING_TO_COMPARE = "nothing-to-compare"
    UNREADABLE = "unreadable"
    NO_REFERENCE = "no-reference"

    @property
    def corrected(self) -> bool:
        return self in (Flag.NONE, Flag.UNCERTAIN, Flag.UNTOLD, Flag.DISPUTED)


def nearer(moved: Array, covariance: Array) -> float:
    """The probability that the corrected clock is nearer to the truth than the uncorrected one, 0..1.

    Nearer means a smaller mean square error over the recording. Let e be the error of the corrected clock, normal with
    covariance C, and m the correction. The uncorrected clock's error is e - m; it is larger if m'e < m'm / 2.

    Args:
        moved: [n], the correction in seconds at n instants.
        covariance: [n, n], of the corrected clock's error there, seconds squared.

    >>> sure = nearer(np.full(5, 2.5), np.full((5, 5), 0.0425**2))
    >>> unsure = nearer(np.full(5, 0.01), np.full((5, 5), 0.0425**2))
    >>> round(sure, 3), round(unsure, 2)
    (1.0, 0.55)
    """
    from scipy.special import ndtr

    deviation = float(np.sqrt(max(float(moved @ covariance @ moved), 0.0)))
    size = float(moved @ moved) / 2
    return float(ndtr(size / deviation)) if deviation > 0 else (1.0 if size > 0 else 0.5)


def untold(stretch: tuple[float, float]) -> str:
    """The message for a long stretch without any lag.

    >>> untold((3.2, 250.0))
    'nothing tells from 3 to 250 s, and samples lost there would not be noticed'
    """
    return f"nothing tells from {stretch[0]:.0f} to {stretch[1]:.0f} s, and samples lost there would not be noticed"
