"""A gate: work on what may be broken, in one process beside this one that can be killed.

A library in C may hang, die or swell on a broken file, and nothing in this process can stop it. Behind the gate such a
file costs a few seconds and one message. The process is started when it is first needed (a third of a second), then
kept; a call costs some 0.2 ms and a copy of its result. It is a fresh Python, not a fork: it holds no lock and no
thread of ours, needs no ``if __name__ == "__main__":``, and processes of a team may have one of their own.
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
from typing import IO, Any, TypeVar, cast

from plait.core.errors import DataError
from plait.core.jobs.outcomes import Died, Failed, outcome_of
from plait.core.jobs.threads import VARIABLES

__all__ = ["guarded", "process"]

Result = TypeVar("Result")

PATIENCE = 10.0
"""Seconds of any time that are waited for a second of processor time: others compute too."""

_BEGIN = "import sys; sys.path[:] = {}; from plait.core.jobs.gate import serve; serve()"


def guarded(work: Callable[..., Result], *args: Any, where: str, seconds: float = 5.0, memory: int = 1 << 30) -> Result:
    """The result of ``work(*args)``, done behind the gate.

    Args:
        work: a function of a module; it, its arguments and its result must be picklable.
        args: what it is called with.
        where: the file, for messages.
        seconds: of processor time that it may take.
        memory: bytes that it may take, where the system can hold it to that (Linux).

    Raises:
        DataError: it took more than that, or the process ended.
        Exception: what it raised; what is neither plait's nor the system's as `RuntimeError`.

    >>> guarded(math.hypot, 3, 4, where="a.h5")
    5.0
    """
    with _LOCK:
        keeper = _keeper()
        answer = keeper.ask((work, args, seconds, memory), seconds * PATIENCE)
    if isinstance(answer, Died):
        raise DataError(f"{where}: is so broken that what reads it {answer.how}. Get a whole copy.")
    if isinstance(answer, Failed):
        raise answer.error()
    result: Result = answer
    return result


def process() -> int | None:
    """The number of the process behind the gate, if there is one."""
    return _KEPT[0].pid if _KEPT else None


class _Keeper:
    """The process behind the gate."""

    def __init__(self) -> None:
        environment = {**os.environ, **dict.fromkeys(VARIABLES, "1")}  # threads would each take memory
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BEGIN.format(sys.path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
        )  # fmt: skip

    def ask(self, job: Any, patience: float) -> Any:
        """The outcome of a job."""
        process = self._process
        to, answers = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)  # pipes, as they were asked
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
        """Kill it, and what it ended with."""
        self._process.kill()
        code = self._process.wait()
        self.leave()
        return code

    def leave(self, ours: bool = True) -> None:
        """Close this side's pipes; of a process that is not ours, also forget to wait for it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        if not ours:
            self._process.returncode = 0


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
    """In a fork: the process belongs to the parent, whose thread may hold the lock."""
    global _LOCK
    _LOCK = threading.Lock()
    while _KEPT:
        _KEPT.pop().leave(ours=False)


atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _how(code: int) -> str:
    if code in (-getattr(signal, "SIGXCPU", 0), -signal.SIGKILL):
        return "takes too long"
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def serve() -> None:
    """What the process does: jobs, one after another, until nobody can give it any."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    with suppress(EOFError, OSError):
        while True:
            work, args, seconds, memory = pickle.load(asked)
            _limit(seconds, memory)
            pickle.dump(outcome_of(_called, (work, args)), answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()


def _called(job: tuple[Callable[..., object], tuple[object, ...]]) -> object:
    return job[0](*job[1])


def _limit(seconds: float, memory: int) -> None:
    """Have the system end this process once it takes more, also where it never comes back from C."""
    if sys.platform == "win32":
        return  # there the time that is waited is the limit
    import resource

    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ends = math.ceil(time.process_time() + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (ends, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    if taken := _taken():
        wanted = taken + memory
        limit = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(resource.RLIMIT_AS, (limit, most))


def _taken() -> int:
    """Bytes of address space; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
