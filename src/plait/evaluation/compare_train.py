"""Train the members of many runs: one after another, in several processes, or on a cluster.

A member that fails costs itself only; one whose process dies is tried once more in the end, alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from plait.errors import PlaitError
from plait.features.threads import one_thread
from plait.features.work import Died, Failed, Outcome, Outcomes, Place, Team, outcome_of
from plait.progress import Progress
from plait.training.fit import train_member
from plait.training.run import Member, Run

__all__ = ["Job", "train_all", "unfinished"]


@dataclass(frozen=True)
class Job:
    """A member of a run that is to be trained; ``variant`` is the run's name."""

    folder: str
    variant: str
    member: Member

    @property
    def name(self) -> str:
        return f"{self.variant} {self.member.name}"


def unfinished(folders: Mapping[str, Path]) -> tuple[list[Job], int]:
    """The members of runs (folders by variant) that are not trained to their end, and how many members there are."""
    runs = {name: Run(folder) for name, folder in folders.items()}
    todo = [
        Job(str(run.folder.resolve()), name, member)
        for name, run in runs.items()
        for member in run.members
        if member not in run.finished
    ]
    return todo, sum(len(run.members) for run in runs.values())


def train_all(
    todo: Sequence[Job],
    place: Place,
    *,
    jobs: int = 1,
    cluster: str | None = None,
    progress: Progress | None = None,
    total: int | None = None,
) -> dict[Job, str]:
    """Train members, each from its checkpoint where it has one; returns what was wrong with those that failed.

    Args:
        todo: what to train.
        place: the corpus, and the folder of prepared features.
        jobs: processes, each training one member at a time.
        cluster: instead, a Ray cluster (``local``, ``auto`` or an address) that shares a disk with this machine.
        progress: told of members trained, of ``total``; by default of those to do.

    Raises:
        ConfigError, MissingExtra: processes cannot start; there is no such cluster.
    """
    total = len(todo) if total is None else total
    done, failed = total - len(todo), {}
    if progress and todo:
        progress(done, total, "train")
    with closing(_outcomes(todo, place, jobs, cluster)) as outcomes:  # an interrupt must end the processes now
        for job, outcome in outcomes:
            done += 1
            if outcome:
                failed[job] = _told(outcome)
            if progress:
                progress(done, total, job.name)
    return failed


def _outcomes(todo: Sequence[Job], place: Place, jobs: int, cluster: str | None) -> Outcomes:
    if not todo:
        return
    if cluster is not None:
        from plait.features.cluster import connected

        with connected(cluster, jobs) as machines:
            yield from _twice(todo, machines.team(place, _train), machines.width)
    elif jobs > 1 and len(todo) > 1:
        from plait.features.processes import team

        yield from _twice(todo, team(place, _train), jobs)
    else:
        with one_thread():
            for job in todo:
                yield job, _train(job, place)


def _twice(todo: Sequence[Job], team: Team, width: int) -> Iterator[tuple[Job, Outcome]]:
    died = []
    with closing(team(todo, width)) as outcomes:
        for job, outcome in outcomes:
            if isinstance(outcome, Died):
                died.append(job)
            else:
                yield job, outcome
    with closing(team(died, 1)) as outcomes:
        yield from outcomes


def _train(job: Job, place: Place) -> Outcome:
    """One member, in whatever process: an empty list, or what is wrong."""
    return outcome_of(lambda: train_member(job.folder, job.member, place.store, True))


def _told(outcome: Outcome) -> str:
    if isinstance(outcome, Died):
        return f"its process {outcome.how}, and once more when it was tried alone. Most often memory is short."
    if isinstance(outcome, Failed):
        ours = issubclass(outcome.kind, PlaitError)  # of another error, its last line: what stands above is for us
        return " ".join(outcome.problems if ours else outcome.problems[-1].strip().splitlines()[-1:])
    return " ".join(outcome)
