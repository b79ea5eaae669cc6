"""A gate: files that may be broken are read in one helper process, which can be killed.

On a broken file a library in C may hang, crash or use up the memory, and nothing in this process can stop it. Behind
the gate such a file costs a few seconds and one message. The helper process starts on first use (a third of a second)
and is kept; a call costs about 0.2 ms and a copy of its result. It is a fresh Python, not a fork: it holds no lock and
no thread of ours and needs no ``if __name__ == "__main__":``. Each worker process may have a helper of its own.
"""

from __future__ import annotations

import atexit
import math
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, TypeVar, cast

from plait.core.errors import DataError
from plait.core.jobs.outcomes import Died, Failed, outcome_of
from plait.core.jobs.threads import VARIABLES

__all__ = ["guarded", "process"]

Result = TypeVar("Result")

PATIENCE = 10.0
"""Wall-clock seconds to wait per second of processor time: other programs compute too."""

_BEGIN = "import sys; sys.path[:] = {}; from plait.core.jobs.gate import serve; serve()"


def guarded(
    work: Callable[..., Result], *args: object, where: str, seconds: float = 5.0, memory: int = 1 << 30
) -> Result:
    """The result of ``work(*args)``, computed behind the gate.

    Args:
        work: a function of a module; it, its arguments and its result must be picklable.
        args: its positional arguments.
        where: the file, for error messages.
        seconds: limit of processor time.
        memory: limit in bytes, where the system can enforce one (Linux).

    Raises:
        DataError: the work exceeded a limit, or its process ended.
        Exception: what the work raised. An error that is neither plait's nor an `OSError` becomes a `RuntimeError`.

    >>> guarded(math.hypot, 3, 4, where="a.h5")
    5.0
    """
    with _LOCK:  # one pipe each way: answers of two threads would mix
        keeper = _keeper()
        answer = keeper.ask((work, args, seconds, memory), seconds * PATIENCE)
    if isinstance(answer, Died):
        raise DataError(f"{where}: the file is so broken that its reader {answer.how}. Get a whole copy.")
    if isinstance(answer, Failed):
        raise answer.error()
    return cast("Result", answer)


def process() -> int | None:
    """The id of the process behind the gate; None if none is running."""
    return _KEPT[0].pid if _KEPT else None


class _Keeper:
    """The process behind the gate."""

    def __init__(self) -> None:
        environment = {**os.environ, **dict.fromkeys(VARIABLES, "1")}  # each thread would take address space
        self._process = subprocess.Popen(
            # Output of C libraries is thrown away: it would fill a pipe that nobody reads.
            [sys.executable, "-c", _BEGIN.format(sys.path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
        )  # fmt: skip

    def ask(self, job: object, patience: float) -> object:
        """The outcome of a job."""
        process = self._process
        to, answers = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)  # pipes, as they were asked
        # The CPU limit does not see a library that sleeps or waits for a lock: that needs the wall clock.
        guard = threading.Timer(patience, process.kill)
        guard.start()
        try:
            # a pickle of our own process, through its own pipe: nothing of a file is ever unpickled
            pickle.dump(job, to, pickle.HIGHEST_PROTOCOL)
            to.flush()
            return pickle.load(answers)
        except (EOFError, OSError, pickle.UnpicklingError):
            return Died(_how(self.end()))
        except BaseException:  # an interrupt: whoever asks next must not get this answer
            self.end()
            raise
        finally:
            guard.cancel()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def end(self) -> int:
        """Kill the process and return its exit code."""
        self._process.kill()
        code = self._process.wait()
        self.leave()
        return code

    def leave(self, ours: bool = True) -> None:
        """Close this side's pipes. If the process is not ours, do not wait for it either."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        if not ours:
            self._process.returncode = 0  # else Popen.__del__ warns, and polls a child of our parent


_LOCK = threading.Lock()
_KEPT: list[_Keeper] = []


def _keeper() -> _Keeper:
    if not _KEPT or not _KEPT[0].alive:
        _end()
        _KEPT.append(_Keeper())
    return _KEPT[0]


def _end() -> None:
    while _KEPT:
        _KEPT.pop().end()


def _forget() -> None:
    """In a fork: the process belongs to the parent, and a thread of the parent may have held the lock."""
    global _LOCK
    _LOCK = threading.Lock()
    while _KEPT:
        _KEPT.pop().leave(ours=False)


atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _how(code: int) -> str:
    # SIGKILL too: the timer of `ask` sends it, and so does the system at the hard CPU limit.
    if code in (-getattr(signal, "SIGXCPU", 0), -signal.SIGKILL):
        return "takes too long"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def serve() -> None:
    """The loop of the helper process: jobs, one after another, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; our parent ends us itself
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # so that what a library prints does not land among the answers
    with suppress(EOFError, OSError):
        while True:
            work, args, seconds, memory = pickle.load(asked)
            _limit(seconds, memory)
            pickle.dump(outcome_of(_called, (work, args)), answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()


def _called(job: tuple[Callable[..., object], tuple[object, ...]]) -> object:
    return job[0](*job[1])


def _limit(seconds: float, memory: int) -> None:
    """Have the system end this process beyond the limits, even where a call into C never returns."""
    if sys.platform == "win32":
        return  # no such limits there: the timer of `ask` is the only one
    import resource

    # Only soft limits are set: a lowered hard limit could not be raised again for the next job.
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash must not write a core file
    # The system counts processor time and address space from the start of the process, not per job.
    ends = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (ends, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    if taken := _taken():
        wanted = taken + memory
        limit = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(resource.RLIMIT_AS, (limit, most))


def _taken() -> int:
    """Address space in use, bytes; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
