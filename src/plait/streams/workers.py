"""The same function over many jobs, in this process or in several."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

__all__ = ["in_order"]

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_order(function: Callable[[Job], Result], jobs: Sequence[Job], workers: int = 1) -> Iterator[Result]:
    """``function`` of each job, in the order of the jobs; with more than one worker in processes of their own.

    Processes start fresh (no fork), so ``function`` and jobs must be importable, and a script that asks for
    workers needs the usual ``if __name__ == "__main__":``.

    >>> list(in_order(abs, [-1, 2]))
    [1, 2]
    """
    if workers <= 1 or len(jobs) <= 1:
        yield from map(function, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context) as pool:
        yield from pool.map(function, jobs)
