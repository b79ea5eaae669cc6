"""One item to prepare: its key, its computing, and the processes that share the work."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from plait.errors import DataError, PlaitError
from plait.features.stepped import build_feature, identity
from plait.features.store import Store, key_of
from plait.streams.corpus import Corpus, RecordingEntry, StreamEntry
from plait.streams.stream import Stream

__all__ = ["Change", "Job", "Progress", "compute", "job_of", "placed", "run"]

Progress = Callable[[int, int, str], None]
"""Called with how many items are done, how many there are, and which was the last."""

Results = Generator[tuple["Job", list[str]], None, None]

Change = Callable[[Stream], Stream]
"""What is done to a raw stream before its features are taken (noise, say)."""


@dataclass(frozen=True)
class Job:
    """One stream of one recording: what to read, by what, and under which key to keep it."""

    recording: str
    stream: str
    entry: StreamEntry
    spec: dict[str, Any]
    place: str
    key: str


def neutral(entry: StreamEntry) -> StreamEntry:
    """The stream on its file's own clock."""
    return entry.model_copy(update={"offset": 0.0, "drift_ppm": 0.0, "origin": 0.0, "warp": None})


def placed(corpus: Corpus, place: str, error: PlaitError) -> list[str]:
    """An error's problems, with manifest, recording and stream in front where they are not there yet."""
    head = f"{corpus.path.name}{place}"
    return [p if p.startswith(head) else f"{head}: {p}" for p in error.problems]


def job_of(
    corpus: Corpus,
    entry: RecordingEntry,
    stream: str,
    spec: dict[str, Any],
    store: Store,
    *,
    tag: Mapping[str, Any] | None = None,
) -> Job:
    """The job for a stream; its key follows the bytes of all files that it depends on, the spec and ``tag``.

    Raises:
        DataError: a file is not there, or leaves the corpus folder.
    """
    place, own = f" {entry.id!r} {stream!r}", entry.streams[stream]
    feature = build_feature(spec, f"streams.{stream}.feature")
    digests = [_digest(corpus, own, place, store), *(store.digest_of(p) for p in feature.files())]
    full = {**spec, **identity(feature)}
    if tag:
        full["changed"] = dict(tag)
    return Job(entry.id, stream, own, spec, place, key_of(own, "".join(digests), full, feature.version))


def _digest(corpus: Corpus, entry: StreamEntry, place: str, store: Store) -> str:
    """Of the stream's file and of those beside it that its options name (a file of times, say)."""
    if entry.path is None:
        return ""
    path = corpus.resolve(entry.path, place)
    named = [path.parent / v for v in entry.options.values() if isinstance(v, str) and v]
    return "".join(store.digest_of(p) for p in [path, *(p for p in named if p.is_file())])


def compute(job: Job, corpus: Corpus, store: Store, change: Change | None = None) -> list[str]:
    """Make and keep one item, of the stream as it is or changed; what is wrong with it, if anything.

    Raises:
        ConfigError, MissingExtra: the feature cannot work at all, whatever the stream.
    """
    try:
        feature = build_feature(job.spec, f"streams.{job.stream}.feature")
        stream = corpus.open_entry(neutral(job.entry), job.place)
        values, clock = feature(stream if change is None else change(stream))
        store.put(job.key, values, clock, {"spec": job.spec, "notes": feature.notes()})
    except DataError as error:
        return placed(corpus, job.place, error)
    except OSError as error:
        return [f"{corpus.path.name}{job.place}: cannot be read or kept ({error}). Check the file and the disk."]
    return []


@cache
def _opened(manifest: str, outside: bool) -> Corpus:
    return Corpus(manifest, allow_outside=outside)


def _begin() -> None:
    """A worker leaves an interrupt to its parent, which then asks for no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _worker(job: Job, manifest: str, outside: bool, folder: str) -> list[str]:
    return compute(job, _opened(manifest, outside), Store(folder))


def run(
    todo: list[Job], corpus: Corpus, store: Store, jobs: int, progress: Progress | None
) -> Iterator[tuple[Job, list[str]]]:
    """Each job and its problems, in order, as they are done."""
    results = _here(todo, corpus, store) if jobs <= 1 or len(todo) < 2 else _there(todo, corpus, store, jobs)
    with closing(results):  # an interrupt in here must end the processes now, not when it is collected
        for done, (job, bad) in enumerate(results, 1):
            if progress:
                progress(done, len(todo), f"{job.recording} {job.stream}")
            yield job, bad


def _here(todo: list[Job], corpus: Corpus, store: Store) -> Results:
    for job in todo:
        yield job, compute(job, corpus, store)


def _there(todo: list[Job], corpus: Corpus, store: Store, jobs: int) -> Results:
    where = (str(Path(corpus.path).resolve()), corpus.allow_outside, str(store.folder.resolve()))
    pool = ProcessPoolExecutor(jobs, get_context("spawn"), _begin)
    try:
        futures: list[Future[list[str]]] = [pool.submit(_worker, job, *where) for job in todo]
        for job, future in zip(todo, futures):
            try:
                bad = future.result()
            except BrokenProcessPool as error:
                raise DataError(
                    f"{corpus.path.name}{job.place}: a process died while it was prepared, perhaps for want "
                    "of memory. What was done is kept; go on with fewer jobs."
                ) from error
            yield job, bad
    finally:
        pool.shutdown(cancel_futures=True)
