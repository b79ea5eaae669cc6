"""Progress that long work reports to: ``progress(done, total, what)``."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

__all__ = ["EVERY", "Progress", "bar"]

FIRST, EVERY = 1.0, 10.0
"""Seconds to the first line, and between two lines, where standard error is no terminal."""


class Progress(Protocol):
    """Called with how much is done, the total, and perhaps the name of the current work."""

    def __call__(self, done: int, total: int, what: str = "", /) -> None: ...


@contextmanager
def bar(title: str, *, quiet: bool = False) -> Iterator[Progress | None]:
    """Progress on standard error, from the first second on; None (nothing to report to) when quiet.

    On a terminal it is a bar with the time that has passed, which moves within a long file too. Elsewhere (in a file, a
    pipe) it is a line after a second, then one every 10 seconds for as long as the work goes on, each flushed.

    >>> with bar("work", quiet=True) as report:
    ...     print(report)
    None
    """
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar(title) as report:
            yield report
    else:
        with _lines(title) as report:
            yield report


@contextmanager
def _bar(title: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.errors import LiveError
    from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    rich = RichProgress(*columns, console=Console(stderr=True), transient=True)
    task = rich.add_task(title, total=None)

    def report(done: int, total: int, what: str = "") -> None:
        # shown only while there is something left to do: another bar may follow before this block ends
        if done < total:
            rich.start()
        rich.update(task, completed=done, total=total, description=f"{title} {what}".rstrip())
        if done >= total:
            rich.stop()

    try:
        with suppress(LiveError):  # another bar is shown; this one follows with its first report
            rich.start()
        yield report
    finally:
        rich.stop()


@contextmanager
def _lines(title: str) -> Iterator[Progress]:
    started, state, ended = time.monotonic(), [title], threading.Event()

    def tell() -> None:
        print(f"{state[0]} ({time.monotonic() - started:.0f} s)", file=sys.stderr, flush=True)

    def go_on() -> None:
        pause = FIRST
        while not ended.wait(pause):
            pause = EVERY
            with suppress(IndexError, OSError, ValueError):  # done just now; or nobody reads any more
                tell()

    def report(done: int, total: int, what: str = "") -> None:
        # nothing is told once there is nothing left to do: other work may follow before this block ends
        state[:] = [f"{title} {done}/{total} {what}".rstrip()] if done < total else []

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield report
    finally:
        ended.set()
        thread.join()
