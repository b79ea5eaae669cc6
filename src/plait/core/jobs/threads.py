"""One thread for linear algebra: a matrix product that is split among threads is rounded differently."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

__all__ = ["environment", "one_thread"]

VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the length of a block.

    >>> with environment({"PLAIT_EXAMPLE": "1"}):
    ...     os.environ["PLAIT_EXAMPLE"]
    '1'
    >>> "PLAIT_EXAMPLE" in os.environ
    False
    """
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS, OpenMP and torch to one thread for the length of a block.

    So features are the same to the byte in one process, in several, and on a cluster, whatever number of threads each
    has. Many cores are used by many items at a time. Libraries loaded within the block are kept to one thread by the
    environment; torch gets its threads back afterwards.
    """
    from threadpoolctl import threadpool_limits  # looks through every loaded library: only where features are made

    torch = sys.modules.get("torch")
    allowed = torch.get_num_threads() if torch else _usual()
    with environment(dict.fromkeys(VARIABLES, "1")), threadpool_limits(1):
        try:
            if torch:
                torch.set_num_threads(1)
            yield
        finally:
            # Work in the block may have been the first to import torch, which then took one thread for good.
            torch = sys.modules.get("torch")
            if torch:
                torch.set_num_threads(allowed)


def _usual() -> int:
    """How many threads torch takes when it is first imported."""
    asked = os.environ.get(VARIABLES[0], "").split(",")[0].strip()
    return int(asked) if asked.isdecimal() and int(asked) > 0 else os.cpu_count() or 1
