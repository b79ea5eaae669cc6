"""Alignment of two sequences by the fewest edits."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

__all__ = ["Edit", "edits", "word_edits"]

Edit = tuple[str | None, str | None]
"""A true and an answered word: equal, or substituted; None: inserted (no true word), or deleted (no answer)."""


def edits(true: Sequence[str], said: Sequence[str]) -> list[Edit]:
    """The words of a true text beside those of an answer, by the fewest insertions, deletions and substitutions.

    Levenshtein's distance with all edits at cost 1 (Wagner & Fischer 1974). Where several alignments have as few, the
    one with a substitution last goes before one with a deletion, and that before one with an insertion.

    >>> edits("set white with s".split(), "set with e s".split())
    [('set', 'set'), ('white', 'with'), ('with', 'e'), ('s', 's')]
    """
    cost = np.zeros((len(true) + 1, len(said) + 1), np.int64)
    cost[:, 0], cost[0] = np.arange(len(true) + 1), np.arange(len(said) + 1)
    for i, word in enumerate(true, 1):
        for j, other in enumerate(said, 1):
            cost[i, j] = min(cost[i - 1, j - 1] + (word != other), cost[i - 1, j] + 1, cost[i, j - 1] + 1)
    i, j, found = len(true), len(said), list[Edit]()
    while i or j:
        if i and j and cost[i, j] == cost[i - 1, j - 1] + (true[i - 1] != said[j - 1]):
            i, j = i - 1, j - 1
            found.append((true[i], said[j]))
        elif i and cost[i, j] == cost[i - 1, j] + 1:
            i -= 1
            found.append((true[i], None))
        else:
            j -= 1
            found.append((None, said[j]))
    return found[::-1]


@lru_cache(maxsize=4096)  # several metrics and the report ask about the same texts
def word_edits(true: str, said: str) -> tuple[Edit, ...]:
    """The words of a true text beside those of an answer: see `edits`.

    >>> word_edits("set red", "set")
    (('set', 'set'), ('red', None))
    """
    return tuple(edits(true.split(), said.split()))
