"""Where a model is right and where it is wrong: per class and per group."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import PlaitError
from plait.evaluation.replicates import ReplicateOutput, Scored, Subset, main_of
from plait.evaluation.schema import ClassRow, GroupRow

__all__ = ["MOST_GROUPS", "class_counts", "main_metric", "per_class", "per_group", "tag_counts"]

MOST_GROUPS = 500
"""With more groups than this there is no table: nobody would read it."""


Counts = NDArray[np.int64]


def class_counts(confusion: Counts) -> Counts:
    """Counts of correct answers, true items and answers per class, [3, classes].

    Args:
        confusion: [classes, classes], rows are true classes, columns are answers.
    """
    return np.stack([np.diag(confusion), confusion.sum(1), confusion.sum(0)])


def tag_counts(scores: NDArray[np.float64], target: NDArray[np.generic]) -> Counts:
    """The same where an item may have several classes: a class counts as answered where its score is above 0.5.

    Args:
        scores: probabilities, [rows, classes].
        target: 1 or 0, and -1 where nothing is asked, [rows, classes].

    >>> tag_counts(np.array([[0.9, 0.6], [0.2, 0.7]]), np.array([[1, 0], [1, -1]])).tolist()
    [[1, 0], [2, 0], [1, 1]]
    """
    # Scores at places that are not asked (-1) must not count as answers: they would lower the precision.
    true, said = target == 1, (scores > 0.5) & ((target == 0) | (target == 1))
    return np.stack([(true & said).sum(0), true.sum(0), said.sum(0)])


def per_class(counts: Counts, classes: Sequence[str], seeds: int = 1) -> list[ClassRow]:
    """Per class: ``items`` (per seed), ``recall``, ``precision`` and ``f1``; None where the class does not occur.

    Args:
        counts: as `class_counts` or `tag_counts` gives them, [3, classes].
        classes: their names.
        seeds: number of seeds whose counts were summed.

    >>> per_class(class_counts(np.array([[3, 1], [0, 2]])), ["walk", "run"])[1]
    {'class': 'run', 'items': 2, 'recall': 1.0, 'precision': 0.6666666666666666, 'f1': 0.8}
    """
    hit, true, said = counts
    return [
        {
            "class": name,
            "items": round(int(true[i]) / seeds),
            "recall": _share(hit[i], true[i]),
            "precision": _share(hit[i], said[i]),
            "f1": _share(2 * hit[i], true[i] + said[i]),
        }
        for i, name in enumerate(classes)
    ]


def _share(part: np.int64, whole: np.int64) -> float | None:
    return float(part / whole) if whole else None


def per_group(pools: Sequence[ReplicateOutput], subset: Subset, task: Scored) -> list[GroupRow]:
    """Per group: its ``items`` and the main metric on them alone (mean over seeds), the worst group first.

    Empty where every item is a group of its own, where there are more than `MOST_GROUPS`, and where the metric is
    undefined in every group (the area under ROC, if each group has one class only).
    """
    names = sorted({g for p in pools for g in p.groups})
    if len(names) > MOST_GROUPS or len(names) == len({i for p in pools for i in p.items}):
        return []
    inside = [{g: np.flatnonzero(np.asarray(p.groups) == g) for g in names} for p in pools]
    sign = 1 if task.higher_is_better else -1
    known, undefined = list[tuple[float, GroupRow]](), list[GroupRow]()
    for g in names:
        parts = [(p.outputs[subset][own[g]], np.asarray(p.target)[own[g]]) for p, own in zip(pools, inside)]
        values = [main_metric(task, scores, target) for scores, target in parts if len(target)]
        # A set: every seed tests the same items again.
        items = len({p.items[int(i)] for p, own in zip(pools, inside) for i in own[g]})
        value = float(np.mean(values))
        if np.isfinite(value):
            known.append((sign * value, {"group": str(g), "items": items, "value": value}))
        else:
            undefined.append({"group": str(g), "items": items, "value": None})  # JSON has no NaN
    known.sort(key=lambda row: row[0])
    return [*(row for _, row in known), *undefined] if known else []


def main_metric(task: Scored, scores: NDArray[np.float64], target: NDArray[np.generic]) -> float:
    """The task's main metric on some items; NaN where it is undefined on them."""
    try:
        return main_of(task, scores, target)
    except (PlaitError, ValueError, ArithmeticError):  # a metric of the user's may raise on one class or one item
        return float("nan")
