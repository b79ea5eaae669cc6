"""Ragged features -> one padded, masked batch a modality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from plait.tokens.tokens import Tokens

__all__ = ["Rows", "collate", "pad"]

Rows = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Features [n, dim] and their times [n], seconds from where the item begins."""


def pad(rows: Sequence[Rows | None], dim: int) -> Tokens:
    """Pad rows of one modality to the longest; a missing one (None) is an all-False mask.

    A row whose features are all NaN is masked; single NaN cells stay for the model to fill.

    >>> one = (np.ones((2, 3), np.float32), np.array([0, 0.1], np.float32))
    >>> pad([one, None], 3).mask.tolist()
    [[True, True], [False, False]]
    """
    longest = max((len(r[0]) for r in rows if r is not None), default=0)
    values = np.zeros((len(rows), longest, dim), np.float32)
    times = np.zeros((len(rows), longest), np.float32)
    mask = np.zeros((len(rows), longest), bool)
    for i, row in enumerate(rows):
        if row is not None:
            n = len(row[0])
            values[i, :n], times[i, :n] = row
            mask[i, :n] = np.isfinite(values[i, :n]).any(1)
    return Tokens(torch.from_numpy(values), torch.from_numpy(times), torch.from_numpy(mask))


def collate(items: Sequence[Mapping[str, Rows | None]], dims: Mapping[str, int]) -> dict[str, Tokens]:
    """A batch of items, {modality: rows or None} each, as {modality: Tokens} over all of ``dims``."""
    return {m: pad([item.get(m) for item in items], dim) for m, dim in dims.items()}
