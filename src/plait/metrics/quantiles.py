"""Answers as quantiles, and the pinball loss of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Quantiles", "pinball"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Quantiles:
    """Forecasts as quantiles.

    Attributes:
        levels: of the quantiles, above 0 and below 1, in order.
        values: [rows, levels].
        rival: the same of a cheap forecast, which skill is measured against, [rows, levels].
    """

    levels: tuple[float, ...]
    values: Floats
    rival: Floats

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: ArrayLike | slice | Sequence[int]) -> Quantiles:
        part = rows if isinstance(rows, slice) else np.asarray(rows, np.intp)
        return Quantiles(self.levels, self.values[part], self.rival[part])


def pinball(target: Floats, levels: Sequence[float], values: Floats) -> Floats:
    """The pinball loss of each quantile (Koenker and Bassett 1978), [rows, levels].

    >>> pinball(np.array([1.0]), [0.1, 0.9], np.array([[0.0, 2.0]])).round(3).tolist()
    [[0.1, 0.1]]
    """
    level = np.asarray(levels, np.float64)
    apart = np.asarray(target, np.float64)[:, None] - values
    found: Floats = np.maximum(level * apart, (level - 1) * apart)
    return found
