"""`plait tune`: search recipes on validation items, choose one, and score it once on the test part."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypedDict, cast

from plait.core.atomic import read_text, write_text
from plait.core.errors import ConfigError, DataError, PlaitError, raise_all
from plait.core.jobs.outcomes import Died, Failed
from plait.core.jobs.work import each
from plait.core.parts import build, suggest
from plait.core.progress import Progress
from plait.evaluation.summary import plain
from plait.recipe import Recipe, dump_recipe
from plait.store.store import CACHE
from plait.tasks import Task
from plait.training.claim import flat
from plait.training.lock import locked
from plait.tuning.choice import OBJECTIVES, Cost, Found, Measured, chosen, costs_of, front, simplicity
from plait.tuning.final import Test, score_once
from plait.tuning.halving import promotion, rung_shares
from plait.tuning.space import Point, Space, recipe_at, space_of
from plait.tuning.study import Direction, Journal, Kept
from plait.tuning.trial import Bench, Job, measured
from plait.tuning.weight_sharing import NAME as SHARED
from plait.tuning.weight_sharing import points_of, shared

__all__ = ["Search", "Tuned", "tune"]

VERSION = 1


@dataclass(frozen=True)
class Search:
    """What is searched, and how.

    Attributes:
        over: keys of the recipe with their values (`plait.tuning.space.space_of`): ``model.dim=32,64``,
            ``train.lr=1e-4..1e-2``, ``fusion``, ``streams=subsets``.
        objectives: of `plait.tuning.choice.OBJECTIVES`; ``metric`` is always one.
        trials: different recipes at most.
        sampler: ``tpe``, ``nsga2``, ``random`` or ``grid``; or ``weight_sharing``: one model is trained for all points
            (`plait.tuning.weight_sharing`), so that ``trials``, ``rungs`` and ``eta`` do not apply.
        seed: of the sampler.
        rungs: of successive halving; 1: every trial gets its whole training.
        eta: of so many trials on a rung, one is trained on; so many times as much training has the next rung.
    """

    over: Sequence[str]
    objectives: Sequence[str] = ("metric",)
    trials: int = 40
    sampler: str = "tpe"
    seed: int = 0
    rungs: int = 3
    eta: int = 3

    @property
    def order(self) -> tuple[str, ...]:
        """The objectives, the metric first: it decides within a front."""
        return ("metric", *(name for name in self.objectives if name != "metric"))

    def check(self) -> None:
        """Raise `ConfigError` with all that is wrong."""
        problems = [
            f"{name}: got {value}; expected a whole number from {least} up."
            for name, value, least in (
                ("trials", self.trials, 1),
                ("rungs", self.rungs, 1),
                ("eta", self.eta, 2),
                ("seed", self.seed, 0),
            )
            if value < least
        ]
        problems += [
            f"objectives: there is no {name!r}. {suggest(name, OBJECTIVES)}"
            for name in self.objectives
            if name not in OBJECTIVES
        ]
        if "metric" not in self.objectives:
            problems.append("objectives: without metric the smallest recipe would be the best. Add metric.")
        if len(set(self.objectives)) < len(self.objectives):
            problems.append(f"objectives: {' '.join(self.objectives)}: name each once.")
        raise_all(ConfigError, problems)


class Tuned(TypedDict):
    """What a search found; ``trials``: all that were measured on any rung, ``points`` their values by key."""

    version: int
    name: str
    metric: str
    higher_is_better: bool
    search: dict[str, object]
    chosen_on: str
    points: dict[str, Point]
    trials: list[Measured]
    problems: dict[str, list[str]]
    front: list[int]
    best: int
    recommended: int
    simplest_by: list[str]
    cost: Cost
    test: Test
    run: str


def tune(
    recipe: Recipe,
    out: str | Path,
    search: Search,
    *,
    cache: str | Path = CACHE,
    jobs: int = 1,
    cluster: str | None = None,
    progress: Progress | None = None,
) -> Tuned:
    """Search recipes, recommend the simplest within one standard error of the best, and score it once on the test part.

    Trials are measured on the recipe's validation part, or on inner folds of its training part; no recording of the
    test part is opened before the choice is made. The same call goes on with a search that was cut off, and reaches the
    same trials; with more ``trials`` it goes on from the old ones.

    Args:
        recipe: where the search begins; what ``search.over`` does not name stays. Its first seed is searched with.
        out: folder of the search: ``journal.jsonl``, ``best.yaml``, ``run`` (all seeds of the recommended recipe),
            ``tune.json``.
        search: what is searched.
        cache: where prepared features are kept.
        jobs: trials at the same time, each in a process.
        cluster: instead, a Ray cluster that sees ``out``, the corpus and ``cache``.
        progress: told of trainings.

    Raises:
        ConfigError: a wrong key or value, told before any training; a split that holds no test part back; ``out`` holds
            another search.
        DataError: the corpus does not fit the recipe, or every trial failed.
        MissingExtra: optuna is not installed.
    """
    search.check()
    folder = Path(out)
    with locked(folder):
        bench = Bench.open(recipe, folder, cache)
        base = bench.experiment(bench.recipe)
        space = space_of(search.over, bench.recipe, base.modalities)
        task = build(Task, base.task, [i.target for i in bench.folds[0].train], where="task")
        points = points_of(space, bench.recipe, base.modalities) if search.sampler == SHARED else []
        _same_search(folder, bench, search)
        journal = None if points else _journal(folder, space, search, task, jobs)
        # Before any trial: a file that cannot be read is no fault of a recipe.
        base.prepare(bench.store, bench.recordings, pack=True, jobs=jobs, cluster=cluster, progress=progress)
        if journal is None:
            search = replace(search, trials=len(points), rungs=1)
            found = shared(bench, points, base.modalities, progress)
        else:
            found = _Ran(bench, search, journal, base.modalities, task).go(jobs, cluster, progress)
        return _told(recipe, bench, search, found, base.modalities, task, jobs, progress)


def _journal(folder: Path, space: Space, search: Search, task: Task, jobs: int) -> Journal:
    directions: list[Direction] = ["minimize"] * len(search.order)
    if task.higher_is_better:
        directions[0] = "maximize"
    return Journal(
        folder / "journal.jsonl",
        space,
        sampler=search.sampler,
        seed=search.seed,
        trials=search.trials,
        directions=directions,
        width=jobs,
    )


def _same_search(folder: Path, bench: Bench, search: Search) -> None:
    """Keep what is searched beside the journal; or refuse to go on with another search."""
    plan = {
        "recipe": bench.recipe.model_dump(by_alias=True, mode="json"),
        "search": {**asdict(search), "trials": None},  # more may be asked for later
        "items": [[len(f.train), sorted(i.id for i in f.valid)] for f in bench.folds],
    }
    path, ours = folder / "search.json", json.loads(json.dumps(plan))
    if not path.exists():
        write_text(path, json.dumps(plan), durable=True)
        return
    try:
        theirs = json.loads(read_text(path))
    except ValueError as error:
        raise DataError(f"{path}: is damaged ({error}). Search into another --out.") from error
    a, b = flat(theirs), flat(ours)
    if differ := [k for k in dict.fromkeys([*a, *b]) if a.get(k) != b.get(k)]:
        told = [f"{k}: {json.dumps(a.get(k))[:60]} there, {json.dumps(b.get(k))[:60]} here" for k in differ]
        raise ConfigError(f"{folder}: holds another search ({'; '.join(told)}). Undo it, or choose another --out.")


class _Ran:
    """A search that runs or has run."""

    def __init__(self, bench: Bench, search: Search, journal: Journal, modalities: Sequence[str], task: Task) -> None:
        self.bench, self.search, self.journal, self.modalities = bench, search, journal, modalities
        self.higher_is_better = task.higher_is_better
        self.shares = rung_shares(search.rungs, search.eta)

    def go(self, jobs: int, cluster: str | None, progress: Progress | None) -> Found:
        """Train until no trial is left that has earned more."""
        work, shared = partial(measured, self.bench), [self.bench.corpus.path.resolve(), self.bench.folder.resolve()]
        while todo := self._batch(max(jobs, 1)):
            if progress:
                job = todo[0]
                progress(
                    len(self.journal.points) - len(todo), self.journal.trials, f"trial {job.trial} {job.share:.0%}"
                )
            with closing(each(work, todo, jobs=min(jobs, len(todo)), cluster=cluster, shared=shared)) as outcomes:
                found = {job.trial: outcome for job, outcome in outcomes}
            for job in todo:  # in the order of asking, whichever was ready first
                self.journal.tell(job.trial, job.rung, self._kept(found[job.trial]))
        if progress:
            progress(self.journal.trials, self.journal.trials, "")
        problems = {str(n): kept["problems"] for (n, _), kept in self.journal.kept.items() if kept["problems"]}
        points = {str(n): point for n, point in self.journal.points.items()}
        return Found(points, self.measured, problems, self._cost())

    def _batch(self, width: int) -> list[Job]:
        todo = [self._job(n, 0) for n in self.journal.waiting][:width]
        while len(todo) < width:
            new = self._promotion(todo) or self._asked() or (None if todo else self._promotion(todo, ended=True))
            if new is None:
                break
            todo.append(self._job(*new))
        return todo

    def _promotion(self, todo: Sequence[Job], *, ended: bool = False) -> tuple[int, int] | None:
        ladder: list[dict[int, list[float]]] = [{} for _ in self.shares]
        for (trial, rung), kept in self.journal.kept.items():
            found = kept["measured"]
            ladder[rung][trial] = [math.inf] * len(self.search.order) if found is None else self._costs(found)
        return promotion(ladder, self.search.eta, busy={job.trial for job in todo}, ended=ended)

    def _asked(self) -> tuple[int, int] | None:
        new = self.journal.ask()
        return new and (new[0], 0)

    def _job(self, trial: int, rung: int) -> Job:
        own = recipe_at(self.bench.recipe, self.journal.points[trial], self.modalities)
        return Job(trial, rung, self.shares[rung], dump_recipe(own))

    def _costs(self, one: Measured) -> list[float]:
        return costs_of(one, self.search.order, higher_is_better=self.higher_is_better)

    def _kept(self, outcome: Measured | Died | Failed) -> Kept:
        problems = []
        if isinstance(outcome, Died):
            problems = [f"{outcome}."]
        elif isinstance(outcome, Failed):
            if not issubclass(outcome.kind, PlaitError):
                raise outcome.error()  # of the machine or of the program, and not of this recipe
            problems = [*outcome.problems]
        elif not math.isfinite(outcome["metric"]):
            problems = ["its metric is not defined on the validation items."]
        else:
            (_, *rest) = self._costs(outcome)
            return {"values": [outcome["metric"], *rest], "measured": outcome, "problems": []}
        return {"values": None, "measured": None, "problems": problems}

    @property
    def measured(self) -> list[Measured]:
        return [kept["measured"] for kept in self.journal.kept.values() if kept["measured"] is not None]

    def _cost(self) -> Cost:
        last, kept = self.search.rungs - 1, self.journal.kept
        failed = {n for (n, _), k in kept.items() if k["measured"] is None}
        complete = {one["trial"] for one in self.measured if one["rung"] == last}
        tried = set(self.journal.points)
        before = [0.0, *self.shares]
        return {
            "seconds": sum(one["seconds"] for one in self.measured),
            "trials": len(tried),
            "complete": len(complete),
            "pruned": len(tried - complete - failed),
            "failed": len(failed),
            "trainings": sum(self.shares[one["rung"]] - before[one["rung"]] for one in self.measured),
        }


def _told(
    recipe: Recipe,
    bench: Bench,
    search: Search,
    found: Found,
    modalities: Sequence[str],
    task: Task,
    jobs: int,
    progress: Progress | None,
) -> Tuned:
    """Choose, train the choice on the recipe's own sides, score it, and write everything down."""
    folder, better, problems = bench.folder, task.higher_is_better, found.problems
    done = [one for one in found.trials if one["rung"] == search.rungs - 1]
    if not done:
        raise DataError([f"trial {n}: {p}" for n, own in problems.items() for p in own] or ["no trial was trained."])
    best, simplest = chosen(done, search.order, higher_is_better=better)
    own = recipe_at(bench.recipe, found.points[str(simplest["trial"])], modalities)
    own.train.seeds = list(recipe.train.seeds)
    write_text(folder / "best.yaml", dump_recipe(own))
    test = score_once(own, simplest["metric"], folder, cache=bench.store.folder, jobs=jobs, progress=progress)
    result: Tuned = {
        "version": VERSION,
        "name": recipe.name or bench.corpus.path.parent.name,
        "metric": task.main_metric,
        "higher_is_better": better,
        "search": {**asdict(search)},
        "chosen_on": bench.chosen_on,
        "points": found.points,
        "trials": found.trials,
        "problems": problems,
        "front": [one["trial"] for one in front(done, search.order, higher_is_better=better)],
        "best": best["trial"],
        "recommended": simplest["trial"],
        "simplest_by": simplicity(search.order),
        "cost": found.cost,
        "test": test,
        "run": str(folder / "run"),
    }
    write_text(folder / "tune.json", json.dumps(plain(result), ensure_ascii=False, indent=1), durable=True)
    return cast(Tuned, plain(result))
