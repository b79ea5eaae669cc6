"""A progress bar that long work reports to: ``progress(done, total, what)``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["Progress", "bar"]

Progress = Callable[[int, int, str], None]


@contextmanager
def bar(title: str, *, quiet: bool = False) -> Iterator[Progress | None]:
    """A rich progress bar on standard error; None (nothing to report to) when quiet.

    >>> with bar("work", quiet=True) as report:
    ...     print(report)
    None
    """
    if quiet:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
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
        yield report
    finally:
        rich.stop()
