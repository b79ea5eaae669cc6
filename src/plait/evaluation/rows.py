"""Intervals and ratios as an evaluation holds them."""

from __future__ import annotations

import math

import numpy as np

from plait.evaluation.intervals import ANYWHERE, Bounds, Floats, Interval, Units, from_sums, interval_of, leave_one_out
from plait.evaluation.schema import IntervalRow, Ratio

__all__ = ["interval_row", "ratio_of_means", "row_of"]


def interval_row(values: Floats, units: Units, bounds: Bounds = ANYWHERE) -> IntervalRow:
    """The interval of a metric, [1 + units] as `leave_one_out` gives it."""
    return row_of(interval_of(values, units, bounds=bounds))


def row_of(found: Interval) -> IntervalRow:
    """An interval as an evaluation has it."""
    return {"low": found.low, "high": found.high, "groups": found.groups, "reason": found.reason}


def ratio_of_means(one: Floats, other: Floats, units: Units) -> Ratio:
    """The mean of one number per item over the mean of another; of the items for which both are known.

    >>> ratio_of_means(np.array([1.0, 3.0, np.nan]), np.array([1.0, 1.0, 9.0]), Units.of(["a", "b", "c"]))["ratio"]
    2.0
    """
    known = np.isfinite(one) & np.isfinite(other)
    sums: Floats = np.stack([np.where(known, one, 0.0), np.where(known, other, 0.0)], 1)
    values = leave_one_out([from_sums(sums, units, lambda s: s[:, 0] / s[:, 1])], units)[0]
    ratio = float(values[0]) if math.isfinite(values[0]) else None
    return {"ratio": ratio, "interval": interval_row(values, units, (0.0, math.inf))}
