"""What a run is worth, as one JSON object, of the outputs of its members (a member: one seed on one fold)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plait.errors import DataError, raise_all
from plait.evaluation.calibration import calibration_error, reliability
from plait.evaluation.intervals import Floats, Kernel, Units, interval_of, resample
from plait.evaluation.kernels import kernel_for

__all__ = ["MemberOutput", "Scored", "drawn_rows", "plain", "point", "subsets_of", "summarise", "task_facts"]

Subset = tuple[str, ...]


class Scored(Protocol):
    """What evaluation needs of a `plait.tasks.Task`."""

    main_metric: str
    higher_is_better: bool

    def metrics(self, scores: NDArray[np.float64], target: NDArray[Any]) -> dict[str, float]: ...

    def state(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class MemberOutput:
    """What one member answered on its test items.

    Attributes:
        seed, fold: which member.
        items: ids of the items, unique within a fold.
        recordings, groups: of each item.
        target: encoded targets, [n].
        present: whether each modality is there, {modality: [n] bool}.
        outputs: scores [n, classes or 1] of each subset, its modalities in the model's order. Items without
            any of a subset's modalities are in it too: there the model's prior answers.
        baseline: scores of the best constant answer, [n, classes or 1].
    """

    seed: int
    fold: str
    items: Sequence[str]
    recordings: Sequence[str]
    groups: Sequence[str]
    target: NDArray[Any]
    present: Mapping[str, NDArray[np.bool_]]
    outputs: Mapping[Subset, Floats]
    baseline: Floats


def subsets_of(modalities: Iterable[str]) -> list[Subset]:
    """All that are not empty, small ones first, each in the order given; the full set comes last.

    >>> subsets_of(["see", "hear"])
    [('see',), ('hear',), ('see', 'hear')]
    """
    names = list(modalities)
    return [s for size in range(1, len(names) + 1) for s in itertools.combinations(names, size)]


def summarise(
    task: Scored,
    members: Sequence[MemberOutput],
    modalities: Sequence[str] | None = None,
    *,
    about: Mapping[str, Any] | None = None,
    sections: Mapping[str, Any] | None = None,
    draws: int = 1000,
    slow_draws: int = 200,
    seed: int = 0,
) -> dict[str, Any]:
    """The evaluation, as JSON: every subset of modalities against the best constant answer, with intervals.

    A seed's folds are pooled and scored once. Metrics are the mean over seeds, ``sd`` their standard
    deviation (n - 1; None for one seed). The interval is of that mean over seeds: a draw takes the same
    groups in every seed, so it speaks of new groups, and not of new seeds (that is what ``sd`` is for).

    Args:
        task: names and computes the metrics.
        members: one a seed and fold.
        modalities: in the model's order; by default as the first member's ``present`` has them.
        about: put at the top and into ``task``: ``run``, ``corpus``, ``name`` and ``unit`` of the task.
        sections: more of the report: ``robustness``, ``data``, ``training``, ``sync``, ``recipe_yaml``,
            ``versions``.
        draws, seed: of the bootstrap.
        slow_draws: draws of a metric without fast path (see `plait.evaluation.kernels`).

    Raises:
        DataError: no members, or members that do not fit together.
    """
    pools = _pools(members)
    about, modalities = dict(about or {}), list(modalities or pools[0].present)
    subsets = _ordered(pools[0].outputs, modalities)
    rows, drawn, units = _rows(pools, task, subsets, draws, slow_draws, seed)
    first = pools[0]
    classes = task.state().get("classes")
    full = subsets[-1]
    evaluation: dict[str, Any] = {
        "run": about.get("run", ""),
        "corpus": about.get("corpus", ""),
        "task": task_facts(task, about, classes),
        "modalities": modalities,
        "items": len({i for p in pools for i in p.items}),
        "groups": units.groups,
        "seeds": [p.seed for p in pools],
        "folds": sorted({m.fold for m in members}),
        "baseline": {"metrics": _mean_metrics([task.metrics(p.baseline, p.target) for p in pools])},
        "subsets": rows,
        **_gain(rows, drawn, units, task),
    }
    if classes:
        evaluation |= _of_classes(pools, full, [str(c) for c in classes])
    else:
        evaluation["scatter"] = _scatter(first, full)
    more = dict(sections or {})
    evaluation["robustness"] = {"noise": [], "missing": [], **more.pop("robustness", {})}
    evaluation["data"] = {
        "dropped": {},
        "missing streams": _missing(pools, modalities),
        **more.pop("data", {}),
    }
    return plain(evaluation | more)


def point(task: Scored, members: Sequence[MemberOutput], subset: Subset) -> dict[str, Any]:
    """One point of a robustness curve: ``{"metric", "value" (mean over seeds), "sd"}`` of the main metric."""
    values = [task.metrics(p.outputs[subset], p.target)[task.main_metric] for p in _pools(members)]
    return plain({"metric": task.main_metric, "value": float(np.mean(values)), "sd": _sd(values)})


def drawn_rows(
    task: Scored, members: Sequence[MemberOutput], *, draws: int = 1000, slow_draws: int = 200, seed: int = 0
) -> tuple[list[dict[str, Any]], list[Floats], Units]:
    """A row for each of the members' ``outputs`` in their order, its main metric on every draw, and what was drawn.

    The draws are the same for all, so that differences between any two are paired. What the outputs are keyed by need
    not be modalities: any names will do, as long as ``present`` has them too. Arguments as `summarise`.

    Raises:
        DataError: no members, or members that do not fit together.
    """
    pools = _pools(members)
    return _rows(pools, task, list(pools[0].outputs), draws, slow_draws, seed)


def _pools(members: Sequence[MemberOutput]) -> list[MemberOutput]:
    """One member a seed, that holds the test items of all its folds."""
    if not members:
        raise DataError("there are no outputs to evaluate.")
    raise_all(DataError, [p for m in members for p in _problems(m, members[0])])
    seeds = sorted({m.seed for m in members})
    return [_pool([m for m in members if m.seed == s]) for s in seeds]


def _problems(member: MemberOutput, first: MemberOutput) -> list[str]:
    where, n = f"seed {member.seed}, fold {member.fold!r}", len(member.items)
    found = [f"{where}: it answered for no items. Check the split."] if not n else []
    for what in ("recordings", "groups", "target", "baseline"):
        if len(getattr(member, what)) != n:
            found.append(f"{where}: {len(getattr(member, what))} {what}, but {n} items.")
    if set(member.outputs) != set(first.outputs) or set(member.present) != set(first.present):
        found.append(f"{where}: other subsets or modalities than seed {first.seed}, fold {first.fold!r}.")
    arrays = {"output of " + " + ".join(s): x for s, x in member.outputs.items()}
    for what, array in {**arrays, **{f"presence of {m}": x for m, x in member.present.items()}}.items():
        if len(array) != n:
            found.append(f"{where}: the {what} has {len(array)} rows, but there are {n} items.")
    return found


def _pool(folds: list[MemberOutput]) -> MemberOutput:
    def joined(get: Callable[[MemberOutput], Any]) -> NDArray[Any]:
        return np.concatenate([np.asarray(get(f)) for f in folds])

    some = folds[0]
    return MemberOutput(
        seed=some.seed,
        fold="",
        items=[i for f in folds for i in f.items],
        recordings=[r for f in folds for r in f.recordings],
        groups=[g for f in folds for g in f.groups],
        target=joined(lambda f: f.target),
        present={m: joined(lambda f, m=m: f.present[m]) for m in some.present},
        outputs={s: joined(lambda f, s=s: f.outputs[s]) for s in some.outputs},
        baseline=joined(lambda f: f.baseline),
    )


def _ordered(outputs: Mapping[Subset, Floats], modalities: Sequence[str]) -> list[Subset]:
    place = {m: i for i, m in enumerate(modalities)}
    strange = sorted({m for s in outputs for m in s if m not in place})
    if strange or not outputs:
        raise DataError(f"outputs of modalities {strange or 'none'}; expected subsets of {list(modalities)}.")
    return sorted(outputs, key=lambda s: (len(s), [place[m] for m in s]))


def _rows(
    pools: list[MemberOutput], task: Scored, subsets: list[Subset], draws: int, slow_draws: int, seed: int
) -> tuple[list[dict[str, Any]], list[Floats], Units]:
    """A row a subset, its main metric on every draw (the same draws for all), and what was drawn."""
    units = Units.of([g for p in pools for g in p.groups], [i for p in pools for i in p.items])
    kernels = [_kernel(pools, task, s, units) for s in subsets]
    drawn: list[Floats] = [np.empty(0)] * len(subsets)
    for fast, count in ((True, draws), (False, min(slow_draws, draws))):
        chosen = [i for i, (_, quick) in enumerate(kernels) if quick == fast]
        if chosen:
            for i, values in zip(chosen, resample([kernels[i][0] for i in chosen], units.n, draws=count, seed=seed)):
                drawn[i] = values
    rows = [_row(pools, task, s, values, units) for s, values in zip(subsets, drawn)]
    return rows, drawn, units


def _row(pools: list[MemberOutput], task: Scored, subset: Subset, values: Floats, units: Units) -> dict[str, Any]:
    answered = {
        item for p in pools for item, there in zip(p.items, np.any([p.present[m] for m in subset], axis=0)) if there
    }
    found = [task.metrics(p.outputs[subset], p.target) for p in pools]
    metrics = {name: _over_seeds([f[name] for f in found]) for name in found[0]}
    interval = asdict(interval_of(values, units))
    return {"modalities": list(subset), "answered": len(answered), "metrics": metrics, "interval": interval}


def _kernel(pools: list[MemberOutput], task: Scored, subset: Subset, units: Units) -> tuple[Kernel, bool]:
    """The mean over seeds of the main metric; a draw holds the same groups in all of them."""
    made, start = [], 0
    for p in pools:
        own = Units(units.codes[start : start + len(p.items)], units.n, units.unit, units.groups)
        start += len(p.items)
        scores, target = np.asarray(p.outputs[subset], np.float64), np.asarray(p.target)

        def metric(i: NDArray[np.intp], scores: Floats = scores, target: NDArray[Any] = target) -> float:
            return task.metrics(scores[i], target[i])[task.main_metric]

        made.append(kernel_for(metric, scores, target, own))
    kernels = [k for k, _ in made]
    return (lambda counts: np.mean([k(counts) for k in kernels], axis=0)), all(fast for _, fast in made)


def _gain(rows: list[dict[str, Any]], drawn: list[Floats], units: Units, task: Scored) -> dict[str, Any]:
    """How much better all together are than the best one alone; above 0 is better, whatever the metric."""
    sign = 1 if task.higher_is_better else -1
    value = [r["metrics"][task.main_metric]["mean"] for r in rows]
    single = [i for i, r in enumerate(rows) if len(r["modalities"]) == 1]
    if not single:
        return {"best_single": None, "gain_over_best_single": None, "gain_interval": None}
    best = max(single, key=lambda i: -math.inf if math.isnan(value[i]) else sign * value[i])
    n = min(len(drawn[best]), len(drawn[-1]))
    gain = sign * (drawn[-1][:n] - drawn[best][:n])
    return {
        "best_single": {"modality": rows[best]["modalities"][0], "value": value[best]},
        "gain_over_best_single": sign * (value[-1] - value[best]),
        "gain_interval": asdict(interval_of(gain, units)),
    }


def task_facts(task: Scored, about: Mapping[str, Any], classes: Sequence[Any] | None) -> dict[str, Any]:
    """What a report says of a task: its name, its unit, the metric and its direction, the classes."""
    return {
        "name": about.get("name", type(task).__name__.lower()),
        "unit": about.get("unit", ""),
        "metric": task.main_metric,
        "higher_is_better": bool(task.higher_is_better),
        "classes": [str(c) for c in classes] if classes else None,
    }


def _of_classes(pools: list[MemberOutput], full: Subset, classes: list[str]) -> dict[str, Any]:
    """Confusions and calibration of the full set, counted over all seeds; the error is their mean."""
    scores, target = (np.concatenate(x) for x in zip(*[(p.outputs[full], p.target) for p in pools]))
    counts = np.zeros((len(classes), len(classes)), int)
    np.add.at(counts, (target.astype(int), scores.argmax(1)), 1)
    errors = [calibration_error(p.outputs[full], p.target) for p in pools]
    return {
        "confusion": {"classes": classes, "counts": counts.tolist()},
        "calibration": {"bins": reliability(scores, target), "ece": float(np.mean(errors))},
    }


def _scatter(pool: MemberOutput, full: Subset, most: int = 2000) -> dict[str, Any]:
    """Targets and answers of the first seed, at most so many, evenly chosen."""
    step = max(1, -(-len(pool.items) // most))
    return {"target": pool.target[::step].tolist(), "predicted": pool.outputs[full][::step, 0].tolist()}


def _missing(pools: list[MemberOutput], modalities: Sequence[str]) -> dict[str, int]:
    """Of how many items each modality is missing."""
    first = pools[0].present
    return {
        m: len({i for p in pools for i, there in zip(p.items, p.present[m]) if not there})
        for m in modalities
        if m in first
    }


def _over_seeds(values: list[float]) -> dict[str, Any]:
    return {"mean": float(np.mean(values)), "sd": _sd(values), "per_seed": [float(v) for v in values]}


def _sd(values: list[float]) -> float | None:
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _mean_metrics(found: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([f[name] for f in found])) for name in found[0]}


def plain(value: Any) -> Any:
    """The same in types that JSON has; a number that is not finite becomes None.

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
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
