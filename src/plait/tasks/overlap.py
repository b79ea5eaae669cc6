"""Metrics of answers over time: of instants, and of spans that overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Span", "average_precision", "edit_distance", "mean_average_precision", "runs", "segment_f1"]

Floats = NDArray[np.float64]


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


def segment_f1(truth: Sequence[Span], said: Sequence[Span], overlap: float = 0.5) -> float:
    """F1 of spans: one that is said is right where it overlaps a true one of its class that no other has claimed.

    Lea et al. 2017, "Temporal convolutional networks for action segmentation and detection", section 4.1: ties of two
    to the same true span go to the first in time. Of nothing at all nan.

    Args:
        truth, said: spans of all items.
        overlap: intersection over union, from which on they are the same.

    >>> segment_f1([Span(0, 0, 4, 1)], [Span(0, 1, 4, 1), Span(0, 6, 7, 1)])
    0.6666666666666666
    """
    if not truth and not said:
        return float("nan")
    hits = sum(_matched(truth, sorted(said), overlap))
    return 2 * hits / (len(truth) + len(said))


def mean_average_precision(truth: Sequence[Span], said: Sequence[Span], overlap: float = 0.5) -> float:
    """Mean over the true classes of the average precision of spans, the surest first.

    Caba Heilbron et al. 2015, "ActivityNet: a large-scale video benchmark for human activity understanding": precision
    is made to fall with recall, and averaged over recall. nan where nothing is true.

    >>> mean_average_precision([Span(0, 0, 4, 1)], [Span(0, 0, 4, 1, 0.4), Span(0, 6, 7, 1, 0.9)])
    0.5
    """
    found = []
    for kind in sorted({s.kind for s in truth}):
        own = [s for s in truth if s.kind == kind]
        hits = _matched(own, sorted((s for s in said if s.kind == kind), key=lambda s: (-s.score, s)), overlap)
        right = np.cumsum(hits)
        precision = right / np.arange(1, len(hits) + 1)
        falling = np.maximum.accumulate(precision[::-1])[::-1]
        found.append(float((falling * np.diff(right, prepend=0)).sum() / len(own)))
    return float(np.mean(found)) if found else float("nan")


def _matched(truth: Sequence[Span], said: Sequence[Span], overlap: float) -> list[bool]:
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


def average_precision(truth: NDArray[Any], score: Floats) -> float:
    """Area under precision over recall, without interpolation; nan where nothing is true.

    >>> average_precision(np.array([0, 1, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1]))
    0.5833333333333333
    """
    if not truth.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    right, value = np.cumsum(truth[order] > 0), score[order]
    last = np.flatnonzero(np.append(np.diff(value) != 0, True))  # of equal scores all are taken at once
    gained = np.diff(right[last], prepend=0)
    return float((gained * right[last] / (last + 1)).sum() / right[-1])


def edit_distance(a: Sequence[Any], b: Sequence[Any]) -> int:
    """How many insertions, deletions and substitutions lead from one sequence to the other (Levenshtein 1966).

    >>> edit_distance("kitten", "sitting")
    3
    """
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]
