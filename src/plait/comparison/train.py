"""Train the replicates of many runs: one after another, in several processes, or on a cluster.

A replicate that fails does not stop the others. One whose process dies is tried once more at the end, alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from plait.core.errors import PlaitError
from plait.core.jobs.outcomes import Died, Failed
from plait.core.jobs.work import each
from plait.core.progress import Progress
from plait.training.fit import train_replicate
from plait.training.run import Replicate, Run

__all__ = ["Job", "train_all", "unfinished"]


@dataclass(frozen=True)
class Job:
    """A replicate of a run that is to be trained; ``variant`` is the run's name."""

    folder: str
    variant: str
    replicate: Replicate

    @property
    def name(self) -> str:
        return f"{self.variant} {self.replicate.name}"


def unfinished(folders: Mapping[str, Path]) -> tuple[list[Job], int]:
    """The replicates of runs (folders by variant) that are not fully trained, and the number of all replicates."""
    runs = {name: Run(folder) for name, folder in folders.items()}
    todo = [
        Job(str(run.folder.resolve()), name, replicate)
        for name, run in runs.items()
        for replicate in run.replicates
        if replicate not in run.finished
    ]
    return todo, sum(len(run.replicates) for run in runs.values())


def train_all(
    todo: Sequence[Job],
    cache: Path,
    *,
    shared: Sequence[Path] = (),
    jobs: int = 1,
    cluster: str | None = None,
    progress: Progress | None = None,
    total: int | None = None,
) -> dict[Job, str]:
    """Train replicates, each from its checkpoint if it has one; returns the errors of those that failed.

    Args:
        todo: what to train.
        cache: the folder of prepared features.
        shared: paths that each machine of a cluster must see.
        jobs: processes, each training one replicate at a time.
        cluster: instead, a Ray cluster (``local``, ``auto`` or an address) that shares a disk with this machine.
        progress: told of replicates trained, of ``total`` (by default the replicates of ``todo``).

    Raises:
        ConfigError, MissingExtra: processes cannot start; there is no such cluster.
    """
    total = len(todo) if total is None else total
    done, failed = total - len(todo), {}
    if progress and todo:
        progress(done, total, "train")
    # Closed here and not by the garbage collector: an interrupt must end the processes now.
    with closing(each(partial(_train, str(cache)), todo, jobs=jobs, cluster=cluster, shared=shared)) as outcomes:
        for job, outcome in outcomes:
            done += 1
            if outcome:
                failed[job] = _told(outcome)
            if progress:
                progress(done, total, job.name)
    return failed


def _train(cache: str, job: Job) -> None:
    train_replicate(job.folder, job.replicate, cache, True)


def _told(outcome: Died | Failed) -> str:
    if isinstance(outcome, Died):
        return f"{outcome}."
    # Our own errors are written for the user; of any other the last line of its traceback says what it was.
    ours = issubclass(outcome.kind, PlaitError)
    return " ".join(outcome.problems if ours else outcome.problems[-1].strip().splitlines()[-1:])
