"""Features in one process, two, and on a local Ray cluster; what a killed worker costs: python benchmarks/scale.py

Needs: ray (extra `bench`). Optional: grid_s1 in PLAIT_DATA.
Takes: minutes.

The corpus is GRID where PLAIT_DATA names the folder of real data (mouth video and sound of --recordings sentences),
else a made-up world. Runs alternate; each makes everything anew. Speed-up is wall time against one process, as the
machine was just then: the last row says how much faster two processes that share nothing did twice the work of one.
Processor time, all processes together, says what the sharing itself costs, and so what the speed-up would be at most if
both processors were free.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import needs
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from targets import finish, target

from plait.core.jobs.cluster import connected
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.demo.synth import make_world
from plait.features import Feature
from plait.importing.folder import import_folder
from plait.store.prepare import prepare
from plait.store.store import Store
from plait.streams.clock import Clock
from plait.streams.stream import Stream

WAYS: dict[str, dict[str, Any]] = {
    "one process": {"jobs": 1},
    "two processes": {"jobs": 2},
    "local Ray cluster of two": {"cluster": "local"},
}


class OneDies(Feature):
    """The stream itself; but the process that reads a 3 is killed, each time."""

    kinds = ("series",)

    def dim(self, shape: tuple[int, ...]) -> int:
        return shape[0]

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        values = np.asarray(stream.read(), np.float32)
        if values[0, 0] == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return values, stream.clock


# the corpus ----------------------------------------------------------------------------------------------------------


def real_or_made(folder: Path, recordings: int) -> tuple[Corpus, dict[str, Any]]:
    data = os.environ.get("PLAIT_DATA", "")
    manifest = folder / "manifest.jsonl"
    if data and (Path(data) / "grid_s1").is_dir():
        import_folder(Path(data) / "grid_s1", out=manifest)
        lines = manifest.read_text(encoding="utf-8").splitlines(keepends=True)
        manifest.write_text("".join(lines[:recordings]), encoding="utf-8")
        return Corpus(manifest, allow_outside=True), {"video": {"name": "dct", "deltas": True}, "audio": "log_mel"}
    make_world(folder, recordings=max(2, recordings // 20), seed=0)
    import_folder(folder, out=manifest, overwrite=True)
    return Corpus(manifest), dict.fromkeys(("video", "audio", "imu", "words"))


def everything(folder: Path) -> dict[str, str]:
    """Digest of each file below a folder."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def differing(one: dict[str, str], other: dict[str, str]) -> int:
    """How many files are in one only, or hold other bytes."""
    return sum(one.get(name) != other.get(name) for name in {*one, *other})


# time ----------------------------------------------------------------------------------------------------------------


def processor_seconds() -> float:
    """Of this process and of all that descend from it, those that have ended included."""
    total = sum(os.times()[:4])
    for pid in family(os.getpid()):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return total


# what the machine allows ---------------------------------------------------------------------------------------------


def spin(count: int) -> int:
    return sum(i * i % 7 for i in range(count))


@contextlib.contextmanager
def spinners() -> Iterator[Callable[[], float]]:
    """Measures how many times faster two processes do twice the work of one, right now."""
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(spin, [10, 10])

        def allowed(count: int = 3_000_000) -> float:
            started = time.perf_counter()
            pool.apply(spin, (count,))
            middle = time.perf_counter()
            pool.map(spin, [count, count], chunksize=1)
            return 2 * (middle - started) / (time.perf_counter() - middle)

        yield allowed


# killing -------------------------------------------------------------------------------------------------------------


def family(pid: int) -> list[int]:
    """All that descend from a process."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [p for child in children for p in (int(child), *family(int(child)))]


def busy(way: str) -> list[int]:
    """The processes that now make items."""
    if "Ray" not in way:
        return [p.pid for p in multiprocessing.active_children() if p.pid and p.name.startswith("SpawnProcess")]
    found = []
    for pid in family(os.getpid()):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::_task"):
                found.append(pid)
    return found


def killed_once(way: str, corpus: Corpus, streams: dict[str, Any], folder: Path) -> tuple[int, int, dict[str, str]]:
    """Kill a worker in the middle: how many were killed, items lost, and what is in the store."""
    killed: list[int] = []

    def progress(done: int, total: int, what: str) -> None:
        if not killed and done >= total // 3:
            for pid in busy(way)[:1]:
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    prepared = prepare(corpus, streams, Store(folder), progress=progress, keep_going=True, **WAYS[way])
    prepared.pack()
    return len(killed), len(prepared.problems), everything(folder)


def one_dies(way: str, folder: Path) -> tuple[int, int, str]:
    """One of twelve items kills its worker, again and again: items made, items lost, and what is said of it."""
    with CorpusWriter(folder / "corpus") as out:
        for i in range(12):
            out.add(f"rec{i:02d}", {"x": Stream.of(np.full((5, 2), float(i)), rate=10)})
    corpus = Corpus(folder / "corpus" / "manifest.jsonl")
    prepared = prepare(corpus, {"x": "scale.OneDies"}, Store(folder / "cache"), keep_going=True, **WAYS[way])
    return prepared.computed, len(prepared.problems), " ".join(prepared.problems)


# measuring -----------------------------------------------------------------------------------------------------------


def rounds(corpus: Corpus, streams: dict[str, Any], count: int, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"seconds": {way: [] for way in WAYS}, "processor": {way: [] for way in WAYS}}
    stores: dict[str, dict[str, str]] = {}
    allowed: list[float] = []
    with spinners() as measure:
        for number in range(count):
            for way, options in WAYS.items():
                place = folder / f"{way} {number}"
                wall, busy_before = time.perf_counter(), processor_seconds()
                prepare(corpus, streams, Store(place), **options).pack()
                found["seconds"][way].append(time.perf_counter() - wall)
                found["processor"][way].append(processor_seconds() - busy_before)
                stores[way] = everything(place)
            allowed.append(measure())
    return {**found, "stores": stores, "allowed": allowed}


def spread(values: NDArray[np.float64] | list[float]) -> str:
    return f"{np.median(values):.2f} ({np.min(values):.2f} - {np.max(values):.2f})"


def show(found: dict[str, Any]) -> dict[str, dict[str, float]]:
    first = found["stores"]["one process"]
    table = Table(title=f"{sum(not n.startswith('packs') for n in first) - 1} items, {len(first)} files")
    for name in ("", "seconds", "speed-up", "processor seconds", "at most, if free", "files that differ"):
        table.add_column(name, justify="right" if name else "left")
    figures = {}
    for way, seconds in found["seconds"].items():
        ups, busy_for = np.array(found["seconds"]["one process"]) / seconds, np.array(found["processor"][way])
        most = (1 if way == "one process" else 2) * np.array(found["processor"]["one process"]) / busy_for
        other = str(differing(first, found["stores"][way]))
        table.add_row(way, spread(seconds), spread(ups), spread(busy_for), spread(most), other)
        figures[way] = {"speed_up": np.median(ups), "processor_s": np.median(busy_for), "at_most": np.median(most)}
    table.add_row("(two processes that share nothing)", "", spread(found["allowed"]), "", "", "")
    Console(width=150).print(table)
    return {way: {k: round(float(v), 3) for k, v in row.items()} for way, row in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recordings", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    needs.check(["grid_s1"], ["ray"], fewest=0)
    with tempfile.TemporaryDirectory() as name, connected("local", 2):
        folder = Path(name)
        corpus, streams = real_or_made(folder / "corpus", args.recordings)
        found = rounds(corpus, streams, args.rounds, folder)
        whole = found["stores"]["one process"]
        figures = show(found)
        differ = {way: differing(whole, store) for way, store in found["stores"].items()}
        targets = [target("files that differ from one process's", sum(differ.values()), "==", 0)]
        said = {}
        for way in list(WAYS)[1:]:
            killed, lost, store = killed_once(way, corpus, streams, folder / f"killed {way}")
            targets.append(target(f"{way}: workers killed in the middle", killed, "==", 1))
            targets.append(target(f"{way}: items lost by that", lost, "==", 0))
            targets.append(target(f"{way}: files that differ after it", differing(whole, store), "==", 0))
            made, lost, said[way] = one_dies(way, folder / f"one dies {way}")
            targets.append(target(f"{way}: items lost where one of 12 kills its worker each time", lost, "==", 1))
            targets.append(target(f"{way}: items made beside it", made, "==", 11))
    for way, text in said.items():
        print(f"{way}: {text}")
    finish(targets, ways=figures, allowed=round(float(np.median(found["allowed"])), 3))


if __name__ == "__main__":
    main()
