"""A team of processes on this machine. Each has a pipe of its own, so that one that is killed harms no other."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait

from plait.errors import ConfigError
from plait.features.jobs import Job
from plait.features.threads import one_thread
from plait.features.work import Died, Outcome, Outcomes, Place, Task, Team, attempt
from plait.streams.workers import AT_MOST

__all__ = ["team"]

SPAWN = multiprocessing.get_context("spawn")

GRACE_S = 5.0
"""How long a process may take to end before it is killed."""

STARTS = 3
"""So many processes in a row that end before they begin mean that none will."""


def team(place: Place, task: Task = attempt) -> Team:
    """Processes that make items of a corpus, or do another task of a job and a place.

    Raises:
        ConfigError: they cannot start.
    """
    return lambda todo, width: _work(todo, width, partial(_at, place, task))


def _at(place: Place, task: Task, job: Job) -> Outcome:
    return task(job, place)


def _work(todo: Sequence[Job], width: int, task: Callable[[Job], Outcome]) -> Outcomes:
    waiting, workers, stillborn = deque(todo), list[_Worker](), 0
    width = max(1, min(width, AT_MOST))
    try:
        while waiting or any(worker.job for worker in workers):
            idle = sum(worker.job is None for worker in workers)
            workers += [_Worker(task) for _ in range(min(width - len(workers), len(waiting) - idle))]
            for worker in _heard(workers):
                outcome, job = worker.hear(), worker.job
                worker.job = None
                if isinstance(outcome, Died):
                    workers.remove(worker)
                    stillborn = 0 if worker.began else stillborn + 1
                    if stillborn == STARTS:
                        raise ConfigError(_no_start(outcome))
                elif waiting:
                    worker.give(waiting.popleft())
                if job is not None and outcome is not None:
                    yield job, outcome
    finally:
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.end()


def _heard(workers: Sequence[_Worker]) -> list[_Worker]:
    ready = wait([worker.pipe for worker in workers])
    return [worker for worker in workers if worker.pipe in ready]


def _no_start(outcome: Died) -> str:
    return (
        f"processes for the work cannot start: each {outcome.how} at once. A script that asks for more than one "
        "job needs its commands under: if __name__ == '__main__':"
    )


class _Worker:
    """One process: what it works on, and whether it ever began."""

    def __init__(self, task: Callable[[Job], Outcome]) -> None:
        self.pipe, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=_serve, args=(theirs, task))
        with _deaf():
            self.process.start()
        theirs.close()
        self.job: Job | None = None
        self.began = False

    def give(self, job: Job) -> None:
        self.job = job
        with suppress(OSError):  # it has died since: it will be heard of
            self.pipe.send(job)

    def hear(self) -> Outcome | None:
        """What became of its job; None where it says that it is ready for the first."""
        try:
            said: Outcome | None = self.pipe.recv()
        except (EOFError, OSError):
            self.pipe.close()
            self.end()
            return Died(_how(self.process.exitcode))
        self.began = True
        return said

    def stop(self) -> None:
        self.pipe.close()  # who waits for a job ends of itself
        if self.job is not None or not self.began:
            self.process.terminate()

    def end(self) -> None:
        self.process.join(GRACE_S)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes born in this block do not hear an interrupt from the keyboard: it is their parent's to answer."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(pipe: Connection, task: Callable[[Job], Outcome]) -> None:
    """What a process does: jobs, one after another, until there is nobody to give it any."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that a half-written part is cleared away
    with suppress(EOFError, OSError), one_thread():
        pipe.send(None)
        while True:
            pipe.send(task(pipe.recv()))
