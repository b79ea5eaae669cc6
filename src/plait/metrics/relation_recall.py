"""Recall of relations: the share of true triples among the first answers of each item."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.core.options import Count
from plait.metrics import Metric

__all__ = ["ANSWER", "TRUTH", "RelationRecall", "found_of"]

TRUTH = 4
"""Columns of a true relation: the number of its pair, of its predicate, whether training lacks the triple of classes
(zero-shot), and how many pairs are asked of the item. -1 in a predicate: no relation."""

ANSWER = 4
"""Columns of an answer: the number of its pair, of its predicate, the probability, and whether it is the pair's best.
In order of probability; -1 in a pair: no answer."""

PREDICATES = 1 << 20

Numbers = NDArray[Any]


class RelationRecall(Metric):
    """The share of true relations that are among the first ``first`` answers of their item (Lu et al. 2016, "Visual
    relationship detection with language priors", ECCV: recall at 50 and at 100).

    The mean over all relations; with ``mean`` over the predicates that occur (Tang et al. 2019, "Learning to compose
    dynamic tree structures for visual contexts"). nan if there are no such relations.

    Args:
        first: answers per item.
        predicates: ``one`` per pair (k = 1, the graph constraint), or ``many`` (k = all).
        mean: whether each predicate counts the same, however often it occurs.
        zero_shot: whether only relations count whose triple of classes training does not have.

    >>> target, scores = np.array([[0, 3, 0, 1]]), np.array([[0, 2, 0.6, 1, 0, 3, 0.4, 0]])
    >>> RelationRecall(predicates="one")(target, scores), RelationRecall(predicates="many")(target, scores)
    (0.0, 1.0)
    """

    of = "relations"
    bounds = (0.0, 1.0)
    percent = True
    rank = 10

    def __init__(
        self,
        *,
        first: Count = 50,
        predicates: Literal["one", "many"] = "one",
        mean: bool = False,
        zero_shot: bool = False,
    ) -> None:
        if predicates not in ("one", "many") or first < 1:
            raise ConfigError(
                f"relation_recall: first {first}, predicates {predicates!r}; expected 1 or more, and one or many."
            )
        self.first, self.predicates, self.mean, self.zero_shot = first, predicates, mean, zero_shot

    def __call__(self, target: Numbers, scores: Numbers) -> float:
        if not np.size(target):
            return math.nan
        truth = np.asarray(target).reshape(len(target), -1, TRUTH)
        counted = truth[..., 1] >= 0
        if self.zero_shot:
            counted &= truth[..., 2] > 0
        if not counted.any():
            return math.nan
        hit = found_of(truth, np.asarray(scores), self.first, one=self.predicates == "one")[counted]
        if not self.mean:
            return float(hit.mean())
        kinds = truth[..., 1][counted].astype(np.int64)
        there = np.bincount(kinds)
        return float((np.bincount(kinds, hit)[there > 0] / there[there > 0]).mean())


def found_of(truth: Numbers, scores: Numbers, first: int, *, one: bool) -> NDArray[np.bool_]:
    """Whether each true relation is among the first answers of its item, [items, relations].

    Args:
        truth: [items, relations, TRUTH].
        scores: [items, answers * ANSWER].
        first: answers per item.
        one: whether only the best predicate of each pair counts.
    """
    rows = scores.reshape(len(scores), -1, ANSWER)
    found = np.zeros(truth.shape[:2], np.bool_)
    for part in _parts(len(truth)):
        found[part] = _found(truth[part], rows[part], first, one)
    return found


def _parts(items: int) -> Iterator[slice]:
    """Some hundred items at a time: all answers are compared with all truths of an item."""
    yield from (slice(i, i + 256) for i in range(0, items, 256))


def _found(truth: Numbers, rows: Numbers, first: int, one: bool) -> NDArray[np.bool_]:
    asked = truth[..., 3].max(1, initial=0)[:, None]
    counts = (rows[..., 0] >= 0) & (rows[..., 0] < asked)
    if one:
        counts &= rows[..., 3] > 0
    counts &= counts.cumsum(1) <= first
    said = np.where(counts, rows[..., 0] * PREDICATES + rows[..., 1], -1)
    true = np.where(truth[..., 1] >= 0, truth[..., 0] * PREDICATES + truth[..., 1], -2)
    return np.asarray((true[..., None] == said[:, None]).any(-1))
