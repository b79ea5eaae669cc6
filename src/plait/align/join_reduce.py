"""One value per interval: sums, extremes and ends of runs of rows, in time near-linear in the rows.

Sums are the product with a sparse matrix of 0 and 1, which reads the rows once, in order. Alternatives that were tried
(``benchmarks/align.py`` times them): cumulative sums write as much as they read and lose digits when subtracted;
``numpy.add.reduceat`` goes column by column; one slice per interval costs one call each. Extremes go through the
intervals in layers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import DTypeLike, NDArray

from plait.streams.stream import Values

__all__ = ["reduce_intervals", "reduce_segments"]

Index = NDArray[np.int64]

NARROW = 4
"""Columns up to which NumPy's reduceat is faster."""

PIECE = 64
"""Rows that are reduced at once. float32 rows are added in float32 within a piece, and pieces in float64: the error of
a sum is at most 63 * 2^-24 of the sum of absolute values, however long it is (and usually far less)."""


def reduce_intervals(values: Values, lo: Index, hi: Index, op: np.ufunc, dtype: DTypeLike) -> Values:
    """``op`` over rows lo..hi of ``values`` [n, d], [k, d] as exact as ``dtype``; no interval may be empty.

    Intervals may overlap in any way: then the pieces between all edges are reduced once and combined through a binary
    tree, so that no rows are read twice and nothing is subtracted.

    >>> rows = np.arange(6.0)[:, None]
    >>> reduce_intervals(rows, np.array([0, 0, 3]), np.array([6, 3, 4]), np.add, float).ravel().tolist()
    [15.0, 3.0, 3.0]
    """
    if (lo[1:] >= hi[:-1]).all():
        return reduce_segments(values, lo, hi, op, dtype)
    edges = np.unique(np.concatenate([lo, hi]))
    first, last = np.searchsorted(edges, lo), np.searchsorted(edges, hi)
    size = len(edges)
    open_ = np.cumsum(np.bincount(first, minlength=size) - np.bincount(last, minlength=size))[:-1] > 0
    place = np.concatenate([[0], np.cumsum(open_)])
    pieces = reduce_segments(values, edges[:-1][open_], edges[1:][open_], op, dtype).astype(dtype, copy=False)
    return _through_tree(pieces, place[first], place[last], op)


def _through_tree(pieces: Values, lo: Index, hi: Index, op: np.ufunc) -> Values:
    """``op`` over runs of pieces: at each level of a binary tree an interval takes at most its two odd ends."""
    out = pieces[lo]
    lo = lo + 1
    while (rows := np.flatnonzero(lo < hi)).size:
        left, right = rows[lo[rows] % 2 == 1], rows[hi[rows] % 2 == 1]
        out[left] = op(out[left], pieces[lo[left]])
        lo[left] += 1
        right = right[lo[right] < hi[right]]
        out[right] = op(out[right], pieces[hi[right] - 1])
        half = len(pieces) // 2
        pieces = op(pieces[0 : 2 * half : 2], pieces[1 : 2 * half : 2])
        lo, hi = (lo + 1) // 2, hi // 2
    return out


def reduce_segments(values: Values, lo: Index, hi: Index, op: np.ufunc, dtype: DTypeLike) -> Values:
    """As `reduce_intervals`, for intervals in order that do not overlap."""
    if not len(lo):
        return np.empty((0, values.shape[1]), dtype)
    if values.shape[1] <= NARROW:
        edges = np.stack([lo, hi], 1).ravel()
        # reduceat refuses an index at the end, and reduces to the end after the last one anyway.
        edges = edges[:-1] if edges[-1] == len(values) else edges
        narrow: Values = op.reduceat(values.astype(dtype, copy=False), edges, axis=0)[::2]
        return narrow
    if op is np.add:
        values = values if values.dtype in (np.float32, dtype) else values.astype(dtype)
        if values.dtype == dtype:
            return _by_matrix(values, lo, hi)
        if int((hi - lo).max()) <= PIECE:
            return _by_matrix(values, lo, hi)
        begin, end, lo, hi = _pieces(lo, hi)
        values = _by_matrix(values, begin, end)
    while int((hi - lo).max()) > PIECE:
        begin, end, lo, hi = _pieces(lo, hi)
        values = _in_layers(values, begin, end, op, dtype)
    return _in_layers(values, lo, hi, op, dtype)


def _pieces(lo: Index, hi: Index) -> tuple[Index, Index, Index, Index]:
    """Pieces of intervals, and the range of pieces of each interval."""
    length = hi - lo
    count = -(-length // PIECE)
    last = np.cumsum(count)
    first = last - count
    begin = np.repeat(lo - first * PIECE, count) + PIECE * np.arange(last[-1])
    return begin, np.minimum(np.repeat(hi, count), begin + PIECE), first, last


def _by_matrix(values: Values, lo: Index, hi: Index) -> Values:
    """Sums in the values' own type, as the product with a sparse matrix of 0 and 1."""
    length = hi - lo
    # 32-bit indices: half the memory traffic, and blocks are far below 2^31 rows.
    begin = np.zeros(len(lo) + 1, np.int32)
    length.cumsum(out=begin[1:])
    columns = (lo - begin[:-1]).astype(np.int32).repeat(length)
    columns += np.arange(len(columns), dtype=np.int32)
    out = np.zeros((len(lo), values.shape[1]), values.dtype)
    shape, ones = (len(lo), *values.shape), np.ones(len(columns), values.dtype)
    _product()(*shape, begin, columns, ones, values.ravel(), out.ravel())
    return out


@cache
def _product() -> Callable[..., None]:
    """The bare product of sparse and dense: the checks of ``csr_array`` take longer than a minute's sums."""
    from scipy.sparse import _sparsetools

    product: Callable[..., None] = _sparsetools.csr_matvecs
    return product


def _in_layers(values: Values, lo: Index, hi: Index, op: np.ufunc, dtype: DTypeLike) -> Values:
    """The first row of every interval, then the second of all that have one, and so on: whole rows at a time."""
    # Longest first, so that each layer is a leading slice of all intervals.
    order = np.argsort(lo - hi, kind="stable")
    at, long = lo[order], (lo - hi)[order]
    total = values[at].astype(dtype)
    rows = np.empty((len(at), values.shape[1]), values.dtype)
    for count in np.searchsorted(long, -np.arange(1, -long[0])).tolist():
        at += 1
        op(total[:count], values.take(at[:count], 0, rows[:count], "clip"), out=total[:count])
    out = np.empty_like(total)
    out[order] = total
    return out
