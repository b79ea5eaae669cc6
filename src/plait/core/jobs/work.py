"""Many jobs: one after another, in several processes, or on a cluster. A process that dies costs its job only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from plait.core.errors import DataError
from plait.core.jobs.cluster import connected
from plait.core.jobs.outcomes import Died, Failed, Job, Outcomes, Result, Team, outcome_of
from plait.core.jobs.processes import team
from plait.core.jobs.threads import one_thread
from plait.core.parts import permitted

__all__ = ["each", "in_order"]


def each(
    work: Callable[[Job], Result],
    todo: Sequence[Job],
    *,
    jobs: int = 1,
    cluster: str | None = None,
    shared: Sequence[str | Path] = (),
) -> Outcomes[Job, Result]:
    """Jobs and their results (or `Failed`, or `Died`), in the order in which they finish.

    Close the generator (``contextlib.closing``) where it may be left before its end: that ends the processes. Linear
    algebra uses one thread, here as in other processes, so that results are the same to the byte.

    Args:
        work: function of one job. For other processes it and the jobs must be picklable (processes start fresh, so a
            script needs the usual ``if __name__ == "__main__":``), and so must results.
        todo: the jobs.
        jobs: number of processes; 1: this one. A job whose process died is tried once more at the end, alone.
        cluster: instead, a Ray cluster that does the work: ``local``, ``auto`` or an address.
        shared: files and folders that each machine of the cluster must see.

    Raises:
        ConfigError, MissingExtra: processes cannot start; there is no such cluster.

    >>> list(each(abs, [-1, 2]))
    [(-1, 1), (2, 2)]
    """
    if not todo:
        return
    if cluster is not None:
        with connected(cluster, jobs) as machines:
            yield from _twice(todo, machines.team(permitted(work), shared), machines.width)
    elif jobs > 1:
        yield from _twice(todo, team(permitted(work)), jobs)
    else:
        with one_thread():
            for job in todo:
                yield job, outcome_of(work, job, here=True)


def in_order(work: Callable[[Job], Result], todo: Sequence[Job], jobs: int = 1) -> Iterator[Result]:
    """The result of each job, in the order of the jobs; see `each`.

    Raises:
        Exception: what a job raised, when its turn comes.
        DataError: a job's process died.

    >>> list(in_order(abs, [-1, 2]))
    [1, 2]
    """
    ready: dict[int, Result | Died | Failed] = {}
    turn = 0
    # Results come as they are done; the place says whose turn it is, as equal jobs cannot.
    places = list(enumerate(todo))
    with closing(each(partial(_at_place, work), places, jobs=jobs if len(todo) > 1 else 1)) as outcomes:
        for (place, _), outcome in outcomes:
            ready[place] = outcome
            while turn in ready:
                yield _result(ready.pop(turn))
                turn += 1


def _at_place(work: Callable[[Job], Result], job: tuple[int, Job]) -> Result:
    return work(job[1])


def _result(outcome: Result | Died | Failed) -> Result:
    if isinstance(outcome, Failed):
        raise outcome.error()
    if isinstance(outcome, Died):
        raise DataError(f"a job could not be done: {outcome}. Use fewer processes.")
    return outcome


def _twice(todo: Sequence[Job], team: Team[Job, Result], width: int) -> Outcomes[Job, Result]:
    """All jobs; those whose process died are tried again at the end, one at a time, each with all the memory."""
    died: list[Job] = []
    with closing(team(todo, width)) as outcomes:
        for job, outcome in outcomes:
            if isinstance(outcome, Died):
                died.append(job)
            else:
                yield job, outcome
    with closing(team(died, 1)) as outcomes:
        yield from outcomes
