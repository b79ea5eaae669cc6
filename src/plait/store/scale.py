"""Mean and standard deviation of features, in one pass and constant memory. The trainer fits them on train only."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError
from plait.streams.stream import Values

__all__ = ["Moments", "fit_scale", "normalized", "running"]

log = logging.getLogger("plait")

ROWS = 1 << 14
"""Rows per block, so that a memory-mapped array is never in memory whole."""


class Moments:
    """Count, mean and squared deviations of columns, array after array; NaN cells are ignored.

    Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances"
    (1979), eq. 2.1, in double precision.

    >>> m = Moments()
    >>> m.add(np.array([[1.0], [np.nan]])); m.add(np.array([[3.0]]))
    >>> m.mean.tolist(), m.std.tolist(), m.count.tolist()
    ([2.0], [1.0], [2])
    """

    def __init__(self) -> None:
        self.count: NDArray[np.int64] = np.zeros(0, np.int64)
        self.mean: NDArray[np.float64] = np.zeros(0)
        self._squares: NDArray[np.float64] = np.zeros(0)

    def add(self, values: Values) -> None:
        """Add an array [n, d].

        Raises:
            DataError: its width differs from previous arrays', or it has infinite values.
        """
        if values.ndim != 2:
            raise DataError(f"features of shape {values.shape}; expected [n, dim].")
        if not len(self.count):
            width = values.shape[1]
            self.count, self.mean, self._squares = np.zeros(width, np.int64), np.zeros(width), np.zeros(width)
        if values.shape[1] != len(self.count):
            raise DataError(
                f"features of width {values.shape[1]} after some of width {len(self.count)}; expected one. "
                "The streams of one name must have the same channels in every recording."
            )
        for lo in range(0, len(values), ROWS):
            self._merge(np.asarray(values[lo : lo + ROWS], np.float64))

    def _merge(self, block: NDArray[np.float64]) -> None:
        if np.isinf(block).any():
            raise DataError("features hold infinite values; expected finite ones, or NaN where nothing is observed.")
        seen = ~np.isnan(block)
        count = seen.sum(0)
        mean = np.where(seen, block, 0.0).sum(0) / np.maximum(count, 1)
        # About the block's own mean: raw squares of large values would lose the digits of their spread.
        squares = (np.where(seen, block - mean, 0.0) ** 2).sum(0)
        total = self.count + count
        share = count / np.maximum(total, 1)
        step = np.where(count > 0, mean - self.mean, 0.0)
        self._squares = self._squares + squares + step**2 * self.count * share
        self.mean = self.mean + step * share
        self.count = total

    @property
    def spread(self) -> NDArray[np.float64]:
        """Standard deviation of each column, [d]; 0 where it is constant or was never observed."""
        return np.sqrt(self._squares / np.maximum(self.count, 1))

    @property
    def constant(self) -> NDArray[np.bool_]:
        """Columns with a single value, up to rounding in single precision, or with none, [d]."""
        return self.spread <= np.maximum(1e-6 * np.abs(self.mean), 1e-12)

    @property
    def std(self) -> NDArray[np.float64]:
        """Standard deviation to divide by, [d]: 1 for constant columns, which centring brings to 0."""
        return np.where(self.constant, 1.0, self.spread)


def normalized(values: NDArray[np.float32], how: str) -> NDArray[np.float32]:
    """Features [n, dim] of one recording, normalised by their own mean and standard deviation.

    Args:
        how: 'none', 'centre' (subtract the mean), 'standardise' (also divide by the standard deviation), or 'running':
            as 'standardise', with mean and standard deviation of all rows up to the current one. A constant column is
            only centred; NaN stays NaN.

    >>> normalized(np.array([[1.0, 5.0], [3.0, 5.0]], np.float32), "standardise").tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    if how == "none" or not len(values):
        return values
    if how == "running":
        return running(values)[0]
    moments = Moments()
    moments.add(values)
    spread = moments.std if how == "standardise" else 1.0
    return ((values - np.nan_to_num(moments.mean)) / spread).astype(np.float32)


def running(
    values: NDArray[np.float32], sums: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float64] | None]:
    """Each row minus the mean of the rows up to it, divided by their standard deviation; [n, d].

    Args:
        values: rows of one recording, in order.
        sums: of the rows before them, from an earlier call; None: these are the first.

    Returns:
        The rows, and of each column its first observed value (NaN: none yet), count, sum and sum of squares, [4, d]. In
        pieces, the numbers are those of one call: sums are made in the same order.
    """
    if not len(values):
        return values, sums
    seen, width = np.isfinite(values), values.shape[1]
    if sums is None:
        sums = np.vstack([np.full(width, np.nan), np.zeros((3, width))])
    # Relative to the first observed row: the difference of squares below would cancel for large numbers.
    first = values[seen.argmax(0), np.arange(width)].astype(np.float64)
    origin = np.where(np.isnan(sums[0]) & seen.any(0), first, sums[0])
    level = np.where(seen, values - np.nan_to_num(origin), 0.0)
    count, total, squares = (
        np.concatenate([before[None], new]).cumsum(0)[1:]
        for before, new in zip(sums[1:], (seen.astype(np.float64), level, level**2))
    )
    number = np.maximum(count, 1)
    mean = total / number
    spread = np.sqrt(np.maximum(squares / number - mean**2, 0.0))
    varies = spread > np.maximum(1e-6 * np.abs(mean + np.nan_to_num(origin)), 1e-12)
    found = np.where(seen, (level - mean) / np.where(varies, spread, 1.0), np.nan).astype(np.float32)
    return found, np.vstack([origin, count[-1], total[-1], squares[-1]])


def fit_scale(
    arrays: Iterable[NDArray[np.generic]], groups: Sequence[int] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of the columns of all arrays [n, d]; each [d], double precision.

    Columns of one group (a number per column, [d]) share the root mean square of their standard deviations; without
    ``groups`` each column has its own. NaN cells are left out. A constant column gets 1, so that it becomes 0 and not
    amplified noise; the number of constant columns is logged (`Moments.constant` tells which).

    Raises:
        DataError: no array at all, different widths, or infinite values.

    >>> mean, std = fit_scale([np.array([[1.0, 5.0], [3.0, 5.0]])])
    >>> mean.tolist(), std.tolist()
    ([2.0, 5.0], [1.0, 1.0])
    >>> fit_scale([np.array([[0.0, 0.0], [2.0, 14.0]])], groups=[0, 0])[1].tolist()
    [5.0, 5.0]
    """
    moments = Moments()
    none = True
    for array in arrays:
        moments.add(array)
        none = False
    if none:
        raise DataError("there are no features to fit a scale to. Is the stream in any training recording?")
    constant = int(moments.constant.sum())
    if constant:
        log.info("%d of %d feature columns are constant; they become 0", constant, len(moments.count))
    return moments.mean, _shared(moments, groups) if groups is not None else moments.std


def _shared(moments: Moments, groups: Sequence[int]) -> NDArray[np.float64]:
    """One standard deviation per group: the root of the mean variance of its columns; 1 if all are constant."""
    if len(groups) != len(moments.count):
        raise DataError(f"{len(groups)} groups for {len(moments.count)} feature columns; expected one per column.")
    index = np.unique(np.asarray(groups), return_inverse=True)[1]
    variance = np.bincount(index, np.nan_to_num(moments.spread) ** 2) / np.bincount(index)
    # One scale per group keeps the proportions between its columns, such as x, y and z.
    shared = np.sqrt(variance)[index]
    return np.where(shared > 1e-12, shared, 1.0)
