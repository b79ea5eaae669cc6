"""Words against two streams of numbers, from a minute to two hours: time, memory, precision.

Needs: nothing beyond plait.
Takes: minutes; with --seconds 300 1200 --repeats 3 half a minute.

python benchmarks/align.py [--seconds 60 1200 7200] [--repeats 7]

An interval is one word joined with one stream: words at 3.3 Hz with 100 Hz x 74 and 30 Hz x 35 float32 numbers make
2 x 3.3 intervals a second of video. Times are processor time of one thread, medians of runs that take turns with
``values.sum()`` over the same bytes; the naive scan compares every observation's time with every word, and is timed on
a sample of the words. Memory is measured in processes of their own.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from targets import finish, target

from plait.align.join import How, Joining, join
from plait.align.join_reduce import reduce_segments
from plait.readers import open_streams
from plait.streams.clock import Spans
from plait.streams.stream import Stream

STREAMS = ((100, 74), (30, 35))
IN_MEMORY: tuple[How, ...] = ("mean", "max", "linear")
METHODS: tuple[How, ...] = ("mean", "sum", "max", "min", "first", "last", "count", "nearest", "linear", "hold", "cubic")


def words(seconds: float) -> Spans:
    """Words at 3.3 Hz with short pauses."""
    rng = np.random.default_rng(0)
    edges = np.cumsum(np.concatenate([[0.0], rng.uniform(0.15, 0.45, int(seconds * 3.3))]))
    edges *= seconds / edges[-1]
    return Spans(edges[:-1], np.maximum(edges[1:] - 0.03, edges[:-1]))


def streams(seconds: float) -> list[Stream]:
    rng = np.random.default_rng(1)
    return [Stream.of(rng.standard_normal((int(seconds * r), d), np.float32), rate=r) for r, d in STREAMS]


def medians(tasks: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Seconds of processor time of each, taking turns."""
    took: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            start = time.process_time()
            task()
            took[name].append(time.process_time() - start)
    return {name: float(np.median(times)) for name, times in took.items()}


def naive(left: Spans, right: Stream, sample: int) -> None:
    """The mean by a scan of the whole stream for each word."""
    times, values = right.clock.times, right.read()
    for start, stop in zip(left.starts[:sample].tolist(), left.stops[:sample].tolist()):
        values[(times >= start) & (times < stop)].mean(0)


def slices(lo: np.ndarray, hi: np.ndarray, values: np.ndarray) -> None:
    for a, b in zip(lo.tolist(), hi.tolist()):
        np.add.reduce(values[a:b], 0, np.float64)


def cumulative(lo: np.ndarray, hi: np.ndarray, values: np.ndarray) -> None:
    for p, some in blocks(lo):
        total = np.cumsum(values[p : hi[some][-1]], 0, np.float64)
        total[hi[some] - p - 1] - np.where((lo[some] > p)[:, None], total[lo[some] - p - 1], 0.0)


def by_reduceat(lo: np.ndarray, hi: np.ndarray, values: np.ndarray) -> None:
    for p, some in blocks(lo):
        edges = np.stack([lo[some], hi[some]], 1).ravel() - p
        np.add.reduceat(values[p : hi[some][-1]].astype(np.float64), edges[:-1], 0)[::2]


def ours(lo: np.ndarray, hi: np.ndarray, values: np.ndarray) -> None:
    for p, some in blocks(lo):
        reduce_segments(values[p : hi[some][-1]], lo[some] - p, hi[some] - p, np.add, np.float64)


def exact(lo: np.ndarray, hi: np.ndarray, values: np.ndarray) -> None:
    for p, some in blocks(lo):
        block = values[p : hi[some][-1]].astype(np.float64)
        reduce_segments(block, lo[some] - p, hi[some] - p, np.add, np.float64)


def blocks(lo: np.ndarray, size: int = 500) -> Iterable[tuple[int, slice]]:
    for first in range(0, len(lo), size):
        yield int(lo[first]), slice(first, first + size)


def approaches(seconds: float, repeats: int) -> dict[str, float]:
    """Ways to sum the rows of each word, by how many times they take as long as one sum over all; 100 Hz x 74 only."""
    left, right = words(seconds), streams(seconds)[0]
    values = right.read()
    lo, hi = (np.ceil(t * 100 - 1e-6).astype(int) for t in (left.starts, left.stops))
    hi = np.maximum(hi, lo + 1)
    tasks: dict[str, Callable[[], Any]] = {
        "a slice and a sum in float64 for each word": lambda: slices(lo, hi, values),
        "cumulative sums in float64, a block at a time": lambda: cumulative(lo, hi, values),
        "numpy.add.reduceat in float64": lambda: by_reduceat(lo, hi, values),
        "sparse 0/1 matrix, all in float64": lambda: exact(lo, hi, values),
        "sparse 0/1 matrix, pieces of 64 rows in float32 (used)": lambda: ours(lo, hi, values),
    }
    took = medians({"sum": values.sum, **tasks}, repeats)
    return {name: took[name] / took["sum"] for name in tasks}


def worst_error(seconds: float) -> float:
    """Of float32 sums over intervals of up to an hour: off from math.fsum, as a share of the absolute values' sum."""
    rng = np.random.default_rng(2)
    n, worst = int(seconds * 100), 0.0
    planted = np.stack([np.full(n, 0.1), 1e5 + rng.normal(size=n), np.where(np.arange(n) % 3, 1e-3, 1e4)], 1)
    planted = np.concatenate([planted, rng.normal(size=(n, 3))], 1).astype(np.float32)
    cuts = np.array([0.0, 0.3, 10.0, 600.0, seconds / 2, seconds])
    left = Spans(cuts[:-1], cuts[1:])
    got = join(left, Stream.of(planted, rate=100), "sum").values.astype(np.float64)
    for i, (a, b) in enumerate(zip(np.rint(cuts[:-1] * 100).astype(int), np.rint(cuts[1:] * 100).astype(int))):
        for c, column in enumerate(planted[a:b].astype(np.float64).T.tolist()):
            worst = max(worst, abs(got[i, c] - math.fsum(column)) / math.fsum(map(abs, column)))
    return worst


class Decoded:
    """A file's rows, read a run at a time into memory, as a decoder does."""

    def __init__(self, path: Path, stream: Stream) -> None:
        self.path, self.shape = path, stream.source.shape
        self.row = 4 * int(np.prod(self.shape))
        self.start = path.stat().st_size - self.row * len(stream)

    def read(self, lo: int, hi: int) -> np.ndarray:
        with open(self.path, "rb") as file:
            file.seek(self.start + lo * self.row)
            return np.fromfile(file, np.float32, (hi - lo) * self.row // 4).reshape(hi - lo, *self.shape)


def peak(folder: Path, seconds: int, mapped: bool) -> None:
    """Join files of some length into files, and print by how many MB memory grew at most; in a process of its own.

    Of mapped files only what the process holds itself is counted: the file's pages are the system's to give away.
    """
    left, size = words(seconds), "RssAnon" if mapped else "VmHWM"
    warm = Stream.of(np.zeros((100, 74), np.float32), rate=100)
    for how in IN_MEMORY:
        join(left[:10], warm, how)
    Path("/proc/self/clear_refs").write_text("5")  # what it held so far is forgotten
    before = most = held(size)
    for rate, _ in STREAMS:
        file = folder / f"{seconds}.{rate}.npy"
        (stream,) = open_streams(file, "array", {"rate": rate}).values()
        right = stream if mapped else Stream(stream.clock, Decoded(file, stream), "series")
        for how in IN_MEMORY:
            with open(folder / "out.bin", "wb") as out:
                for piece in Joining(left, right, how):
                    out.write(piece.values.data)
                    most = max(most, held(size))
    print(json.dumps(round(most - before, 1)))


def held(what: str) -> float:
    """MB of this process's memory, by a line of its status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1024


def memory(lengths: list[int]) -> dict[str, dict[int, float]]:
    """MB by which memory grows in joining files of each length, decoded or mapped; medians of three processes."""
    out: dict[str, dict[int, float]] = {"decoded": {}, "mapped": {}}
    with tempfile.TemporaryDirectory() as name:
        for seconds in lengths:
            for stream, (rate, _) in zip(streams(seconds), STREAMS):
                np.save(Path(name) / f"{seconds}.{rate}.npy", stream.read())
            for how, found in out.items():
                command = [sys.executable, __file__, "--peak", name, str(seconds), how]
                grown = [json.loads(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(3)]
                found[seconds] = float(np.median(grown))
            for file in Path(name).glob(f"{seconds}.*"):
                file.unlink()
    return out


def timed(seconds: int, repeats: int) -> dict[str, float]:
    """Intervals a second of each method and of the naive scan; and the means' time over that of one sum."""
    left, rights = words(seconds), streams(seconds)
    tasks: dict[str, Callable[[], Any]] = {"one sum": lambda: [right.read().sum() for right in rights]}
    for how in METHODS:
        tasks[how] = lambda how=how: [join(left, right, how) for right in rights]  # type: ignore[misc]
    tasks["counted"] = lambda: [join(left, right).coverage for right in rights]  # a join counts when it is asked
    took = medians(tasks, repeats)
    sample = min(len(left), 50)
    scan = medians({"naive": lambda: [naive(left, right, sample) for right in rights]}, 3)["naive"]
    rates = {how: 2 * len(left) / took[how] for how in METHODS}
    ratios = {"mean / one sum": took["mean"], "mean and its coverage / one sum": took["counted"]}
    return {**rates, "naive scan": 2 * sample / scan, **{name: t / took["one sum"] for name, t in ratios.items()}}


def steady(first: int, last: int, repeats: int) -> float:
    """Rate of the means at one length over that at another, taking turns: neither is in the caches."""
    made = {seconds: (words(seconds), streams(seconds)) for seconds in (first, last)}
    tasks: dict[str, Callable[[], Any]] = {}
    for seconds, (left, rights) in made.items():
        tasks[str(seconds)] = lambda left=left, rights=rights: [join(left, right) for right in rights]  # type: ignore[misc]
    took = medians(tasks, repeats)
    return took[str(first)] / len(made[first][0]) / (took[str(last)] / len(made[last][0]))


def table(rows: dict[int, dict[str, float]], title: str) -> None:
    shown = Table(title=title)
    for name in ("", *map(str, rows)):
        shown.add_column(name, justify="right")
    for name in next(iter(rows.values())):
        shown.add_row(name, *(f"{row[name]:,.2f}" if row[name] < 100 else f"{row[name]:,.0f}" for row in rows.values()))
    Console().print(shown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, nargs="+", default=[60, 1200, 7200])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peak:
        peak(Path(args.peak[0]), int(args.peak[1]), args.peak[2] == "mapped")
        return
    rows = {seconds: timed(seconds, args.repeats) for seconds in args.seconds}
    table(rows, "intervals a second, by seconds of video")
    last = rows[args.seconds[-1]]
    ways = {seconds: approaches(seconds, args.repeats) for seconds in args.seconds}
    table(ways, "one stream of 100 Hz x 74: time over that of one numpy sum, by seconds of video")
    memories = memory([*args.seconds, 2 * args.seconds[-1]])
    print("MB by which memory grows: " + json.dumps(memories))
    long = f"{args.seconds[-1]} s"
    goals = [target(f"intervals a second, mean, {s} s", row["mean"], ">=", 100_000) for s, row in rows.items()]
    goals += [
        target(f"intervals a second, slowest other method, {long}", min(last[how] for how in METHODS), ">=", 100_000),
        target(
            f"rate at {long} over rate at {args.seconds[0]} s, mean",
            steady(args.seconds[0], args.seconds[-1], args.repeats),
            ">=",
            0.9,
        ),
        *(
            target(f"time of the means over that of one numpy sum, {s} s", row["mean / one sum"], "<=", 4)
            for s, row in rows.items()
        ),
        target(f"times as fast as the naive scan, {long}", last["mean"] / last["naive scan"], ">=", 100),
        *(
            target(f"memory at twice {long} over that at {long}, {how}", _twice(grown), "<=", 1.25)
            for how, grown in memories.items()
        ),
        target("error of float32 sums over up to an hour, in 2^-24 of the values", worst_error(3600) * 2**24, "<=", 63),
    ]
    finish(goals, rates=rows, approaches=ways, memory_mb=memories, load=os.getloadavg()[0])


def _twice(grown: dict[int, float]) -> float:
    *_, once, twice = grown.values()
    return twice / once


if __name__ == "__main__":
    main()
