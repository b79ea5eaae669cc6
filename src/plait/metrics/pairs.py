"""Ranks of the true answer in an index, for pairs of embeddings: a query and a row of the index."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from plait.core.errors import DataError

__all__ = ["distinct", "ranks_of"]

Pairs = Float[np.ndarray, "rows 2 width"]

SAME = 1e-4
"""Rows of one group whose numbers differ by less are one row: batches of other lengths round differently."""

BLOCK = 1 << 22
"""Most similarities in memory."""


def ranks_of(groups: NDArray[np.generic], pairs: Pairs, *, reverse: bool = False) -> Int[np.ndarray, " queries"]:
    """The rank, from 1, of the best row of each query's own group among all rows of the index.

    Similarity is the inner product. Equal rows of one group are one query and one row of the index (the picture of
    several captions). Rows of other groups that are as similar as the best own row come before it: the rank is the
    worst that ties allow, so that embeddings that do not tell items apart are not rewarded.

    Args:
        groups: which rows belong together, [rows]: any of them is the right answer.
        pairs: of each row the query and the row of the index.
        reverse: ask with the rows of the index for the queries.

    Raises:
        DataError: the shapes do not fit together.

    >>> pairs = np.stack([np.eye(3), np.eye(3)[[0, 2, 1]]], 1)
    >>> ranks_of(np.array([0, 1, 1]), pairs).tolist(), ranks_of(np.array([0, 1, 2]), pairs).tolist()
    ([1, 1, 1], [1, 3, 3])
    """
    groups, pairs = np.asarray(groups), np.asarray(pairs, np.float64)
    if pairs.ndim != 3 or pairs.shape[1] != 2 or groups.shape != pairs.shape[:1]:
        raise DataError(f"groups {groups.shape} and pairs {pairs.shape}; expected [rows] and [rows, 2, width].")
    ask, answer = pairs[:, 1 if reverse else 0], pairs[:, 0 if reverse else 1]
    queries, rows = distinct(groups, ask), distinct(groups, answer)
    index, owners = answer[rows].T, groups[rows]
    step = max(1, BLOCK // max(len(rows), 1))
    found = [
        _ranks(ask[q] @ index, groups[q][:, None] == owners) for q in np.split(queries, range(step, len(queries), step))
    ]
    return np.concatenate(found) if len(queries) else np.zeros(0, np.int64)


def _ranks(similarity: NDArray[np.float64], own: NDArray[np.bool_]) -> NDArray[np.int64]:
    best = np.where(own, similarity, -np.inf).max(1, keepdims=True, initial=-np.inf)
    return np.asarray(1 + (~own & (similarity >= best)).sum(1), np.int64)


def distinct(groups: NDArray[np.generic], rows: Float[np.ndarray, "rows width"]) -> NDArray[np.intp]:
    """The places of the rows, without those that are equal to another of their group, in order."""
    if not len(rows):
        return np.zeros(0, np.intp)
    # Equal rows have equal sums: sorted by a random one, they are neighbours.
    sums = rows @ np.random.default_rng(0).standard_normal(rows.shape[1])
    order = np.lexsort((sums, np.unique(groups, return_inverse=True)[1].ravel()))
    before, after = order[:-1], order[1:]
    again = (groups[before] == groups[after]) & (np.abs(rows[before] - rows[after]).max(1, initial=0.0) < SAME)
    return np.sort(order[np.concatenate([[True], ~again])])
