"""Aggregates of intervals, updated block by block: totals, extremes, first and last; NaN is left out."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from plait.align.join_reduce import reduce_intervals
from plait.align.join_seen import next_seen
from plait.streams.stream import Values

__all__ = ["INTERVAL", "Gathering", "gathering"]

Index = NDArray[np.int64]
Mask = NDArray[np.bool_]

INTERVAL = ("mean", "sum", "max", "min", "first", "last", "count")


class Gathering(Protocol):
    """Partial aggregates of some intervals, [k, d]."""

    def add(self, rows: Index, block: Values, lo: Index, hi: Index) -> None:
        """Add a block [m, d]: to interval ``rows[i]`` the block's rows ``lo[i]..hi[i]``, at least one."""

    def result(self) -> tuple[Values, Mask]:
        """Values [k, d], and the mask, [k, d or 1]."""


def gathering(how: str, sizes: Index, width: int) -> Gathering:
    """An empty aggregate for a method of `INTERVAL`; ``sizes`` are the intervals' numbers of observations."""
    if how in ("max", "min"):
        return _Extremes(how, len(sizes), width)
    return _Ends(how, len(sizes), width) if how in ("first", "last") else _Totals(how, sizes, width)


def _unseen(block: Values, result: Values) -> Mask | None:
    """Which numbers of a block are observed; None where all that went into a result are."""
    # NaN and infinity propagate through sums and extremes, so the small result is checked, not the whole block.
    if block.dtype.kind != "f" or np.isfinite(result).all():
        return None
    return np.isfinite(block)


class _Totals:
    """Sums in float64, however long the interval and whatever the values' type."""

    def __init__(self, how: str, sizes: Index, width: int) -> None:
        self.how, self.shape = how, (len(sizes), width)
        self.total: Values | None = None
        self.rows = sizes[:, None]
        self.missing: Values | None = None

    def add(self, rows: Index, block: Values, lo: Index, hi: Index) -> None:
        block = np.zeros(block.shape, np.float32) if block.dtype.kind == "O" else block  # texts are counted only
        part = reduce_intervals(block, lo, hi, np.add, np.float64)
        seen = _unseen(block, part)
        if seen is not None:
            part = reduce_intervals(np.where(seen, block, 0), lo, hi, np.add, np.float64)
            self.missing = np.zeros(self.shape) if self.missing is None else self.missing
            self.missing[rows] += reduce_intervals((~seen).astype(np.float32), lo, hi, np.add, np.float64)
        # Usually one block holds all intervals: its sums are the result, without another array of zeros.
        if self.total is None and len(rows) == self.shape[0]:
            self.total = part
            return
        self.total = np.zeros(self.shape) if self.total is None else self.total.astype(np.float64, copy=False)
        self.total[rows] += part

    def result(self) -> tuple[Values, Mask]:
        total = np.zeros(self.shape) if self.total is None else self.total
        count = self.rows if self.missing is None else self.rows - self.missing
        if self.how == "count":
            return np.broadcast_to(count, self.shape), np.ones(self.rows.shape, np.bool_)
        if self.how == "mean":
            total /= np.maximum(count, 1).astype(total.dtype)
        return total, count > 0


class _Extremes:
    """Maximum or minimum."""

    def __init__(self, how: str, intervals: int, width: int) -> None:
        self.op: np.ufunc = np.maximum if how == "max" else np.minimum
        self.none = -np.inf if how == "max" else np.inf
        self.shape = (intervals, width)
        self.best: Values | None = None

    def add(self, rows: Index, block: Values, lo: Index, hi: Index) -> None:
        part = reduce_intervals(block, lo, hi, self.op, block.dtype)
        seen = _unseen(block, part)
        if seen is not None:
            whole = np.where(seen, block, block.dtype.type(self.none))
            part = reduce_intervals(whole, lo, hi, self.op, block.dtype)
        if self.best is None and len(rows) == self.shape[0]:
            self.best = part
            return
        self.best = np.full(self.shape, self.none) if self.best is None else self.best
        self.best[rows] = self.op(self.best[rows], part)

    def result(self) -> tuple[Values, Mask]:
        best = np.full(self.shape, self.none) if self.best is None else self.best
        # An interval that is still at the neutral element had no number.
        known = np.isfinite(best)
        return best, known.all(1, keepdims=True) if known.all() else known


class _Ends:
    """The first or last observation, of any type."""

    def __init__(self, how: str, intervals: int, width: int) -> None:
        self.last = how == "last"
        self.values: Values | None = None
        self.known = np.zeros((intervals, width), np.bool_)

    def add(self, rows: Index, block: Values, lo: Index, hi: Index) -> None:
        if self.values is None:
            self.values = np.zeros(self.known.shape, block.dtype)
        pick, found = self._pick(block, lo, hi)
        found = np.broadcast_to(found, (len(rows), block.shape[1]))
        if not self.last:
            found = found & ~self.known[rows]
        # `found` decides below; where nothing was found the picked value is arbitrary.
        values = np.take_along_axis(block, np.broadcast_to(pick, found.shape), 0)
        self.values[rows] = np.where(found, values, self.values[rows])
        self.known[rows] |= found

    def _pick(self, block: Values, lo: Index, hi: Index) -> tuple[Index, Mask]:
        pick = (hi - 1 if self.last else lo)[:, None]
        if block.dtype.kind != "f" or np.isfinite(block[pick[:, 0]]).all():
            return pick, np.ones(pick.shape, np.bool_)
        pick = next_seen(block, pick, -1 if self.last else 1)
        found = pick >= lo[:, None] if self.last else pick < hi[:, None]
        return np.clip(pick, 0, len(block) - 1), found

    def result(self) -> tuple[Values, Mask]:
        return (np.zeros(self.known.shape) if self.values is None else self.values), self.known
