"""The evaluation of a run as one JSON object, from the outputs of its replicates (one seed on one fold each)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NotRequired, cast

import numpy as np
from typing_extensions import TypedDict

from plait.core.errors import DataError
from plait.evaluation.breakdown import class_counts, per_class, per_group, tag_counts
from plait.evaluation.cause.shortcuts import shortcuts_of
from plait.evaluation.contribution.information import information_of
from plait.evaluation.contribution.shares import contributions_of, interactions_of, item_shares
from plait.evaluation.examples import examples_of
from plait.evaluation.forecasts import helpful_streams, rivals_of
from plait.evaluation.intervals import (
    FEWEST_GROUPS,
    LEVEL,
    Floats,
    Kernel,
    Units,
    bounds_within,
    difference_of,
    leave_one_out,
)
from plait.evaluation.kernels import kernel_for
from plait.evaluation.replicates import ReplicateOutput, Scored, Subset, frames_of, led, main_of, pools_of, scorer_of
from plait.evaluation.rows import interval_row
from plait.evaluation.schema import (
    VERSION,
    Calibration,
    Confusion,
    Evaluation,
    Gain,
    GainFacts,
    IntervalFacts,
    MetricRow,
    Scatter,
    SubsetRow,
    TaskFacts,
)
from plait.evaluation.slices import slices_of
from plait.evaluation.uncertainty.calibration import brier, expected_error, reliability
from plait.evaluation.uncertainty.summary import uncertainty_of
from plait.evaluation.word_errors import word_confusion
from plait.metrics import known_bounds
from plait.metrics.functional import calibration_error, confusion, log_loss

__all__ = ["interval_facts", "left_out_of", "plain", "point", "rows_of", "subsets_of", "summarise", "task_facts"]


def subsets_of(modalities: Iterable[str]) -> list[Subset]:
    """All subsets that are not empty, small ones first, each in the order given; the full set comes last.

    >>> subsets_of(["see", "hear"])
    [('see',), ('hear',), ('see', 'hear')]
    """
    names = list(modalities)
    return [s for size in range(1, len(names) + 1) for s in itertools.combinations(names, size)]


def summarise(
    task: Scored,
    replicates: Sequence[ReplicateOutput],
    modalities: Sequence[str] | None = None,
    *,
    about: Mapping[str, str] | None = None,
    facts: Mapping[str, Mapping[str, object]] | None = None,
    sections: Mapping[str, object] | None = None,
) -> Evaluation:
    """The evaluation, as JSON: every subset of modalities against the best constant answer, with intervals.

    A seed's folds are pooled and scored once. Metrics are the mean over seeds, ``sd`` their standard deviation (n - 1;
    None for one seed). The interval is that of the mean over seeds, with the same groups left out in every seed. So it
    is about new groups and not about new seeds; ``sd`` is about these.

    Args:
        task: names and computes the metrics.
        replicates: one per seed and fold.
        modalities: in the model's order; by default as the first replicate's ``present`` has them.
        about: ``run``, ``corpus``, and the task's ``name``, ``target`` and ``unit``.
        facts: by item, what is known of it: its length, metadata.
        sections: more sections of the report: ``robustness``, ``data``, ``training``, ``sync``, ``recipe_yaml``,
            ``parts``, ``versions``, ``date``.

    Raises:
        DataError: no replicates, replicates that do not fit together, or answers that are not numbers.
    """
    pools = pools_of(replicates, task)
    about, modalities = dict(about or {}), list(modalities or pools[0].present)
    subsets = _ordered(pools[0].outputs, modalities)
    rows, left_out, units = _rows(pools, task, subsets)
    first, own = led(task, pools)
    listed = first.state().get("classes")
    classes = [str(c) for c in listed] if isinstance(listed, Sequence) else []
    constant, sign, full = _of_constant(pools, units, task), 1 if task.higher_is_better else -1, subsets[-1]
    by_subset, numeric = dict(zip(subsets, left_out)), bool(getattr(first, "is_numeric", False))
    evaluation: dict[str, object] = {
        "version": VERSION,
        "run": about.get("run", ""),
        "corpus": about.get("corpus", ""),
        "task": task_facts(task, about, classes),
        "modalities": modalities,
        "items": len({i for p in pools for i in p.items}),
        "groups": units.groups,
        "seeds": [p.seed for p in pools],
        "folds": sorted({m.fold for m in replicates}),
        "baseline": {"metrics": _mean_metrics([task.metrics(p.baseline, p.target) for p in pools])},
        "intervals": interval_facts(units),
        "subsets": rows,
        **_gain(rows, left_out, units, task),
        "contributions": contributions_of(by_subset, constant, full, sign, units),
        "interactions": interactions_of(by_subset, constant, full, sign, units),
        "gain_over_constant": _over_constant(left_out[-1], constant, sign, units),
        "per_group": per_group(pools, full, task),
        "slices": [] if _ranks(task) else slices_of(pools, task, full, facts or {}),
        "shortcuts": shortcuts_of(own, full, facts or {}),
    }
    if len(full) > 1 and (shares := item_shares(own, first, full, classes)) is not None:
        evaluation["item_shares"] = shares
    if information := information_of(own, first, full):
        evaluation["information"] = information
    if rivals := rivals_of(pools, task):
        evaluation |= {"rivals": rivals, "verdicts": helpful_streams(pools, task, units)}
    if classes:
        evaluation |= _of_classes(own, full, classes, first)
    elif numeric:
        evaluation["scatter"] = _scatter(own[0], full, first)
    else:
        evaluation["examples"] = examples_of(pools[0], full, task)
        evaluation |= _of_texts(pools, full, task)
    evaluation |= uncertainty_of(own, full, classes=bool(classes), values=numeric)
    more = dict(sections or {})
    # Merged and not replaced, as what is missing is known here, and what was dropped by the caller.
    robustness, data = (cast(Mapping[str, object], more.pop(name, {})) for name in ("robustness", "data"))
    evaluation["robustness"] = {"noise": [], "missing": [], **robustness}
    evaluation["data"] = {"dropped": {}, "missing_streams": _missing(pools, modalities), **data}
    return cast(Evaluation, plain(evaluation | more))


def interval_facts(units: Units) -> IntervalFacts:
    """How intervals were computed, for the report."""
    return {
        "method": "cluster jackknife, Student's t",
        "level": LEVEL,
        "groups": units.groups,
        "left_out_in_turn": units.n,
        "degrees_of_freedom": units.df,
        "fewest_groups": FEWEST_GROUPS,
    }


class Point(TypedDict):
    """One point of a robustness curve: the main metric, its mean over seeds, and its standard deviation."""

    metric: str
    value: float | None
    sd: float | None


def point(task: Scored, replicates: Sequence[ReplicateOutput], subset: Subset) -> Point:
    """One point of a robustness curve, of the main metric."""
    values = [main_of(task, p.outputs[subset], p.target) for p in pools_of(replicates, task)]
    return cast(Point, plain({"metric": task.main_metric, "value": float(np.mean(values)), "sd": _sd(values)}))


def rows_of(task: Scored, replicates: Sequence[ReplicateOutput]) -> tuple[list[SubsetRow], list[Floats], Units]:
    """A row per output of the replicates, in their order; per row the main metric of all units and without each in
    turn, [1 + units]; and the units.

    The same groups are left out of all outputs, so that differences between any two are paired. The keys of the outputs
    need not be modalities: any names will do, as long as ``present`` has them too. Arguments as for `summarise`.

    Raises:
        DataError: no replicates, replicates that do not fit together, or answers that are not numbers.
    """
    pools = pools_of(replicates, task)
    return _rows(pools, task, list(pools[0].outputs))


def left_out_of(task: Scored, replicates: Sequence[ReplicateOutput]) -> tuple[dict[str, Floats], Units]:
    """As `rows_of`, of outputs whose keys are one name each: only their main metric, by that name, and the units.

    Raises:
        DataError: as `rows_of`.
    """
    pools = pools_of(replicates, task)
    units, outputs = Units.of([g for p in pools for g in p.groups]), list(pools[0].outputs)
    values = leave_one_out([_kernel(pools, task, [p.outputs[s] for p in pools], units) for s in outputs], units)
    return {name: own for (name,), own in zip(outputs, values)}, units


def _ordered(outputs: Mapping[Subset, Floats], modalities: Sequence[str]) -> list[Subset]:
    place = {m: i for i, m in enumerate(modalities)}
    strange = sorted({m for s in outputs for m in s if m not in place})
    if strange or not outputs:
        raise DataError(f"outputs of modalities {strange or 'none'}; expected subsets of {list(modalities)}.")
    # All modalities come last: gains, plots and the report read them as the last row.
    return sorted(outputs, key=lambda s: (len(s), [place[m] for m in s]))


def _rows(
    pools: list[ReplicateOutput], task: Scored, subsets: list[Subset]
) -> tuple[list[SubsetRow], list[Floats], Units]:
    """A row per subset; its main metric of all units and without each unit in turn; the units."""
    units = Units.of([g for p in pools for g in p.groups])
    left_out = leave_one_out([_kernel(pools, task, [p.outputs[s] for p in pools], units) for s in subsets], units)
    rows = [_row(pools, task, s, values, units) for s, values in zip(subsets, left_out)]
    return rows, list(left_out), units


def _row(pools: list[ReplicateOutput], task: Scored, subset: Subset, values: Floats, units: Units) -> SubsetRow:
    # By id, as every seed has the same items.
    answered = {
        item for p in pools for item, there in zip(p.items, np.any([p.present[m] for m in subset], axis=0)) if there
    }
    found = [task.metrics(p.outputs[subset], p.target) for p in pools]
    metrics = {name: _over_seeds([f[name] for f in found]) for name in found[0]}
    between = getattr(task, "bounds", None) or known_bounds(task.main_metric)
    interval = interval_row(values, units, bounds_within(between, values))
    return {"modalities": list(subset), "answered": len(answered), "metrics": metrics, "interval": interval}


def _kernel(pools: list[ReplicateOutput], task: Scored, answers: Sequence[Floats], units: Units) -> Kernel:
    """A kernel of the mean over seeds of the main metric of each seed's answers; all leave out the same units."""
    made, start = [], 0
    for p, answer in zip(pools, answers):
        own = Units(units.codes[start : start + len(p.items)], units.n, units.groups)
        start += len(p.items)
        scores, target = np.asarray(answer), np.asarray(p.target)
        made.append(kernel_for(scorer_of(task, scores, target), scores, target, own))
    return lambda counts: np.mean([kernel(counts) for kernel in made], axis=0)


def _gain(rows: list[SubsetRow], left_out: list[Floats], units: Units, task: Scored) -> GainFacts:
    """How much better all modalities are than the best single one; above 0 is better, whatever the metric."""
    sign = 1 if task.higher_is_better else -1
    means = [r["metrics"][task.main_metric]["mean"] for r in rows]
    value = [math.nan if mean is None else mean for mean in means]
    single = [i for i, r in enumerate(rows) if len(r["modalities"]) == 1]
    if len(rows[-1]["modalities"]) < 2 or not single:
        return {"best_single": None, "gain_over_best_single": None, "gain_interval": None}
    # NaN compares as neither more nor less, so max would keep whatever came first.
    best = max(single, key=lambda i: -math.inf if math.isnan(value[i]) else sign * value[i])
    gain = sign * difference_of(left_out[-1], left_out[best])
    return {
        "best_single": {"modality": rows[best]["modalities"][0], "value": value[best]},
        "gain_over_best_single": sign * (value[-1] - value[best]),
        "gain_interval": interval_row(gain, units),
    }


def _of_constant(pools: list[ReplicateOutput], units: Units, task: Scored) -> Floats:
    """The main metric of the best constant answer, of all units and without each in turn."""
    found: Floats = leave_one_out([_kernel(pools, task, [p.baseline for p in pools], units)], units)[0]
    return found


def _over_constant(left_out: Floats, constant: Floats, sign: int, units: Units) -> Gain:
    """How much better all modalities are than the best constant answer; paired."""
    gain = sign * difference_of(left_out, constant)
    return {"gain": float(gain[0]), "interval": interval_row(gain, units)}


def task_facts(task: Scored, about: Mapping[str, str], classes: Sequence[object] | None) -> TaskFacts:
    """What a report says of a task: its name, its unit, the metric and its direction, the classes."""
    found: TaskFacts = {
        "name": about.get("name", type(task).__name__.lower()),
        "target": about.get("target", ""),
        "unit": about.get("unit", ""),
        "metric": task.main_metric,
        "higher_is_better": bool(task.higher_is_better),
        "classes": [str(c) for c in classes] if classes else None,
    }
    if isinstance(rate := getattr(task, "rate", None), int | float):
        found["rate"] = float(rate)
    if hasattr(task, "lead"):
        found["lead"] = task.main_metric.partition(".")[0]
    if _ranks(task):
        found["ranks"] = True
    return found


def _ranks(task: Scored) -> bool:
    """Whether items are compared with each other, so that a metric of some is not that of them among all."""
    return getattr(task, "asks", "") == "nothing"


class ClassFacts(TypedDict):
    """The parts of an evaluation that only classes have."""

    per_class: Sequence[Mapping[str, object]]
    confusion: NotRequired[Confusion]
    calibration: NotRequired[Calibration]


def _of_classes(pools: list[ReplicateOutput], full: Subset, classes: list[str], task: Scored) -> ClassFacts:
    """Confusions and calibration of the full set, counted over all seeds; the calibration error is the mean over seeds.

    For timed answers the instants asked are counted. If several classes may hold at a time there is no confusion.
    """
    frames = [frames_of(task, p.outputs[full], p.target) for p in pools]
    scores, target = (np.concatenate(x) for x in zip(*frames))
    if target.ndim > 1:
        return {"per_class": per_class(tag_counts(scores, target), classes, len(pools))}
    counts = confusion(target, scores.argmax(1), len(classes))
    errors, chance = [calibration_error(t, s) for s, t in frames], [expected_error(s) for s, _ in frames]
    return {
        "per_class": per_class(class_counts(counts), classes, len(pools)),
        "confusion": {"classes": classes, "counts": counts.tolist()},
        "calibration": {
            "bins": reliability(scores, target),
            "ece": float(np.mean(errors)),
            "ece_by_chance": float(np.mean([one.mean for one in chance])),
            "ece_bound": float(np.mean([one.high for one in chance])),
            "log_loss": float(np.mean([log_loss(t, s) for s, t in frames])),
            "brier": float(np.mean([brier(s, t) for s, t in frames])),
        },
    }


def _of_texts(pools: list[ReplicateOutput], full: Subset, task: Scored) -> dict[str, Confusion]:
    """Which words are taken for which, counted over all seeds; nothing in a task without texts."""
    texts = getattr(task, "texts", None)
    if texts is None:
        return {}
    pairs = [pair for p in pools for pair in texts(np.asarray(p.outputs[full]), np.asarray(p.target))]
    return {"confusion": word_confusion(pairs)}


def _scatter(pool: ReplicateOutput, full: Subset, task: Scored, most: int = 2000) -> Scatter:
    """Targets and answers of the first seed, at most ``most``, evenly chosen; every step of a timed answer counts."""
    target, answer = np.asarray(pool.target, np.float64), np.asarray(pool.outputs[full])
    points = getattr(task, "points", None)
    target, answer = (target, answer.reshape(target.shape)) if points is None else points(answer, target)
    known = np.isfinite(target)
    step = max(1, -(-int(known.sum()) // most))  # rounded up, so that there are never more than `most`
    return {"target": target[known][::step].tolist(), "predicted": answer[known][::step].tolist()}


def _missing(pools: list[ReplicateOutput], modalities: Sequence[str]) -> dict[str, int]:
    """On how many items each modality is missing."""
    first = pools[0].present
    return {
        m: len({i for p in pools for i, there in zip(p.items, p.present[m]) if not there})
        for m in modalities
        if m in first
    }


def _over_seeds(values: list[float]) -> MetricRow:
    return {"mean": float(np.mean(values)), "sd": _sd(values), "per_seed": [float(v) for v in values]}


def _sd(values: list[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _mean_metrics(found: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([f[name] for f in found])) for name in found[0]}


def plain(value: object) -> object:
    """The same value in JSON's types; a number that is not finite becomes None.

    >>> plain({"a": np.float64("nan"), "b": np.arange(2)})
    {'a': None, 'b': [0, 1]}
    """
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())  # again, since a NaN of NumPy's becomes one of Python's
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
