"""Run a command in a process of its own, which may hang, crash or use up its memory, and judge how it ended.

Whatever its files and arguments hold, a command must end with 0, 1 or 2 and give a reason, within 5 s of processor
time and 1 GB of memory beyond the start. It is forked from a process that has imported all modules, so that imports
do not count.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Ended", "run_command", "warm_up"]

SECONDS, MEGABYTES = 5.0, 1000.0
"""Limits of a command beyond its start: processor time, and memory."""

WAIT = 90.0
"""Wall-clock seconds, since other programs compute too. A command that takes longer waits for something in vain."""

HEADROOM = 6 << 30
"""Address space beyond that of the start: a file that claims terabytes fails at once, as on a small machine."""

LONGEST = 30_000
"""Longest error message, in characters, that anybody would read."""

_TOLD = re.compile(
    r"^(ConfigError|DataError|MissingExtra|SystemError|Interrupted): \S|^usage: |: error: ", re.MULTILINE
)


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        how: ``done``, ``told`` (it said what is wrong), ``memory`` (it said that memory is short), or ``failure``.
        what: the failure in words; otherwise the first line of the output.
        seconds: processor time.
        megabytes: memory beyond the start.
    """

    how: str
    what: str
    seconds: float
    megabytes: float


def run_command(argv: Sequence[str], folder: Path, *, seconds: float = SECONDS) -> Ended:
    """Run a command of plait in a folder, in a process forked from this one.

    Args:
        argv: its arguments, without ``plait``.
        folder: working directory; ``said.txt`` there gets its output.
        seconds: limit of processor time.
    """
    said, marks = folder / "said.txt", folder / "marks.json"
    sys.stdout.flush()  # else the child prints our buffer a second time
    pid = os.fork()
    if pid == 0:
        _child(argv, folder, said, marks)
    code, spent, hung = _wait(pid, seconds)
    text = said.read_text(encoding="utf-8", errors="replace") if said.exists() else ""
    known = json.loads(marks.read_text()) if marks.exists() else {}
    spent, peak = known.get("seconds", spent), known.get("megabytes", 0.0)
    if hung:
        return Ended("failure", hung, spent, peak)
    return _judged(code, text, spent, peak, seconds)


def warm_up(argv: Sequence[str], folder: Path) -> Ended:
    """Run a command as `run_command` does, then import here what it imported, so that imports no longer count."""
    ended = run_command(argv, folder, seconds=60.0)
    marks = folder / "marks.json"
    for name in json.loads(marks.read_text())["modules"] if marks.exists() else ():
        with suppress(Exception):
            importlib.import_module(name)
    return ended


def _child(argv: Sequence[str], folder: Path, said: Path, marks: Path) -> None:
    code = 70
    try:
        os.setsid()  # a group of its own, so that its children can be killed with it
        faulthandler.disable()  # pytest's dump of a crash is for its own tests, not for this command
        os.chdir(folder)
        out = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
        most = _status("VmSize") + HEADROOM
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM, the peak of resident memory
        before, begun = _status("VmRSS"), time.process_time()
        code = _exit_code(argv)
        sys.stdout.flush()
        sys.stderr.flush()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = time.process_time() - begun + used.ru_utime + used.ru_stime
        modules = [name for name, module in sys.modules.items() if getattr(module, "__spec__", None)]
        known = {"seconds": spent, "megabytes": (_status("VmHWM") - before) / 1e6, "modules": modules}
        marks.write_text(json.dumps(known))
    except BaseException:
        with suppress(BaseException):
            traceback.print_exc()
    finally:
        os._exit(code)  # not sys.exit: the test runner above us on the stack would catch it


def _exit_code(argv: Sequence[str]) -> int:
    from plait.cli import main

    try:
        return main(list(argv))
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 2
    except BaseException:
        traceback.print_exc()
        return 71


def _wait(pid: int, seconds: float) -> tuple[int, float, str]:
    """Exit code, processor time, and the reason if we ended it."""
    begun = time.monotonic()
    hung = ""
    while True:
        ended, status, used = os.wait4(pid, os.WNOHANG)
        if ended:
            with suppress(ProcessLookupError):  # processes that it left behind
                os.killpg(pid, signal.SIGKILL)
            return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, hung
        spent = _processor_time(pid)
        if not hung and (spent > 2 * seconds + 1 or time.monotonic() - begun > WAIT):
            hung = f"hangs: {spent:.0f} s of processor time in {time.monotonic() - begun:.0f} s"
            with suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            # Before setsid there is no such group yet: kill the process itself, too.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def _judged(code: int, text: str, spent: float, peak: float, seconds: float) -> Ended:
    first = next((line for line in text.splitlines() if _TOLD.search(line)), text.strip().split("\n")[0])[:200]
    problem = ""
    if code < 0:
        problem = f"crashes: signal {-code}"
    elif "Traceback (most recent call last)" in text or code in (70, 71):
        problem = _last_of_traceback(text)
    elif code not in (0, 1, 2):
        problem = f"exit code {code}: {first}"
    elif code and not _TOLD.search(text) and not re.search("problem: |nothing found", text):
        problem = f"exit code {code} without a reason: {first}"
    elif len(text) > LONGEST and code:
        problem = f"says {len(text):,} characters: {first}"
    elif spent > seconds:
        problem = f"takes {spent:.1f} s of processor time: {first}"
    elif peak > MEGABYTES:
        problem = f"takes {peak:.0f} MB: {first}"
    if problem:
        return Ended("failure", problem, spent, peak)
    how = "memory" if "not enough memory" in text else "told" if code else "done"
    return Ended(how, first, spent, peak)


def _last_of_traceback(text: str) -> str:
    places = re.findall(r'File "([^"]+)", line (\d+)', text)
    ours = [p for p in places if "/plait/" in p[0]] or places or [("?", "0")]
    error = next(
        (line for line in reversed(text.splitlines()) if re.match(r"[\w.]+(Error|Exception|\w+): ?", line)), ""
    )
    return f"traceback at {Path(ours[-1][0]).name}:{ours[-1][1]}: {error[:200]}"


def _status(key: str) -> int:
    """A field of /proc/self/status in bytes; 0 where the system has none."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) * 1024
    return 0


def _processor_time(pid: int) -> float:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return 0.0
