"""The next observed number (not NaN), for each channel separately."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plait.streams.stream import Values

__all__ = ["next_seen"]

Index = NDArray[np.int64]
Mask = NDArray[np.bool_]

STEPS = 32
"""Rows that are searched one by one; longer runs of NaN are looked up in a table of their column."""


def next_seen(rows: Values, index: Index, step: int) -> Index:
    """From each place in ``rows`` [m, d], the first observed number in direction ``step``, inclusive; [k, d].

    Args:
        rows: numbers; NaN and infinite ones are not observed. Integers and texts all are.
        index: [k, 1], or [k, d]; the ends -1 and m stay.
        step: 1 or -1.

    Returns:
        -1 or m where there is none.

    >>> next_seen(np.array([[1.0, np.nan], [np.nan, np.nan], [3.0, 4.0]]), np.array([[1]]), -1).tolist()
    [[0, -1]]
    """
    if rows.dtype.kind != "f":
        return index
    out = np.broadcast_to(index, (len(index), rows.shape[1])).copy()
    places = _unseen(rows, out, np.arange(out.size))
    for _ in range(STEPS):
        if not len(places):
            return out
        out.reshape(-1)[places] += step
        places = _unseen(rows, out, places)
    # A step costs one row, a table the whole column: only what is left after `STEPS` pays for a table.
    for column in np.unique(places % rows.shape[1]):
        own = places[places % rows.shape[1] == column]
        out.reshape(-1)[own] = _by_table(np.isfinite(rows[:, column]), out.reshape(-1)[own], step)
    return out


def _unseen(rows: Values, index: Index, places: Index) -> Index:
    """The subset of flat ``places`` whose number is not observed and whose row is not an end."""
    row = index.reshape(-1)[places]
    places = places[(row >= 0) & (row < len(rows))]
    numbers: NDArray[np.float64] = rows[index.reshape(-1)[places], places % rows.shape[1]]
    return places[~np.isfinite(numbers)]


def _by_table(seen: Mask, index: Index, step: int) -> Index:
    """The same for one column, by binary search."""
    known = np.flatnonzero(seen)
    if step < 0:
        return np.asarray(np.append(-1, known)[np.searchsorted(known, index, side="right")], np.int64)
    return np.asarray(np.append(known, len(seen))[np.searchsorted(known, index)], np.int64)
