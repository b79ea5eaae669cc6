"""The outcomes of jobs."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from plait.core.errors import PlaitError

__all__ = ["Died", "Failed", "Job", "Outcomes", "Result", "Team", "outcome_of"]

Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Died:
    """The outcome of a job whose process ended without an answer."""

    how: str

    def __str__(self) -> str:
        return f"its process {self.how}, and once more when it was tried alone. Most often memory is short"


@dataclass(frozen=True)
class Failed:
    """The error that a job ended in: its class, and what it says; in this process the error itself too."""

    kind: type[Exception]
    problems: tuple[str, ...]
    cause: Exception | None = field(default=None, compare=False)

    @classmethod
    def of(cls, error: Exception) -> Failed:
        if isinstance(error, PlaitError):
            return cls(type(error), error.problems)
        if isinstance(error, OSError) and error.errno is not None:
            # a library's own kind of it may not survive the way to another process
            return cls(OSError, (str(error),), OSError(error.errno, error.strerror, error.filename))
        # As text: the class may not be importable in the other process, nor its arguments picklable.
        return cls(RuntimeError, ("".join(traceback.format_exception(error)),))

    def error(self) -> Exception:
        """The exception to raise."""
        if self.cause is not None:
            return self.cause
        return self.kind(self.problems if issubclass(self.kind, PlaitError) else "\n".join(self.problems))


Outcomes = Generator[tuple[Job, Result | Died | Failed], None, None]
"""Jobs with their outcomes, in the order in which they finish."""

Team = Callable[[Sequence[Job], int], Outcomes[Job, Result]]
"""Does jobs, at most the given number at a time."""


def outcome_of(work: Callable[[Job], Result], job: Job, *, here: bool = False) -> Result | Failed:
    """The job's result, or its error as `Failed`. Only ``here`` (in this process) the exception itself is kept: it may
    not survive pickling."""
    try:
        return work(job)
    except Exception as error:  # whatever it is
        failed = Failed.of(error)
        return replace(failed, cause=error) if here else failed
