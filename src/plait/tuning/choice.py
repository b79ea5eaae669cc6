"""Which trial to take: the front of those that were trained to the end, and the simplest within one standard error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypedDict

import numpy as np

from plait.evaluation.intervals import FEWEST_GROUPS, Floats
from plait.evaluation.replicates import ReplicateOutput
from plait.evaluation.summary import left_out_of, rows_of
from plait.tasks import Task
from plait.tuning.halving import front_of
from plait.tuning.space import Point

__all__ = ["OBJECTIVES", "Cost", "Found", "Latency", "Measured", "Scored", "chosen", "costs_of", "figures"]
__all__ += ["front", "simplicity", "standard_error"]

OBJECTIVES = ("metric", "latency", "size", "streams")


class Latency(TypedDict):
    """Milliseconds of processor for one item alone: the median, and the 10th and 90th percentiles."""

    median: float
    low: float
    high: float


class Scored(TypedDict):
    """The task's main metric on some items, with its 95 % interval and standard error over groups.

    ``reason``: why there is no interval. ``error``: None with too few groups. ``baseline``: the best constant's metric.
    """

    metric: float
    low: float | None
    high: float | None
    reason: str
    error: float | None
    groups: int
    baseline: float


class Measured(Scored):
    """A trial on a rung: its objectives on the validation items.

    ``size``: bytes of the weights; ``streams``: how many. ``seconds``: of processor, for training from the rung below
    and for its answers.
    """

    trial: int
    rung: int
    latency: Latency
    size: int
    streams: int
    seconds: float


class Cost(TypedDict):
    """Processor seconds of the search, trials by what became of them, and the share of a full grid's training."""

    seconds: float
    trials: int
    complete: int
    pruned: int
    failed: int
    trainings: float


@dataclass(frozen=True)
class Found:
    """What a search tried.

    Attributes:
        points: by the number of their trial.
        trials: all that were measured on any rung.
        problems: of trials that failed.
        cost: of all.
    """

    points: dict[str, Point]
    trials: list[Measured]
    problems: dict[str, list[str]]
    cost: Cost

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def figures(task: Task, outputs: Sequence[ReplicateOutput]) -> Scored:
    """The main metric of replicates that answered with one subset of their modalities."""
    (row,), (left_out,), units = rows_of(task, outputs)
    # Under a name of its own, as the constant's answer has no modalities.
    constant, _ = left_out_of(task, [replace(one, outputs={("constant",): one.baseline}) for one in outputs])
    metric, interval = row["metrics"][task.main_metric]["mean"], row["interval"]
    return {
        "metric": math.nan if metric is None else metric,
        "low": None if interval["reason"] else interval["low"],
        "high": None if interval["reason"] else interval["high"],
        "reason": interval["reason"],
        "error": standard_error(left_out, units.groups),
        "groups": units.groups,
        "baseline": float(constant["constant"][0]),
    }


def standard_error(left_out: Floats, groups: int) -> float | None:
    """The standard error of a metric over groups by the jackknife (CV3; see `plait.evaluation.intervals`).

    Args:
        left_out: the metric of all units, then without each in turn, [1 + units].
        groups: fewer than `FEWEST_GROUPS` give none.

    >>> standard_error(np.array([2.0, 1.5, 2.5, 2.0, 2.0, 2.0]), 5)
    0.6324555320336759
    """
    change = left_out[1:] - left_out[0]
    if groups < FEWEST_GROUPS or not np.isfinite(change).all():
        return None
    return math.sqrt((len(change) - 1) / len(change) * float(np.square(change).sum()))


def costs_of(one: Measured, objectives: Sequence[str], *, higher_is_better: bool) -> list[float]:
    """The objectives, each to be as small as possible."""
    known = {
        "metric": -one["metric"] if higher_is_better else one["metric"],
        "latency": one["latency"]["median"],
        "size": float(one["size"]),
        "streams": float(one["streams"]),
    }
    return [known[name] for name in objectives]


def front(done: Sequence[Measured], objectives: Sequence[str], *, higher_is_better: bool) -> list[Measured]:
    """The Pareto front: trials that no other is as good as in all objectives and better in one."""
    costs = np.array([costs_of(one, objectives, higher_is_better=higher_is_better) for one in done])
    return [one for one, kept in zip(done, front_of(costs)) if kept]


def simplicity(objectives: Sequence[str]) -> list[str]:
    """What makes a recipe simple: the objectives beside the metric as they were given, then streams, size, metric."""
    return list(dict.fromkeys([*(name for name in objectives if name != "metric"), "streams", "size", "metric"]))


def chosen(done: Sequence[Measured], objectives: Sequence[str], *, higher_is_better: bool) -> tuple[Measured, Measured]:
    """The best trial by the metric, and the simplest one that is within one standard error of it.

    The rule of Breiman, Friedman, Olshen & Stone 1984, "Classification and regression trees", section 3.4.3: what is
    better by less than the standard error of the best is not known to be better. The best itself where its standard
    error is not known.
    """
    sign = 1 if higher_is_better else -1
    best = max(done, key=lambda one: sign * one["metric"])
    # A small slack, so that rounding does not part two equal figures.
    least = sign * best["metric"] - (best["error"] or 0.0) * (1 + 1e-9) - 1e-12
    near = [one for one in done if sign * one["metric"] >= least] if best["error"] is not None else [best]
    order = simplicity(objectives)
    return best, min(near, key=lambda one: costs_of(one, order, higher_is_better=higher_is_better))
