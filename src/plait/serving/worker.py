"""One thread that does what waits for a model, in order."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import torch

from plait.core.errors import PlaitError
from plait.serving.limits import Overloaded
from plait.serving.metrics import Metrics

__all__ = ["Job", "Worker", "each"]

TOGETHER = 8
"""Most jobs taken at once: their results leave together."""

LOG = logging.getLogger("plait.serving")


class Job:
    """Something to do, and the future of what comes of it."""

    __slots__ = ("error", "future", "kind", "result", "since", "spent", "work")

    def __init__(self, kind: str, work: Callable[[], Any], future: asyncio.Future[Any] | None) -> None:
        self.kind, self.work, self.future = kind, work, future
        self.since, self.spent = time.perf_counter(), 0.0
        self.result: Any = None
        self.error: Exception | None = None

    def run(self) -> None:
        """Do it; what it raises is kept for the one who waits."""
        began = time.perf_counter()
        try:
            self.result = self.work()
        except Exception as error:  # a thread that dies would leave all others waiting
            if not isinstance(error, PlaitError):
                LOG.exception("%s failed", self.kind)
            self.error = error
        self.spent = time.perf_counter() - began

    def deliver(self) -> None:
        """Tell the one who waits, in the event loop."""
        if self.future is None or self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.result)
        else:
            self.future.set_exception(self.error)


def each(jobs: list[Job]) -> None:
    """Run jobs one after another."""
    for job in jobs:
        job.run()


class Worker:
    """A thread with a queue.

    Args:
        name: of the model, for metrics.
        limit: jobs that may wait.
        metrics: of the server.
        run: does the jobs that wait, all at once if it can: the one place where steps become a batch.
    """

    def __init__(self, name: str, limit: int, metrics: Metrics, run: Callable[[list[Job]], None] = each) -> None:
        self.name, self.limit, self.run, self._metrics = name, limit, run, metrics
        self._waiting: deque[Job] = deque()
        self._ready = threading.Condition()
        self._open, self._mean = True, 0.01
        metrics.depth.labels(name).set_function(lambda: len(self._waiting))
        self._wait, self._batch = metrics.wait.labels(name), metrics.batch.labels(name)
        self._thread = threading.Thread(target=self._work, name=f"plait {name}", daemon=True)
        self._thread.start()

    def submit(self, kind: str, work: Callable[[], Any], *, always: bool = False) -> asyncio.Future[Any]:
        """Put something at the end of the queue; to be called in the event loop.

        Args:
            kind: of the work, for metrics.
            work: is called in the thread.
            always: even where the queue is full: what must not be lost, such as saving.

        Raises:
            Overloaded: as many wait as may, or the server stops.
        """
        if not self._open:
            raise Overloaded("The server stops.", 5.0)
        if len(self._waiting) >= self.limit and not always:
            raise Overloaded(f"{len(self._waiting)} steps wait for {self.name}.", self._mean * len(self._waiting))
        future = asyncio.get_running_loop().create_future()
        self._put(Job(kind, work, future))
        return future

    def post(self, kind: str, work: Callable[[], Any]) -> bool:
        """As `submit`, from any thread, where nobody waits for what comes of it; whether there was room."""
        room = self._open and len(self._waiting) < self.limit
        if room:
            self._put(Job(kind, work, None))
        return room

    def _put(self, job: Job) -> None:
        with self._ready:
            self._waiting.append(job)
            self._ready.notify()

    def stop(self) -> None:
        """Finish what waits, and end the thread."""
        with self._ready:
            self._open = False
            self._ready.notify()
        self._thread.join()

    def _work(self) -> None:
        with torch.inference_mode():
            while jobs := self._taken():
                began = time.perf_counter()
                for job in jobs:
                    self._wait.observe(began - job.since)
                self._batch.observe(len(jobs))
                self.run(jobs)
                self._mean += 0.1 * ((time.perf_counter() - began) / len(jobs) - self._mean)
                for job in jobs:
                    self._metrics.step.labels(self.name, job.kind).observe(job.spent)
                loop = next((job.future.get_loop() for job in jobs if job.future is not None), None)
                if loop is not None:
                    loop.call_soon_threadsafe(_deliver, jobs)

    def _taken(self) -> list[Job]:
        """All that wait, up to the most; empty: the end."""
        with self._ready:
            while not self._waiting and self._open:
                self._ready.wait()
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), TOGETHER))]


def _deliver(jobs: list[Job]) -> None:
    for job in jobs:
        job.deliver()
