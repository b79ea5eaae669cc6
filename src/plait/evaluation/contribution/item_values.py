"""How good an answer is for each item, in a unit that adds up."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plait.evaluation.intervals import Floats
from plait.evaluation.replicates import Scored, frames_of, main_of

__all__ = ["ItemValues", "item_values"]

FLOOR = 1e-12
"""Least probability: no single item may decide a mean."""


class ItemValues(NamedTuple):
    """Attributes:
    values: one per item, higher is better, [items]; NaN where nothing is asked.
    unit: ``bits``: log2 of the probability of the truth (of answers over time the mean over the instants asked);
        ``negative error``, ``negative loss``: minus the absolute error, or the forecast's loss; else the metric, with
        its sign turned where lower is better.
    """

    values: Floats
    unit: str


def item_values(task: Scored, scores: Floats, target: NDArray[np.generic]) -> ItemValues | None:
    """The value of each item's answer; None where the task's metric says nothing of one item.

    Args:
        task: names the metric.
        scores: answers, [items, classes or 1] or as the task has them.
        target: encoded, [items, ...].

    >>> item_values(None, np.array([[0.25, 0.75]]), np.array([0]))
    ItemValues(values=array([-2.]), unit='bits')
    """
    losses = getattr(task, "losses", None)
    if losses is not None:
        found = np.asarray(losses(scores, target), np.float64)
        # Losses of several streams are in units of their own, and have no sum.
        return ItemValues(-found[:, 0], "negative loss") if found.shape[1] == 1 else None
    if getattr(task, "is_numeric", False):
        return _error(np.asarray(scores, np.float64), np.asarray(target, np.float64))
    if np.issubdtype(np.asarray(target).dtype, np.integer) and scores.shape[-1] > 1:
        if getattr(task, "frames", None) is not None:
            return _bits_of_frames(task, scores, target)
        if scores.ndim == target.ndim + 1:
            return _bits(np.asarray(scores, np.float64), target)
    return _of_metric(task, scores, target)


def _error(scores: Floats, target: Floats) -> ItemValues | None:
    if scores.size != target.size:
        return None
    error = np.abs(scores.reshape(target.shape) - target).reshape(len(target), -1)
    known = np.isfinite(error)
    with np.errstate(invalid="ignore"):
        return ItemValues(-np.where(known, error, 0.0).sum(1) / known.sum(1), "negative error")


def _bits(scores: Floats, target: NDArray[np.generic]) -> ItemValues:
    asked = np.asarray(target) >= 0
    true = np.take_along_axis(scores, np.where(asked, target, 0)[..., None].astype(np.intp), -1)[..., 0]
    bits = np.where(asked, np.log2(np.maximum(true, FLOOR)), 0.0).reshape(len(target), -1)
    with np.errstate(invalid="ignore"):
        return ItemValues(bits.sum(1) / asked.reshape(len(target), -1).sum(1), "bits")


def _bits_of_frames(task: Scored, scores: Floats, target: NDArray[np.generic]) -> ItemValues:
    """Of what a task counts of each item; where several classes may hold, the mean over these too."""
    found = []
    for i in range(len(target)):
        rows, named = frames_of(task, scores[i : i + 1], target[i : i + 1])
        truth = np.asarray(named, np.int64)
        known = truth >= 0
        if truth.ndim < rows.ndim:
            true = np.take_along_axis(rows, np.maximum(truth, 0)[:, None], 1)[:, 0]
        else:
            true = np.where(truth > 0, rows, 1 - rows)
        found.append(np.log2(np.maximum(true[known], FLOOR)).mean() if known.any() else np.nan)
    return ItemValues(np.array(found, np.float64), "bits")


def _of_metric(task: Scored, scores: Floats, target: NDArray[np.generic]) -> ItemValues | None:
    each, sign = getattr(task, "each", None), 1 if task.higher_is_better else -1
    if each is not None:
        return ItemValues(sign * np.asarray(each(scores, target), np.float64), task.main_metric)
    if getattr(task, "texts", None) is None:
        return None
    alone = [main_of(task, scores[i : i + 1], target[i : i + 1]) for i in range(len(target))]
    return ItemValues(sign * np.array(alone, np.float64), task.main_metric)
