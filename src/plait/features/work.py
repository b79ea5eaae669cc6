"""Many items at a time: in this process, in several, or on a cluster. A process that dies costs its item only."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from plait.errors import PlaitError
from plait.features.jobs import Job, compute
from plait.features.store import Store
from plait.features.threads import one_thread
from plait.progress import Progress
from plait.streams.corpus import Corpus

__all__ = ["Died", "Failed", "Outcome", "Outcomes", "Place", "attempt", "outcome_of", "run"]


class Place(NamedTuple):
    """All that another process needs to know: the manifest, whether its paths may leave its folder, the store."""

    manifest: str
    allow_outside: bool
    store: str


@dataclass(frozen=True)
class Died:
    """What became of an item whose process ended without a word."""

    how: str


@dataclass(frozen=True)
class Failed:
    """An error that ends everything, since no item is to blame for it: its class, and what it says."""

    kind: type[Exception]
    problems: tuple[str, ...]

    @classmethod
    def of(cls, error: Exception) -> Failed:
        if isinstance(error, PlaitError):
            return cls(type(error), error.problems)
        return cls(RuntimeError, ("".join(traceback.format_exception(error)),))

    def error(self) -> Exception:
        return self.kind(self.problems if issubclass(self.kind, PlaitError) else "\n".join(self.problems))


Outcome = list[str] | Died | Failed
"""An item's problems (none: it is done), or what kept it from having any."""

Outcomes = Generator[tuple[Job, Outcome], None, None]
Results = Generator[tuple[Job, list[str]], None, None]

Task = Callable[[Job, Place], Outcome]

Team = Callable[[Sequence[Job], int], Outcomes]
"""Does jobs, so many at a time, and says what became of each as it is done."""


def run(
    todo: Sequence[Job], corpus: Corpus, store: Store, jobs: int, cluster: str | None, progress: Progress | None
) -> Iterator[tuple[Job, list[str]]]:
    """Each job and its problems, as they are done.

    Raises:
        ConfigError, MissingExtra: a feature cannot work at all; processes cannot start; there is no such cluster.
    """
    if not todo:
        return
    with closing(_results(todo, corpus, store, jobs, cluster)) as results:  # an interrupt must end the processes now
        for done, (job, bad) in enumerate(results, 1):
            if progress:
                progress(done, len(todo), f"{job.recording} {job.stream}")
            yield job, bad


def _results(todo: Sequence[Job], corpus: Corpus, store: Store, jobs: int, cluster: str | None) -> Results:
    place = Place(str(corpus.path.resolve()), corpus.allow_outside, str(store.folder.resolve()))
    if cluster is not None:
        from plait.features.cluster import connected

        with connected(cluster, jobs) as machines:
            yield from _twice(todo, machines.team(place), machines.width, corpus.path.name)
    elif jobs > 1:
        from plait.features.processes import team

        yield from _twice(todo, team(place), jobs, corpus.path.name)
    else:
        with one_thread():
            for job in todo:
                yield job, compute(job, corpus, store)


def _twice(todo: Sequence[Job], team: Team, width: int, manifest: str) -> Results:
    """All jobs; those whose process died once more in the end, one at a time, when there is most memory for each."""
    died: list[Job] = []
    with closing(team(todo, width)) as outcomes:
        for job, outcome in outcomes:
            if isinstance(outcome, Died):
                died.append(job)
            else:
                yield job, _judged(job, outcome, manifest)
    with closing(team(died, 1)) as outcomes:
        for job, outcome in outcomes:
            yield job, _judged(job, outcome, manifest)


def _judged(job: Job, outcome: Outcome, manifest: str) -> list[str]:
    if isinstance(outcome, Failed):
        raise outcome.error()
    if isinstance(outcome, Died):
        problem = f"{manifest}{job.place}: its process {outcome.how}, and once more when it was tried alone."
        return [f"{problem} Most often memory is short: cut the recording into shorter ones, or use a larger machine."]
    return outcome


@cache
def _opened(manifest: str, outside: bool) -> Corpus:
    return Corpus(manifest, allow_outside=outside)


def attempt(job: Job, place: Place) -> Outcome:
    """Make one item, in whatever process: what is wrong with it, or what is wrong with everything.

    Call it under `one_thread`.
    """
    return outcome_of(lambda: compute(job, _opened(place.manifest, place.allow_outside), Store(Path(place.store))))


def outcome_of(run: Callable[[], list[str] | None]) -> Outcome:
    """What became of work: its problems, or the error that it ended in, for the process that asked to tell of."""
    try:
        return run() or []
    except Exception as error:  # whatever it is
        return Failed.of(error)
