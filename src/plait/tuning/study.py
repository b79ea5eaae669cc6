"""The journal of a search: which trials were asked for and what they gave, in a file that a kill cannot spoil.

The samplers are optuna's (Akiba et al. 2019): TPE (Bergstra et al. 2011, multivariate; with several objectives Ozaki et
al. 2022), NSGA-II (Deb et al. 2002) and random points; a grid is gone through in an order drawn from the seed. The
journal is optuna's file of JSON lines; nothing in it is pickled.

A trial is told to the sampler once it has been trained to the lowest rung, so that all that it learns from had the same
share of training. What a trial gave on each rung is kept as an attribute of the study.
"""

from __future__ import annotations

import itertools
import json
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

import numpy as np

from plait.core.errors import ConfigError, DataError, MissingExtra
from plait.core.parts import suggest
from plait.core.safe_yaml import brief
from plait.tuning.choice import Measured
from plait.tuning.space import Choice, Point, Space

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

__all__ = ["Direction", "Journal", "Kept"]

ASKED = 20
"""Times the wanted number of trials that points are drawn at most; by then nearly all have been tried."""


Direction = Literal["minimize", "maximize"]


class Kept(TypedDict):
    """What a trial gave on a rung: its objectives in their own directions and what was measured, or its problems."""

    values: list[float] | None
    measured: Measured | None
    problems: list[str]


class Journal:
    """The trials of a search.

    Args:
        path: the file.
        space: by key.
        sampler: one of `SAMPLERS`.
        seed: what is drawn for a trial depends on it, on the trial's number and on what was told before.
        trials: how many different points are wanted; a grid has its own number at most.
        directions: ``maximize`` or ``minimize`` for each objective.
        width: trials that are trained at the same time.

    Raises:
        MissingExtra: optuna is not installed.
        ConfigError: there is no such sampler, or a grid over a range.
        DataError: the file is not such a journal.
    """

    def __init__(
        self,
        path: Path,
        space: Space,
        *,
        sampler: str,
        seed: int,
        trials: int,
        directions: Sequence[Direction],
        width: int = 1,
    ) -> None:
        self.space, self.seed = space, seed
        self._samplers = _sampler_of(sampler, trials, width), _sampler_of("random", trials, width)
        self._grid = _grid(space, seed) if sampler == "grid" else []
        sizes = [len(axis.values) if isinstance(axis, Choice) else math.inf for axis in space.values()]
        self.trials = int(min(trials, math.prod(sizes)))
        self.study = _opened(path, directions)
        self._number = {_text(point): number for number, point in self.points.items()}
        self._settle()

    @property
    def points(self) -> dict[int, Point]:
        """The different points that were tried, by the number of their trial."""
        return {t.number: t.user_attrs["point"] for t in self._all() if "point" in t.user_attrs}

    @property
    def waiting(self) -> dict[int, Point]:
        """Points that were asked for and of which nothing is kept yet."""
        return {n: point for n, point in self.points.items() if f"{n}.0" not in self.study.user_attrs}

    @property
    def kept(self) -> dict[tuple[int, int], Kept]:
        """What was found, by trial and rung, in the order in which it was told."""
        return {(int(n), int(r)): v for k, v in self.study.user_attrs.items() for n, r in [k.split(".")]}

    def ask(self) -> tuple[int, Point] | None:
        """The number and the point of a new trial; None: there are enough, or the sampler finds nothing new."""
        while len(self.points) < self.trials and len(self._all()) < ASKED * self.trials:
            trial, point = self._drawn()
            same = self._number.setdefault(_text(point), trial.number)
            if same == trial.number:
                trial.set_user_attr("point", point)
                return trial.number, point
            self._tell(trial.number, self._all()[same].values)  # drawn again: it gives what it gave
        return None

    def _drawn(self) -> tuple[Trial, Point]:
        from optuna.trial import Trial, TrialState

        cut_off = [t for t in self._all() if not t.state.is_finished() and "point" not in t.user_attrs]
        number = cut_off[0].number if cut_off else len(self._all())
        with _quiet():
            self.study.sampler = self._sampler(number)
            if self._grid and not cut_off:
                self.study.enqueue_trial(self._grid[number])
            begun = [t for t in cut_off if t.state == TrialState.RUNNING]
            trial = Trial(self.study, begun[0]._trial_id) if begun else self.study.ask()
            return trial, {key: axis.suggest(trial, key) for key, axis in self.space.items()}

    def _sampler(self, number: int) -> BaseSampler:
        """Made anew for each trial: a search that goes on after a kill draws what it would have drawn.

        After a point that had been drawn before, the next is random: a sampler may draw its favourite for ever.
        """
        again = number > 0 and "point" not in self._all()[number - 1].user_attrs
        return self._samplers[again](int(np.random.SeedSequence((self.seed, number)).generate_state(1)[0]))

    def tell(self, trial: int, rung: int, found: Kept) -> None:
        """Keep what a trial gave on a rung, or why it failed."""
        self.study.set_user_attr(f"{trial}.{rung}", found)
        self._settle()

    def _settle(self) -> None:
        """Tell the sampler of every trial that has been on the lowest rung, also of one that a kill left untold."""
        for trial in self._all():
            found = self.study.user_attrs.get(f"{trial.number}.0")
            if found is not None and not trial.state.is_finished():
                self._tell(trial.number, found["values"])

    def _tell(self, number: int, values: Sequence[float] | None) -> None:
        from optuna.trial import TrialState

        with _quiet():
            self.study.tell(number, values, state=TrialState.FAIL if values is None else None)

    def _all(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)


def _opened(path: Path, directions: Sequence[Direction]) -> Study:
    from optuna import create_study, get_all_study_names, load_study
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend
    from optuna.storages.journal._file import BaseJournalFileLock

    class Alone(BaseJournalFileLock):
        """No lock: the folder of the search is locked, and a lock file would survive a kill."""

        def acquire(self) -> bool:
            return True

        def release(self) -> None:
            pass

    _mend(path)
    try:
        with _quiet():
            storage = JournalStorage(JournalFileBackend(str(path), lock_obj=Alone()))
            if get_all_study_names(storage):
                return load_study(study_name="plait", storage=storage)
            return create_study(storage=storage, study_name="plait", directions=list(directions))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: is no journal of a search ({brief(error)}). Search into another --out.") from error


def _mend(path: Path) -> None:
    """Cut off the part of a line that a kill left at the end of the file."""
    if path.exists() and not (content := path.read_bytes()).endswith(b"\n"):
        with open(path, "r+b") as file:
            file.truncate(content.rfind(b"\n") + 1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence optuna's news of each trial, and its warnings of features that may change."""
    import optuna

    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)


def _sampler_of(name: str, trials: int, width: int) -> Callable[[int], BaseSampler]:
    try:
        from optuna import samplers
    except ImportError as error:
        raise MissingExtra("plait tune needs optuna. Install it with: pip install 'plait[search]'") from error
    startup = min(10, max(trials // 4, 2))
    known: dict[str, Callable[[int], BaseSampler]] = {
        "tpe": lambda seed: samplers.TPESampler(
            seed=seed, multivariate=True, n_startup_trials=startup, constant_liar=width > 1
        ),
        "nsga2": lambda seed: samplers.NSGAIISampler(seed=seed, population_size=max(trials // 4, 4)),
        "random": lambda seed: samplers.RandomSampler(seed=seed),
        "grid": lambda seed: samplers.RandomSampler(seed=seed),  # all its values are given
    }
    if name not in known:
        raise ConfigError(f"sampler: there is no {name!r}. {suggest(name, known)}")
    return known[name]


def _grid(space: Space, seed: int) -> list[dict[str, str]]:
    """All points, in an order drawn from the seed: a search that is ended early has seen no corner only."""
    if ranges := [key for key, axis in space.items() if not isinstance(axis, Choice)]:
        raise ConfigError(f"sampler: a grid needs values, but {', '.join(ranges)} has a range. Give {ranges[0]}=A,B,C.")
    points = list(itertools.product(*(axis.values for axis in space.values() if isinstance(axis, Choice))))
    return [dict(zip(space, points[i])) for i in np.random.default_rng(seed).permutation(len(points))]


def _text(point: Point) -> str:
    return json.dumps(point, sort_keys=True)
