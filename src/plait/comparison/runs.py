"""`plait report RUN1 RUN2 ...`: finished runs compared on the test items that they share, with paired tests.

Every run is asked again, so that its answers stand beside those of the others item by item. Differences are paired: the
same groups are left out of both in turn (`plait.evaluation.intervals`). p-values are corrected for the number of pairs
(Holm 1979).
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from plait.comparison.runs_schema import VERSION, OnSubset, RecipeRow, RunRow, RunsCompared, Tested
from plait.comparison.scores import significant
from plait.core.errors import ConfigError, DataError, PlaitError, raise_all
from plait.core.parts import foreign_code
from plait.core.progress import Progress
from plait.evaluation.examined import Examination
from plait.evaluation.facts import about_of, made_with
from plait.evaluation.intervals import FEWEST_GROUPS, Floats, difference_of, interval_of, jackknife_p
from plait.evaluation.replicates import ReplicateOutput, Scored, Subset
from plait.evaluation.schema import SubsetRow
from plait.evaluation.slices import holm
from plait.evaluation.summary import interval_facts, plain, rows_of, task_facts
from plait.examples.targets import target_to_json
from plait.store.store import CACHE
from plait.tasks import Task
from plait.training.claim import flat
from plait.training.run import Run

__all__ = ["LEVEL", "Asked", "compare_runs", "compared", "names_of", "open_runs"]

LEVEL = 0.05
"""A difference is called one if its corrected p-value is at most this."""

Row = TypeVar("Row", bound=Tested)

NOT_COMPARED = ("name",)
"""Keys of a recipe that say nothing of the model."""


@dataclass(frozen=True)
class Asked:
    """A run and its answers to its own test items.

    Attributes:
        name: what tells it from the others.
        task: of its first replicate.
        about: ``corpus``, and the task's ``name``, ``target`` and ``unit``.
        outputs: of each replicate.
        truths: by item, as JSON.
        before: groups that were in its training or validation, by fold.
        trained_on: items, of each replicate.
        recipe: its leaves by their dotted path.
        unfinished: names of replicates that are not trained to their end.
    """

    name: str
    task: Scored
    about: Mapping[str, str]
    outputs: Sequence[ReplicateOutput]
    truths: Mapping[str, str]
    before: Mapping[str, frozenset[str]]
    trained_on: Sequence[int]
    recipe: Mapping[str, object]
    unfinished: Sequence[str] = ()


def compare_runs(runs: Sequence[Run], *, cache: str | Path = CACHE, progress: Progress | None = None) -> RunsCompared:
    """Compare finished runs of one task on the test items that all of them share.

    Args:
        runs: two or more, see `open_runs`. Subsets of modalities are compared with the first.
        cache: where prepared features are kept.
        progress: told of features prepared, and of runs asked.

    Raises:
        ConfigError: fewer than two runs, or the same one twice.
        DataError: one has no finished replicate; they are of different tasks, metrics or classes, share no test items,
            or have different truths for them.
    """
    if len(runs) < 2:
        raise ConfigError(f"{len(runs)} run to compare; expected two or more.")
    opened = dict(zip(names_of([run.folder for run in runs]), runs))
    asked = list[Asked]()
    for i, (name, run) in enumerate(opened.items()):
        if progress:
            progress(i, len(opened), name)
        with foreign_code(run.allow_code):
            found = Examination(run, cache, None, progress)
            task, about = run.model(found.replicates[0]).task, about_of(found.experiment)
            if asked:  # before it is asked, which takes longest
                _check_task(name, task, about, asked[0])
            asked.append(_asked(name, found, task, about))
    if progress:
        progress(len(opened), len(opened), "")
    return compared(asked)


def names_of(folders: Sequence[Path]) -> list[str]:
    """The ends of paths that tell them apart.

    >>> names_of([Path("/a/mood"), Path("/b/mood")]), names_of([Path("/a/one"), Path("/a/two")])
    (['a/mood', 'b/mood'], ['one', 'two'])
    """
    parts = [folder.resolve().parts for folder in folders]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(own[-count:]) for own in parts]
        if len(set(names)) == len(names):
            return names
    raise ConfigError("the same run is given twice. Give each run once.")


def open_runs(folders: Sequence[str | Path], *, allow_code: bool = False, allow_outside: bool = False) -> list[Run]:
    """The runs of folders; arguments as for `plait.training.run.Run`.

    Raises:
        ConfigError: the same one is given twice.
        DataError: there is no run, or its files are damaged; of all folders at once.
    """
    names_of([Path(folder) for folder in folders])
    found, problems = list[Run](), list[str]()
    for folder in folders:
        try:
            found.append(Run(folder, allow_code=allow_code, allow_outside=allow_outside))
        except PlaitError as error:
            problems += error.problems
    raise_all(DataError, problems)
    return found


def _check_task(name: str, task: Task, about: Mapping[str, str], first: Asked) -> None:
    """Refuse a run whose answers cannot be compared with those of the first."""
    mine, known = (t.state().get("classes") for t in (task, first.task))
    what, other = (f"{told['name']} {told['target']}".strip() for told in (about, first.about))
    problems = []
    if what != other:
        problems.append(f"its task is {what}, that of {first.name} is {other}")
    elif task.main_metric != first.task.main_metric:
        problems.append(f"its metric is {task.main_metric}, that of {first.name} is {first.task.main_metric}")
    elif mine != known and not hasattr(task, "texts"):
        problems.append(f"its classes are {_few(mine)}, those of {first.name} are {_few(known)}")
    raise_all(DataError, [f"{name}: {p}. Runs of one task can be compared; train them alike." for p in problems])


def _few(classes: object, most: int = 6) -> str:
    names = [str(c) for c in classes] if isinstance(classes, Sequence) else []
    return ", ".join(names[:most]) + (f" ... ({len(names)})" if len(names) > most else "") if names else "none"


def _asked(name: str, found: Examination, task: Task, about: Mapping[str, str]) -> Asked:
    run, experiment = found.run, found.experiment
    outputs, trained_on, truths = list[ReplicateOutput](), list[int](), dict[str, str]()
    for one in found:
        outputs.append(one.output())
        trained_on.append(len(one.train))
        truths |= {i.id: json.dumps(target_to_json(i.target)) for i in one.items}
    return Asked(
        name,
        task,
        about,
        outputs,
        truths,
        {fold.name: frozenset(i.group for i in [*fold.train, *fold.valid]) for fold in experiment.folds},
        trained_on,
        flat(run.recipe.model_dump(by_alias=True, mode="json")),
        [m.name for m in run.replicates if m not in found.replicates],
    )


def compared(asked: Sequence[Asked]) -> RunsCompared:
    """Values and paired differences of runs on the items that all of them share; arguments as for `compare_runs`.

    Raises:
        DataError: they share no test items, or have different truths for them.
    """
    groups = _shared(asked)
    scores = [_Scores(one, groups) for one in asked]
    first, units = asked[0], scores[0].units
    pairs = [a.against(b, a.full, b.full) for a, b in itertools.combinations(scores, 2)]
    listed = first.task.state().get("classes")
    result = {
        "version": VERSION,
        "task": task_facts(first.task, first.about, listed if isinstance(listed, Sequence) else None),
        "corpora": list(dict.fromkeys(one.about.get("corpus", "") for one in asked)),
        "items": len(groups),
        "groups": units.groups,
        "intervals": interval_facts(units),
        "runs": [own.row(groups) for own in scores],
        "pairs": _corrected(pairs),
        "subsets": _corrected(_on_subsets(scores)),
        "recipes": _recipes([one.recipe for one in asked]),
        **made_with(),
    }
    return cast(RunsCompared, plain(result))


def _shared(asked: Sequence[Asked]) -> dict[str, str]:
    """The items that all runs were tested on, and their groups as the first run has them."""
    first = asked[0]
    shared = set(first.truths).intersection(*(one.truths for one in asked[1:]))
    if not shared:
        sizes = ", ".join(f"{one.name} {len(one.truths)} (such as {next(iter(one.truths))!r})" for one in asked)
        raise DataError(
            f"the runs share no test items: {sizes}. Compare runs of one corpus and one split, or score them on a "
            "corpus that none was trained on: plait evaluate RUN --corpus MANIFEST"
        )
    for one in asked[1:]:
        differ = sorted(i for i in shared if one.truths[i] != first.truths[i])
        if differ:
            raise DataError(
                f"{one.name}: {len(differ)} of {len(shared)} shared items have another truth than in {first.name}, "
                f"such as {differ[0]!r}: labels were corrected in between, or the targets differ. Train both on the "
                "same labels."
            )
    groups = {i: g for out in first.outputs for i, g in zip(out.items, out.groups)}
    return {i: groups[i] for i in first.truths if i in shared}


class _Scores:
    """One run on the shared items: the main metric of each subset, of all units and without each in turn."""

    def __init__(self, asked: Asked, groups: Mapping[str, str]) -> None:
        self.asked, self.sign = asked, 1 if asked.task.higher_is_better else -1
        kept = [_kept(out, groups) for out in asked.outputs if not groups.keys().isdisjoint(out.items)]
        rows, left_out, self.units = rows_of(asked.task, kept)
        self.rows = {frozenset(r["modalities"]): (r, x) for r, x in zip(rows, left_out)}
        self.full: Subset = max(kept[0].outputs, key=len)
        self.constants = [asked.task.metrics(np.asarray(o.baseline), o.target)[self.metric] for o in kept]
        self.seeds, self.folds = sorted({o.seed for o in kept}), {o.fold for o in kept}

    @property
    def metric(self) -> str:
        return self.asked.task.main_metric

    def of(self, subset: Sequence[str]) -> tuple[SubsetRow, Floats]:
        return self.rows[frozenset(subset)]

    def row(self, groups: Mapping[str, str]) -> RunRow:
        row, _ = self.of(self.full)
        main, interval = row["metrics"][self.metric], row["interval"]
        seen = {groups[i] for o in self.asked.outputs for i in o.items if i in groups and self._met(o.fold, groups[i])}
        return {
            "name": self.asked.name,
            "value": main["mean"],
            "sd": main["sd"],
            "per_seed": main["per_seed"],
            "low": interval["low"],
            "high": interval["high"],
            "reason": interval["reason"],
            "constant": float(np.mean(self.constants)),
            "metrics": {name: found["mean"] for name, found in row["metrics"].items()},
            "seeds": self.seeds,
            "items": len(self.asked.truths),
            "trained_on": min(self.asked.trained_on),
            "seen": len(seen),
            "unfinished": list(self.asked.unfinished),
        }

    def _met(self, fold: str, group: str) -> bool:
        return group in self.asked.before.get(fold, frozenset())

    def against(self, other: _Scores, mine: Subset, others: Subset) -> Tested:
        """How much better this run is than another, each with some of its modalities."""
        (one, x), (two, y) = self.of(mine), other.of(others)
        gap = self.sign * difference_of(x, y)
        interval = interval_of(gap, self.units)
        p = jackknife_p(gap, self.units.df) if self.units.groups >= FEWEST_GROUPS else math.nan
        # Seeds of different runs are no pairs: their variances add up.
        known = [sd for r in (one, two) if (sd := r["metrics"][self.metric]["sd"]) is not None]
        return {
            "a": self.asked.name,
            "b": other.asked.name,
            "difference": float(gap[0]),
            "low": interval.low,
            "high": interval.high,
            "sd": math.hypot(*known) if known else None,
            "reason": interval.reason,
            "p": p,
            "p_corrected": None,
            "significant": False,
        }


def _kept(output: ReplicateOutput, groups: Mapping[str, str]) -> ReplicateOutput:
    """The answers to the shared items."""
    at: NDArray[np.intp] = np.array([k for k, item in enumerate(output.items) if item in groups], np.intp)
    items = [output.items[k] for k in at]
    return replace(
        output,
        items=items,
        recordings=[output.recordings[k] for k in at],
        groups=[groups[i] for i in items],
        target=np.asarray(output.target)[at],
        present={m: there[at] for m, there in output.present.items()},
        outputs={s: scores[at] for s, scores in output.outputs.items()},
        baseline=output.baseline[at],
    )


def _on_subsets(scores: Sequence[_Scores]) -> list[OnSubset]:
    first, found = scores[0], list[OnSubset]()
    for other in scores[1:]:
        for subset in first.rows.keys() & other.rows.keys():
            if subset == frozenset(first.full) == frozenset(other.full):
                continue  # among the pairs
            names = [m for m in first.full if m in subset]
            values = [own.of(names)[0]["metrics"][own.metric]["mean"] for own in (first, other)]
            gap = first.against(other, tuple(names), tuple(names))
            found.append({**gap, "modalities": names, "value_a": values[0], "value_b": values[1]})
    place = {m: i for i, m in enumerate(first.full)}
    order = {own.asked.name: i for i, own in enumerate(scores)}
    return sorted(found, key=lambda r: (len(r["modalities"]), [place[m] for m in r["modalities"]], order[r["b"]]))


def _corrected(rows: list[Row]) -> list[Row]:
    """The rows with p-values corrected for their number, and with verdicts."""
    for row, p in zip(rows, holm([math.nan if row["p"] is None else row["p"] for row in rows])):
        ends = [math.nan if end is None else end for end in (row["low"], row["high"])]
        row["p_corrected"] = p
        row["significant"] = p <= LEVEL and significant(row["difference"] or 0.0, ends[0], ends[1], row["sd"])
    return rows


def _recipes(recipes: Sequence[Mapping[str, object]]) -> list[RecipeRow]:
    """The keys in which recipes differ."""
    keys = [k for k in dict.fromkeys(k for r in recipes for k in r) if k not in NOT_COMPARED]
    found = [(key, [r.get(key) for r in recipes]) for key in keys]
    return [cast(RecipeRow, {"key": k, "values": own}) for k, own in found if any(v != own[0] for v in own)]
