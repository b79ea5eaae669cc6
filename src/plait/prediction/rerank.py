"""The tokens of an index's rows, kept beside their vectors, so that candidates can be matched with a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plait.tasks.retrieve import Retrieve
from plait.tokens import Tokens

__all__ = ["kept_tokens", "matched", "tokens_at"]

Arrays = dict[str, NDArray[np.generic]]


def kept_tokens(parts: Sequence[Mapping[str, Tokens]], rows: Sequence[int], names: Sequence[str]) -> Arrays:
    """The tokens of some items, one after another, as arrays by name.

    Args:
        parts: encoded items, in batches.
        rows: which items.
        names: modalities.

    >>> times = torch.arange(2.0).expand(3, 2)
    >>> kept = kept_tokens([{"film": Tokens(torch.ones(3, 2, 4), times, times < 1)}], [2, 0], ["film"])
    >>> tokens_at(kept, [1, 0], ["film"])["film"].mask.tolist()
    [[True], [True]]
    """
    found: Arrays = {}
    for m in (m for m in names if m in parts[0]):
        every = [_rows(part[m], i) for part in parts for i in range(len(part[m].mask))]
        own = [every[i] for i in rows]
        found[f"starts {m}"] = np.cumsum([0, *(len(times) for _, times in own)]).astype(np.int64)
        found[f"values {m}"] = np.concatenate([values for values, _ in own])
        found[f"times {m}"] = np.concatenate([times for _, times in own])
    # those of 8 bytes first, so that each array is aligned in its file
    return dict(sorted(found.items(), key=lambda pair: -pair[1].dtype.itemsize))


def _rows(tokens: Tokens, i: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    mask = tokens.mask[i]
    return tokens.values[i][mask].float().numpy(), tokens.times[i][mask].float().numpy()


def tokens_at(
    kept: Mapping[str, NDArray[np.generic]], places: Sequence[int], names: Sequence[str]
) -> dict[str, Tokens]:
    """The tokens of some rows of an index, padded."""
    found = {}
    for m in names:
        starts = kept[f"starts {m}"].astype(np.int64)
        spans = [slice(int(starts[p]), int(starts[p + 1])) for p in places]
        longest = max((s.stop - s.start for s in spans), default=0)
        values = torch.zeros(len(spans), longest, kept[f"values {m}"].shape[1])
        times, mask = torch.zeros(len(spans), longest), torch.zeros(len(spans), longest, dtype=torch.bool)
        for row, span in enumerate(spans):
            count = span.stop - span.start
            values[row, :count] = torch.from_numpy(np.array(kept[f"values {m}"][span], np.float32))
            times[row, :count] = torch.from_numpy(np.array(kept[f"times {m}"][span], np.float32))
            mask[row, :count] = True
        found[m] = Tokens(values, times, mask)
    return found


def matched(
    task: Retrieve, query: Mapping[str, Tokens], kept: Mapping[str, NDArray[np.generic]], places: Sequence[int]
) -> Tensor:
    """The probability that one query and each of some rows of an index belong together, [rows].

    Args:
        task: with a network of matching.
        query: the encoded query, a batch of one item.
        kept: from `kept_tokens`.
        places: the rows.
    """
    asked = {m: Tokens(*(part.expand(len(places), *part.shape[1:]) for part in t)) for m, t in query.items()}
    names = [m for m in task.gallery if f"starts {m}" in kept]
    return task.matches(asked, tokens_at(kept, places, names)).sigmoid()
