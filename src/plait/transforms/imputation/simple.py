"""Last observation carried forward, and linear interpolation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plait.transforms.imputation import Array, Imputer, Mask, straight_line

__all__ = ["Hold", "Linear"]


class Hold(Imputer):
    """The last observation carried forward.

    Before the first one (only with ``edges``) the first is carried back.
    """

    causal = True

    def gap(self, values: Array, times: Array, first: int, last: int, channels: NDArray[np.int64]) -> Array:
        return self.fill(values, times, np.isnan(values))[first:last, channels]

    def fill(self, values: Array, times: Array, wanted: Mask) -> Array:
        rows = np.arange(len(values))[:, None]
        seen = np.isfinite(values)
        before = np.maximum.accumulate(np.where(seen, rows, -1), axis=0)
        after = np.minimum.accumulate(np.where(seen, rows, len(values))[::-1], axis=0)[::-1]
        pick = np.where(before >= 0, before, after)
        held = np.take_along_axis(values, np.clip(pick, 0, max(len(values) - 1, 0)), 0)
        return np.where(wanted, held, values)


class Linear(Imputer):
    """Linear interpolation in time between the observations around; at the edges (if requested) the nearest one."""

    def gap(self, values: Array, times: Array, first: int, last: int, channels: NDArray[np.int64]) -> Array:
        return self.fill(values, times, np.isnan(values))[first:last, channels]

    def fill(self, values: Array, times: Array, wanted: Mask) -> Array:
        return straight_line(values, times, wanted)
