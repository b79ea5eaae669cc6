"""What compression does to the answers from every subset of modalities: paired, over groups."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NotRequired

import numpy as np
from typing_extensions import TypedDict

from plait.core.progress import Progress
from plait.evaluation.examined import Examination, Examined
from plait.evaluation.intervals import NO_SPREAD, Floats, difference_of, mean_interval
from plait.evaluation.replicates import ReplicateOutput, Scored, Subset
from plait.evaluation.rows import interval_row, row_of
from plait.evaluation.schema import IntervalRow
from plait.evaluation.summary import left_out_of
from plait.metrics import known_bounds
from plait.models.model import Model
from plait.training.run import Run

__all__ = ["Answered", "Change", "changes_of", "deciding_part", "lowest", "worst_of"]


class Truth(TypedDict):
    """Points of the true class's probability."""

    change: float
    interval: IntervalRow


class Change(TypedDict):
    """The main metric of answers from one subset of modalities, before and after.

    ``change`` and its interval are points: hundredths of the metric, or, of a metric without bounds, per cent of its
    value with all modalities before; above 0 is better, whatever the metric. ``truth`` is the same of the mean
    probability of the true class, for tasks with one class per item: accuracy counts whole items, so that one changed
    answer of 89 makes an interval of 4 points, while probabilities tell of every item how far it moved.
    """

    modalities: list[str]
    before: float
    after: float
    change: float
    interval: IntervalRow
    truth: NotRequired[Truth]


def deciding_part(run: Run) -> str:
    """The part of a run's items by which something may be chosen: ``valid``; ``train`` if a fold has none."""
    used = {one.fold for one in run.finished}
    return "valid" if all(fold.valid for fold in run.info.folds if fold.name in used) else "train"


class Answered:
    """The answers of a run's finished replicates on one part of its items, to which others are compared.

    Args:
        run: a run with a finished replicate.
        cache: where prepared features are kept.
        part: of the items: ``valid``, ``test`` or ``train``.
        progress: told of features being prepared, and of replicates.
    """

    def __init__(self, run: Run, cache: str | Path, part: str, progress: Progress | None = None) -> None:
        found = Examination(run, cache, None, progress, part=part)
        self.part, self.examined = part, [*found]
        self.replicates = found.replicates
        self.before = [one.output() for one in self.examined]
        self.task = self.examined[0].model.task

    @property
    def items(self) -> int:
        return len({item for one in self.before for item in one.items})

    def changes(self, models: Sequence[Model]) -> list[Change]:
        """What changes if these models answer, one for each replicate."""
        return changes_of(self.task, self.before, [*map(_answers, self.examined, models)])


def _answers(one: Examined, model: Model) -> ReplicateOutput:
    other = copy.copy(one)
    other.model = model
    return other.output()


def changes_of(task: Scored, before: Sequence[ReplicateOutput], after: Sequence[ReplicateOutput]) -> list[Change]:
    """A row per subset of modalities, all of them together last; the same groups are left out of both answers.

    Intervals are cluster jackknives (`plait.evaluation.intervals`). Where every subset must pass, each at its level,
    no correction for their number is needed (intersection-union test: Berger 1982, Technometrics 24(4)).
    """
    subsets = list(before[0].outputs)
    found, units = left_out_of(task, [_both(old, new) for old, new in zip(before, after)])
    unit = _unit(task, float(found[f"old{len(subsets) - 1}"][0])) * (1 if task.higher_is_better else -1)
    rows: list[Change] = []
    for i, subset in enumerate(subsets):
        old, new = found[f"old{i}"], found[f"new{i}"]
        moved = unit * difference_of(new, old)
        row = Change(
            modalities=[*subset],
            before=float(old[0]),
            after=float(new[0]),
            change=float(moved[0]),
            interval=interval_row(moved, units),
        )
        if all(_one_class(task, one) for one in before):
            row["truth"] = _truth(subset, before, after)
        rows.append(row)
    return rows


def _both(old: ReplicateOutput, new: ReplicateOutput) -> ReplicateOutput:
    """The answers of both models side by side: ``old0``, ``new0`` for the first subset."""
    sides = {"old": old.outputs.values(), "new": new.outputs.values()}
    outputs: dict[Subset, Floats] = {
        (f"{side}{i}",): answers for side, own in sides.items() for i, answers in enumerate(own)
    }
    there = np.ones(len(old.items), bool)
    return replace(old, outputs=outputs, present={key[0]: there for key in outputs})


def _one_class(task: Scored, one: ReplicateOutput) -> bool:
    classes = task.state().get("classes")
    shape = np.shape(next(iter(one.outputs.values())))
    return isinstance(classes, Sequence) and np.ndim(one.target) == 1 and shape[1:] == (len(classes),)


def _truth(subset: Subset, before: Sequence[ReplicateOutput], after: Sequence[ReplicateOutput]) -> Truth:
    moved = np.concatenate([_sure(new, subset) - _sure(old, subset) for old, new in zip(before, after)])
    found = mean_interval(100 * moved, [group for one in before for group in one.groups])
    return {"change": float(100 * moved.mean()), "interval": row_of(found)}


def _sure(one: ReplicateOutput, subset: Subset) -> Floats:
    target = np.asarray(one.target, np.intp)
    return np.asarray(one.outputs[subset])[np.arange(len(target)), target]


def _unit(task: Scored, whole: float) -> float:
    """Points in 1 of the metric."""
    bounds = getattr(task, "bounds", None) or known_bounds(task.main_metric)
    return 100.0 if math.isfinite(bounds[1]) else 100.0 / max(abs(whole), 1e-12)


def lowest(row: Change) -> float:
    """How low a change may be: the lower end of its interval; NaN where it cannot be told.

    With ``truth``, a change passes too where neither itself nor the lower end of that is lower. Where no group differs
    from another, an interval has no width.
    """
    low = _low(row["change"], row["interval"])
    if "truth" not in row:
        return low
    other = min(row["change"], _low(row["truth"]["change"], row["truth"]["interval"]))
    unmoved = row["interval"]["reason"] == NO_SPREAD
    return other if unmoved or math.isnan(low) else max(low, other) if not math.isnan(other) else low


def _low(change: float, found: IntervalRow) -> float:
    low = change if found["reason"] == NO_SPREAD else found["low"]
    return math.nan if low is None else low


def worst_of(rows: Sequence[Change]) -> Change:
    """The row whose lower end is lowest; one that cannot be told is worse than any.

    >>> of = lambda low: {"modalities": [], "change": 0.0, "interval": {"low": low, "reason": ""}}
    >>> lowest(worst_of([of(-1.0), of(-2.0)])), lowest(worst_of([of(-1.0), of(math.nan)]))
    (-2.0, nan)
    """
    return min(rows, key=lambda row: -math.inf if math.isnan(lowest(row)) else lowest(row))
