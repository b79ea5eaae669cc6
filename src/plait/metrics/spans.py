"""Answers as spans of time, and which of them are right."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Span", "matched", "runs"]


class Span(NamedTuple):
    """``start <= t < stop`` of an item, of a class; how sure whoever says so is."""

    item: int
    start: float
    stop: float
    kind: int
    score: float = 1.0


def runs(on: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """First and one past the last of each run of True.

    >>> list(runs(np.array([True, True, False, True])))
    [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist())


def matched(truth: Sequence[Span], said: Sequence[Span], overlap: float) -> list[bool]:
    """Whether each of ``said``, in their order, claims a true span that is still free; of several the one it overlaps
    most."""
    homes: dict[tuple[int, int], list[Span]] = {}
    for span in truth:
        homes.setdefault((span.item, span.kind), []).append(span)
    claimed: set[Span] = set()
    found = []
    for span in said:
        near = homes.get((span.item, span.kind), [])
        best = max(near, key=lambda true: _overlap(span, true), default=None)
        right = best is not None and best not in claimed and _overlap(span, best) >= overlap
        if right and best is not None:
            claimed.add(best)
        found.append(right)
    return found


def _overlap(a: Span, b: Span) -> float:
    """Intersection over union."""
    both = min(a.stop, b.stop) - max(a.start, b.start)
    return both / (max(a.stop, b.stop) - min(a.start, b.start)) if both > 0 else 0.0
