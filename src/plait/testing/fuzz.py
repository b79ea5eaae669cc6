"""Fuzzing of readers: thousands of broken files, read in a process that may hang, crash or use up its memory.

Whatever the bytes, opening a file and reading its streams must end in values or in `DataError`, within 5 s of
processor time and 1 GB of memory. Each input is made from its number alone, so that the number reproduces a failure.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import numpy as np

from plait.core.errors import DataError
from plait.core.jobs import gate
from plait.core.parts import Options, find
from plait.readers import Reader
from plait.streams.stream import Stream
from plait.testing.mutate import mutate

__all__ = ["Case", "Failure", "Seed", "Tally", "broken_copy", "end_of", "fuzz_reader", "replay"]

SECONDS, PEAK_MB = 5.0, 1000.0
"""Limits per input: processor time, and memory of the whole process."""

_STARTING, _WAIT = 60.0, 120.0
"""Seconds of processor time to start a process, and of wall-clock time per input: other programs compute too."""

_HEADROOM = 4 << 30
"""Address space beyond that of the start: a file that claims terabytes then fails at once."""

_ROWS, _VALUES = 5000, 10_000_000
"""Most rows, and most values, that are read from a stream at once."""


@dataclass(frozen=True)
class Seed:
    """A small valid file or folder, and the options to open it with."""

    path: Path
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A file or folder to open: by a reader's name, with options."""

    reader: str
    path: Path
    options: Options = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """An input that ended in something other than values or `DataError`."""

    number: int
    what: str


@dataclass
class Tally:
    """How the inputs ended."""

    inputs: int = 0
    results: int = 0
    errors: int = 0
    failures: list[Failure] = field(default_factory=list)
    slowest: float = 0.0
    """Processor time of the slowest input, seconds."""
    peak_mb: float = 0.0
    slowest_input: int = -1
    peak_input: int = -1

    def add(self, number: int, outcome: str, seconds: float, peak_mb: float) -> None:
        self.inputs += 1
        if seconds > self.slowest:
            self.slowest, self.slowest_input = seconds, number
        if peak_mb > self.peak_mb:
            self.peak_mb, self.peak_input = peak_mb, number
        if outcome == "result":
            self.results += 1
        elif outcome == "error":
            self.errors += 1
        else:
            self.failures.append(Failure(number, outcome))


def fuzz_reader(
    reader: str,
    seeds: Sequence[Seed],
    *,
    inputs: int,
    first: int = 0,
    stop_after: int | None = None,
) -> Tally:
    """Open and read ``inputs`` broken copies of the seeds with a reader, in a process of their own.

    Args:
        reader: its name, or the dotted path of its class.
        seeds: small files of its formats.
        inputs: number of inputs.
        first: number of the first input; equal numbers give equal inputs.
        stop_after: number of failures after which to stop.
    """
    return _run(_Inputs(reader, tuple(seeds)), range(first, first + inputs), stop_after)


def replay(cases: Sequence[Case]) -> Tally:
    """Open and read files as they are, under the same limits; a failure's number is its position in ``cases``."""
    return _run(_Cases(tuple(cases)), range(len(cases)), None)


def broken_copy(folder: Path, seeds: Sequence[Seed], reader: str, number: int) -> Case:
    """Write input ``number`` into ``folder``: a broken copy of one of the seeds; in a folder one file is broken."""
    rng = np.random.default_rng([number, *reader.encode()])
    seed = seeds[int(rng.integers(len(seeds)))]
    target = folder / seed.path.name
    if seed.path.is_dir():
        shutil.copytree(seed.path, target, dirs_exist_ok=True)
        files = sorted(p for p in target.rglob("*") if p.is_file())
        file = files[int(rng.integers(len(files)))]
        if rng.random() < 0.03:
            file.unlink()
            return Case(reader, target, seed.options)
    else:
        file = target
    source = seed.path / file.relative_to(target) if seed.path.is_dir() else seed.path
    alike = [s.path for s in seeds if s.path.is_file() and s.path.suffix == source.suffix]
    others = alike if source in alike else [source]
    pool = [source.read_bytes()] if rng.random() < 0.7 else [p.read_bytes() for p in others]
    file.write_bytes(mutate(rng, pool, source.suffix))
    return Case(reader, target, seed.options)


@dataclass(frozen=True)
class _Inputs:
    reader: str
    seeds: tuple[Seed, ...]

    def __call__(self, folder: Path, number: int) -> Case:
        return broken_copy(folder, self.seeds, self.reader, number)

    def warm(self) -> None:
        """Import what the reader needs, so that the first input is not slower than the others."""
        for seed in self.seeds:
            end_of(Case(self.reader, seed.path, seed.options))


@dataclass(frozen=True)
class _Cases:
    cases: tuple[Case, ...]

    def __call__(self, folder: Path, number: int) -> Case:
        return self.cases[number]

    def warm(self) -> None:
        """Nothing to import beforehand: cases may be of different readers."""


Maker = _Inputs | _Cases


def _run(make: Maker, numbers: range, stop_after: int | None) -> Tally:
    tally = Tally()
    at = numbers.start
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        while at < numbers.stop:
            for number, outcome, seconds, peak in _in_a_process(make, Path(folder), range(at, numbers.stop)):
                tally.add(number, outcome, seconds, peak)
                at = number + 1
                if stop_after is not None and len(tally.failures) >= stop_after:
                    return tally
    return tally


def _in_a_process(make: Maker, folder: Path, numbers: range) -> Iterator[tuple[int, str, float, float]]:
    """Outcomes of inputs, until all are done or one ends the process; that one is included."""
    # Not a fork: it would inherit what this process has read, and with it the memory that is measured.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    worker = context.Process(target=_work, args=(theirs, make, folder, numbers), daemon=True)
    worker.start()
    theirs.close()  # else the end of the worker is no end of file here, and `recv` waits for ever
    number = numbers.start
    try:
        _next(ours, worker, _STARTING)
        while number < numbers.stop:
            outcome = _next(ours, worker)
            yield (number, *outcome)
            if outcome[0] not in ("result", "error") and not worker.is_alive():
                return
            number += 1
    finally:
        worker.kill()
        worker.join()
        ours.close()


def _next(ours: Connection, worker: SpawnProcess, spare: float = 0.0) -> tuple[str, float, float]:
    pid = worker.pid or 0
    begun = _processor_time(pid)
    deadline = time.monotonic() + _WAIT
    while not ours.poll(0.2):
        spent = _processor_time(pid) - begun
        if spent > SECONDS + spare or time.monotonic() > deadline:
            worker.kill()
            worker.join()
            return f"hangs: {spent:.0f} s of processor time", spent, 0.0
    try:
        return ours.recv()  # type: ignore[no-any-return]
    except EOFError:
        worker.join()
        return f"crashes: the process ends with exit code {worker.exitcode}", 0.0, 0.0


def _processor_time(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    # Fields 14 and 15 of proc(5), utime and stime; the name before them may hold spaces, hence the last ")".
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _work(theirs: Connection, make: Maker, folder: Path, numbers: range) -> None:
    _quieten()
    make.warm()
    theirs.send(("ready", 0.0, 0.0))
    for number in numbers:
        where = folder / "input"
        shutil.rmtree(where, ignore_errors=True)
        where.mkdir()
        case = make(where, number)
        _forget_peak()
        begun = _spent()
        outcome = end_of(case)
        seconds, peak = _spent() - begun, _peak_mb()
        if outcome in ("result", "error") and seconds > SECONDS:
            outcome = f"takes {seconds:.1f} s of processor time"
        if outcome in ("result", "error") and peak > PEAK_MB:
            outcome = f"takes {peak:.0f} MB of memory"
        theirs.send((outcome, seconds, peak))


def _quieten() -> None:
    logging.getLogger("plait").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", RuntimeWarning)  # a reader must handle numbers that overflow
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)  # decoders in C print their complaints there
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    now = _status("VmSize")
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (now + _HEADROOM, now + _HEADROOM))


def _status(key: str) -> int:
    """A field of /proc/self/status in bytes; 0 where the system has none."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":")), 0)


def _spent() -> float:
    """Processor time of this process and of those behind the gate, seconds."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    behind = gate.process()
    return time.process_time() + ended.ru_utime + ended.ru_stime + (_processor_time(behind) if behind else 0.0)


def _peak_mb() -> float:
    return (_status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024) / 1e6


def _forget_peak() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: resets VmHWM, the peak of resident memory


def end_of(case: Case) -> str:
    """Open and read a file in this process: ``result``, ``error`` (a `DataError`), or another ending in words."""
    cls, options = find(Reader, {"name": case.reader, **case.options}, "fuzz")
    try:
        streams = cls(**options).open(case.path)
        for stream in streams.values():
            _read(stream)
    except DataError as error:
        return "error" if all(str(p).strip() for p in error.problems) else "a DataError without words"
    except Exception as error:
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        at = f"{Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}" if place else ""
        return f"{type(error).__name__} at {at}: {str(error)[:150]}"
    return "result"


def _read(stream: Stream) -> None:
    """Read the start, middle and end of a stream with their times; announced shapes must be true."""
    n = len(stream)
    rows = max(1, min(_ROWS, int(_VALUES // max(np.prod(stream.shape[1:], dtype=np.float64), 1))))
    for lo in dict.fromkeys((0, n // 2, max(n - rows, 0), max(n - 1, 0))):
        part = stream[lo : lo + rows]
        values = part.read()
        if values.shape != part.shape or len(part.clock.times) != len(values):
            raise ValueError(f"values of shape {values.shape}, announced {part.shape}")
        if values.dtype.kind == "f" and np.isinf(values).any():
            raise ValueError("infinite values")
    stream.clock.describe()
