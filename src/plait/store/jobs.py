"""Items to prepare: their keys and their computation, one by one or many at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from plait.core.errors import DataError
from plait.core.jobs.outcomes import Died, Failed
from plait.core.jobs.work import each
from plait.core.progress import Progress
from plait.corpus.corpus import Corpus, RecordingEntry, StreamEntry
from plait.readers import reader_version
from plait.store.stepped import build_feature, identity
from plait.store.store import Stamp, Store, key_of, stamp_of
from plait.streams.stream import Stream

__all__ = ["Change", "Job", "Making", "compute", "job_of", "run"]

Change = Callable[[Stream], Stream]
"""A change of a raw stream before its features are computed (for example noise)."""


Input = tuple[str, Stamp, str]


@dataclass(frozen=True)
class Job:
    """One stream of one recording: what to read, with which feature, and the key under which to store it.

    ``inputs``: for each file that the item depends on, its path, its stamp and the digest of its bytes.
    """

    recording: str
    stream: str
    entry: StreamEntry
    spec: dict[str, object]
    place: str
    key: str
    inputs: tuple[Input, ...] = ()


@dataclass(frozen=True)
class Making:
    """How a stream's features are made: the same for all recordings.

    Attributes:
        stream: name of the stream.
        spec: the feature's name and all its options, including steps.
        full: the spec and the classes behind it; with ``tag``, also the change of the stream.
        version: version of the feature.
        files: digest of the files that the feature itself reads (for example word vectors).
    """

    stream: str
    spec: dict[str, object]
    full: dict[str, object]
    version: int
    files: str

    @classmethod
    def of(cls, stream: str, spec: dict[str, object], store: Store, tag: Mapping[str, object] | None = None) -> Making:
        """Build the feature once, to learn its version, classes and files.

        Raises:
            ConfigError: there is no such feature. DataError: a file of the feature is missing.
        """
        feature = build_feature(spec, f"streams.{stream}.feature")
        full = {**spec, **identity(feature)}
        if tag:
            full["changed"] = dict(tag)
        return cls(stream, spec, full, feature.version, "".join(store.digest_of(p) for p in feature.files()))


def neutral(entry: StreamEntry) -> StreamEntry:
    """The stream on its file's own clock."""
    # Corrections of the clock are applied when features are read, so that a new one recomputes nothing.
    return entry.model_copy(update={"offset": 0.0, "drift_ppm": 0.0, "origin": 0.0, "warp": None})


def job_of(corpus: Corpus, entry: RecordingEntry, making: Making, store: Store) -> Job:
    """The job for a stream; its key depends on the bytes of all input files and on how the features are made.

    Raises:
        DataError: a file is missing, or outside the corpus folder. ConfigError: there is no such reader.
    """
    place, own = f" {entry.id!r} {making.stream!r}", entry.streams[making.stream]
    inputs = tuple(_inputs(corpus, own, place, store))
    digest = "".join(found for _, _, found in inputs) + making.files
    reader = reader_version(corpus.resolve(own.path, place), own.reader) if own.path else 1
    key = key_of(own, digest, making.full, making.version, reader)
    return Job(entry.id, making.stream, own, making.spec, place, key, inputs)


def _inputs(corpus: Corpus, entry: StreamEntry, place: str, store: Store) -> Iterator[Input]:
    """The stream's file and files beside it that its options name (for example a file of times)."""
    if entry.path is None:
        return
    path = corpus.resolve(entry.path, place)
    named = [path.parent / v for v in entry.options.values() if isinstance(v, str) and v]
    for file in [path, *(p for p in named if p.is_file())]:
        yield str(file), *store.seen(file)


def _changed(job: Job, store: Store) -> list[str]:
    """The files that have changed since the job's key was computed."""
    # Stamps are quick to compare; only a file with a new one is read again.
    looked_at = [(path, digest) for path, stamp, digest in job.inputs if stamp_of(Path(path)) != stamp]
    return [path for path, digest in looked_at if store.digest_of(Path(path)) != digest]


def compute(job: Job, corpus: Corpus, store: Store, change: Change | None = None) -> list[str]:
    """Compute and store one item, of the stream as it is or changed; returns its problems.

    Raises:
        ConfigError, MissingExtra: the feature cannot work at all, whatever the stream.
    """
    where = f"{corpus.path.name}{job.place}"
    try:
        feature = build_feature(job.spec, f"streams.{job.stream}.feature")
        stream = corpus.open_entry(neutral(job.entry), job.place)
        values, clock = feature(stream if change is None else change(stream))
        if changed := _changed(job, store):
            # Checked after the computation: else features of new bytes would be stored under the old key.
            raise DataError(f"{changed[0]}: changed while its features were made. Prepare again when it is whole.")
        store.put(job.key, values, clock, {"spec": job.spec, "notes": feature.notes()})
    except DataError as error:
        return error.at(where)
    except OSError as error:
        return [f"{where}: cannot be read or stored ({error}). Check the file and the disk."]
    except MemoryError:
        return [
            f"{where}: needs more memory than there is. Use fewer processes, or cut the recording into shorter ones."
        ]
    return []


def run(
    todo: Sequence[Job], corpus: Corpus, store: Store, jobs: int, cluster: str | None, progress: Progress | None
) -> Iterator[tuple[Job, list[str]]]:
    """Each job and its problems, in the order in which they finish.

    Raises:
        ConfigError, MissingExtra: a feature cannot work at all; processes cannot start; there is no such cluster.
    """
    manifest, folder = corpus.path.resolve(), store.folder.resolve()
    work = partial(_compute_in, manifest, corpus.allow_outside, folder)
    if jobs <= 1 and cluster is None:
        # In this process the open corpus and store are used, not opened again.
        work = partial(compute, corpus=corpus, store=store)
    # Closed explicitly, so that an interrupt ends the processes now, not at garbage collection.
    with closing(each(work, todo, jobs=jobs, cluster=cluster, shared=[manifest, folder])) as outcomes:
        for done, (job, outcome) in enumerate(outcomes, 1):
            if progress:
                progress(done, len(todo), f"{job.recording} {job.stream}")
            yield job, _problems(job, outcome, manifest.name)


def _problems(job: Job, outcome: list[str] | Died | Failed, manifest: str) -> list[str]:
    if isinstance(outcome, Failed):
        raise outcome.error()
    if isinstance(outcome, Died):
        return [f"{manifest}{job.place}: {outcome}: cut the recording into shorter ones, or use a larger machine."]
    return outcome


def _compute_in(manifest: Path, outside: bool, store: Path, job: Job) -> list[str]:
    """`compute` in another process."""
    return compute(job, _opened(manifest, outside), Store(store))


# Once per process: reading a manifest of thousands of lines for each job would cost more than many features.
@cache
def _opened(manifest: Path, outside: bool) -> Corpus:
    return Corpus(manifest, allow_outside=outside)
