"""The same function over many jobs, in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

__all__ = ["AT_MOST", "in_order"]

AT_MOST = max(8, 2 * (os.cpu_count() or 1))
"""Processes at a time, whatever was asked for: more would wait for each other, and each takes seconds to start."""

Job = TypeVar("Job")
Result = TypeVar("Result")


def in_order(function: Callable[[Job], Result], jobs: Sequence[Job], workers: int = 1) -> Iterator[Result]:
    """``function`` of each job, in the order of the jobs; with more than one worker in processes of their own.

    Processes start fresh (no fork), so ``function`` and jobs must be importable, and a script that asks for
    workers needs the usual ``if __name__ == "__main__":``. There are never more than `AT_MOST`.

    >>> list(in_order(abs, [-1, 2]))
    [1, 2]
    """
    if workers <= 1 or len(jobs) <= 1:
        yield from map(function, jobs)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs), AT_MOST), mp_context=context) as pool:
        yield from pool.map(function, jobs)
