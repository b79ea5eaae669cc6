"""Answers as spans of time, and which of them are correct."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Span", "matched", "runs", "spans_of"]


class Span(NamedTuple):
    """``start <= t < stop`` of an item, with a class and a confidence (``score``)."""

    item: int
    start: float
    stop: float
    kind: int
    score: float = 1.0


def runs(on: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """First index of each run of True, and one past its last.

    >>> list(runs(np.array([True, True, False, True])))
    [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist())


def spans_of(
    on: NDArray[np.bool_], rate: float, kinds: Sequence[int], scores: NDArray[np.float64] | None = None
) -> list[Span]:
    """The spans in which classes hold.

    Args:
        on: whether each class holds, [items, steps, classes].
        rate: steps per second.
        kinds: the classes to look at.
        scores: of each step, [items, steps, classes]: a span has their mean.

    >>> spans_of(np.array([[[True], [True], [False]]]), 2.0, [0])
    [Span(item=0, start=0.0, stop=1.0, kind=0, score=1.0)]
    """
    found = ((i, k, lo, hi) for i, row in enumerate(on) for k in kinds for lo, hi in runs(row[:, k]))
    return [
        Span(i, lo / rate, hi / rate, k, 1.0 if scores is None else float(scores[i, lo:hi, k].mean()))
        for i, k, lo, hi in found
    ]


def matched(truth: Sequence[Span], said: Sequence[Span], overlap: float) -> list[Span | None]:
    """The true span that each span of ``said``, in order, is correct for; None if it is wrong.

    A span looks only at the true span that it overlaps most; it is correct if that one is still free, and overlaps by
    at least ``overlap``.
    """
    homes: dict[tuple[int, int], list[Span]] = {}
    for span in truth:
        homes.setdefault((span.item, span.kind), []).append(span)
    claimed: set[Span] = set()
    found: list[Span | None] = []
    for span in said:
        near = homes.get((span.item, span.kind), [])
        best = max(near, key=lambda true: _overlap(span, true), default=None)
        # A second span on a claimed one is wrong, even if it overlaps another free one less.
        if best is None or best in claimed or _overlap(span, best) < overlap - 1e-9:  # rounding of times
            found.append(None)
        else:
            claimed.add(best)
            found.append(best)
    return found


def _overlap(a: Span, b: Span) -> float:
    """Intersection over union."""
    both = min(a.stop, b.stop) - max(a.start, b.start)
    return both / (max(a.stop, b.stop) - min(a.start, b.start)) if both > 0 else 0.0
