"""A team of processes on this machine. Each has a pipe of its own, so that one that is killed harms no other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Generic

from plait.core.errors import ConfigError
from plait.core.jobs.outcomes import Died, Failed, Job, Outcomes, Result, Team, outcome_of
from plait.core.jobs.threads import one_thread

__all__ = ["team"]

AT_MOST = max(8, 2 * (os.cpu_count() or 1))
"""Most processes at a time, whatever was asked for: more would only wait, and each takes seconds to start."""

# Not fork: a child forked while threads of BLAS, torch or ffmpeg hold a lock may wait for it for ever.
SPAWN = multiprocessing.get_context("spawn")

GRACE_S = 5.0
"""How long a process may take to end before it is killed."""

STARTS = 3
"""After this number of processes in a row that end before they begin, no more are started."""


def team(work: Callable[[Job], Result]) -> Team[Job, Result]:
    """Processes that do jobs, never more than `AT_MOST`.

    Raises:
        ConfigError: they cannot start.
    """
    return lambda todo, width: _work(todo, width, work)


def _work(todo: Sequence[Job], width: int, work: Callable[[Job], Result]) -> Outcomes[Job, Result]:
    waiting, workers, stillborn = deque(todo), list[_Worker[Job, Result]](), 0
    width = max(1, min(width, AT_MOST))
    try:
        while waiting or any(worker.jobs for worker in workers):
            # No process is started that would find no job.
            idle = sum(not worker.jobs for worker in workers)
            workers += [_Worker(work) for _ in range(min(width - len(workers), len(waiting) - idle))]
            for worker in _heard(workers):
                said, done = worker.hear()
                if isinstance(said, Died):
                    workers.remove(worker)
                    stillborn = 0 if worker.began else stillborn + 1
                    if stillborn == STARTS:
                        raise ConfigError(_no_start(said))
                elif waiting:
                    worker.give(waiting.popleft())
                for job in done:
                    yield job, said
    finally:
        for worker in workers:
            worker.stop()
        for worker in workers:
            worker.end()


def _heard(workers: Sequence[_Worker[Job, Result]]) -> list[_Worker[Job, Result]]:
    ready = wait([worker.pipe for worker in workers])
    return [worker for worker in workers if worker.pipe in ready]


def _no_start(outcome: Died) -> str:
    return (
        f"processes for the work cannot start: each {outcome.how} at once. A script that asks for more than one "
        "job needs its commands under: if __name__ == '__main__':"
    )


class _Worker(Generic[Job, Result]):
    """One process: the job that it is at, if any, and whether it ever began."""

    def __init__(self, work: Callable[[Job], Result]) -> None:
        self.pipe, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=_serve, args=(theirs, work))
        with _deaf():
            self.process.start()
        # While this process holds the other end too, a dead process would never read as the end of the pipe.
        theirs.close()
        self.jobs: list[Job] = []
        self.began = False

    def give(self, job: Job) -> None:
        self.jobs = [job]
        with suppress(OSError):  # it has died since: it will be heard of
            self.pipe.send(job)

    def hear(self) -> tuple[Result | Died | Failed, list[Job]]:
        """What the process reports, and the job that this is about; no job where it only reports that it is ready."""
        done, self.jobs = self.jobs, []
        try:
            said: Result | Failed = self.pipe.recv()
        except (EOFError, OSError):
            self.pipe.close()
            self.end()
            return Died(_how(self.process.exitcode)), done
        self.began = True
        return said, done

    def stop(self) -> None:
        self.pipe.close()  # who waits for a job ends of itself
        if self.jobs or not self.began:
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


def _serve(pipe: Connection, work: Callable[[Job], Result]) -> None:
    """The loop of a process: jobs, one after another, until the other end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that a half-written part is cleared away
    with suppress(EOFError, OSError), one_thread():
        pipe.send(None)
        while True:
            pipe.send(outcome_of(work, pipe.recv()))
