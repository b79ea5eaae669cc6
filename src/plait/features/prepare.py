"""Prepare: every recording's streams to features, each computed once and kept; interrupting loses nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait.errors import ConfigError, DataError, PlaitError
from plait.features import default_feature
from plait.features.jobs import Change, Job, Progress, compute, job_of, placed, run
from plait.features.stepped import build_feature, full_feature
from plait.features.store import Store
from plait.parts import Spec
from plait.steps import apply_steps
from plait.streams.clock import Clock
from plait.streams.corpus import Corpus

__all__ = ["Prepared", "features_of", "prepare", "resolve_features"]


@dataclass
class Prepared:
    """The features of a corpus, by recording and stream.

    Attributes:
        store: where they are kept.
        specs: of each stream, the feature's name and all its options.
        computed, cached: how many items were made now, and how many were there.
        absent: of each stream, how many recordings do not have it.
        problems: what could not be prepared (with ``keep_going``; the streams count as missing).
        notes: of each stream, what its feature dropped, filled or could not match, summed over recordings.
    """

    store: Store
    specs: dict[str, dict[str, Any]]
    computed: int = 0
    cached: int = 0
    absent: dict[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    notes: dict[str, dict[str, int]] = field(default_factory=dict)
    _jobs: dict[tuple[str, str], Job] = field(default_factory=dict)

    def has(self, recording: str, stream: str) -> bool:
        """Whether the recording has the stream (and it could be prepared)."""
        return (recording, stream) in self._jobs

    def get(self, recording: str, stream: str) -> tuple[NDArray[np.float32], Clock] | None:
        """Features [n, dim], read-only, and their clock in recording seconds; None for a missing stream.

        The manifest's correction of the clock is put on here, so that a new one costs nothing.

        Raises:
            DataError: the kept file has gone or been damaged since it was prepared.
        """
        job = self._jobs.get((recording, stream))
        if job is None:
            return None
        found = self.store.get(job.key)
        if found is None:
            raise DataError(
                f"{self.store.path_of(job.key)}: features of {recording!r} {stream!r} have gone. Prepare again."
            )
        values, clock = found
        return values, job.entry.correct(clock)

    def dim(self, stream: str) -> int | None:
        """Width of a stream's features; None where no recording has it.

        Raises:
            DataError: recordings differ in it.
        """
        widths: dict[int, str] = {}
        for recording, name in self._jobs:
            found = self.get(recording, name) if name == stream else None
            if found is not None:
                widths.setdefault(found[0].shape[1], recording)
        if len(widths) > 1:
            listed = ", ".join(f"{width} in {recording!r}" for width, recording in sorted(widths.items()))
            raise DataError(
                f"stream {stream!r}: features differ in width: {listed}. Its channels must be the same in "
                "every recording; choose them by the reader's options."
            )
        return next(iter(widths), None)

    def report(self) -> dict[str, Any]:
        """What was done, for people and for JSON."""
        return {
            "computed": self.computed,
            "cached": self.cached,
            "absent": self.absent,
            "notes": self.notes,
            "problems": list(self.problems),
        }


def resolve_features(corpus: Corpus, streams: Mapping[str, Spec | None]) -> dict[str, dict[str, Any]]:
    """Specs with all defaults; None becomes the default of the stream's kind, seen in the first that opens.

    Raises:
        ConfigError: a spec names no feature, or an option that it does not have.
        DataError: no recording has the stream, or none of its files opens.
    """
    problems: list[str] = []
    out: dict[str, dict[str, Any]] = {}
    for name, spec in streams.items():
        try:
            where = f"streams.{name}.feature"
            out[name] = full_feature(_named(corpus, name, spec, where), where)
            build_feature(out[name], where)
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(problems)
    return out


def _named(corpus: Corpus, name: str, spec: Spec | None, where: str) -> Spec:
    """The spec, with the default feature for what the steps give where it names none."""
    if isinstance(spec, str) or (spec is not None and "name" in spec):
        return spec
    own = dict(spec or {})
    steps = own.get("steps") or []
    return {"name": default_feature(_kind_of(corpus, name, steps, where)), **own}


def _kind_of(corpus: Corpus, name: str, steps: Sequence[Spec], where: str) -> str:
    problems: list[str] = []
    for recording in corpus:
        if name in recording.streams:
            try:
                return apply_steps(recording.streams[name], steps, f"{where}.steps").kind
            except PlaitError as error:
                problems += error.problems
    known = sorted({s for entry in corpus.entries for s in entry.streams})
    raise DataError(problems or f"no recording has the stream {name!r}. There is: {', '.join(known) or 'nothing'}.")


def prepare(
    corpus: Corpus,
    streams: Mapping[str, Spec | None],
    store: Store,
    *,
    recordings: Collection[str] | None = None,
    progress: Progress | None = None,
    jobs: int = 1,
    keep_going: bool = False,
) -> Prepared:
    """Compute the features that are not in the store yet, in the manifest's order.

    Each is kept as soon as it is done, so that interrupting costs what is under way only. Features are
    computed on the file's own clock; `Prepared.get` puts the manifest's correction on.

    Args:
        corpus: the recordings.
        streams: the streams wanted, and for each its feature (None: the default of its kind).
        store: where features are kept.
        recordings: ids of those wanted (None: all).
        progress: called after each item.
        jobs: processes; the result is the same to the byte.
        keep_going: put what cannot be prepared into `Prepared.problems` rather than raise.

    Raises:
        DataError: what could not be prepared, all in one go, after everything else was made and kept.
    """
    prepared = Prepared(store, resolve_features(corpus, streams))
    try:
        wanted, problems = _plan(corpus, prepared, recordings)
    finally:
        store.flush()
    todo: dict[str, Job] = {}
    for job in wanted:
        if not store.has(job.key):
            todo.setdefault(job.key, job)
    failed: set[str] = set()
    for job, bad in run(list(todo.values()), corpus, store, jobs, progress):
        problems += bad
        failed.update([job.key] if bad else [])
        prepared.computed += not bad
    prepared._jobs = {(job.recording, job.stream): job for job in wanted if job.key not in failed}
    prepared.cached = len(prepared._jobs) - prepared.computed
    prepared.problems, prepared.notes = tuple(problems), _notes(prepared)
    if problems and not keep_going:
        kept = f"The other {len(prepared._jobs)} items are prepared and kept."
        raise DataError([*problems, f"{kept} Mend these, or let them count as missing with --keep-going."])
    return prepared


def _plan(corpus: Corpus, prepared: Prepared, recordings: Collection[str] | None) -> tuple[list[Job], list[str]]:
    """What is wanted, in order, and what cannot even be found; missing streams are counted."""
    wanted: list[Job] = []
    problems: list[str] = []
    for entry in corpus.entries:
        if recordings is not None and entry.id not in recordings:
            continue
        for name, spec in prepared.specs.items():
            if name not in entry.streams:
                prepared.absent[name] = prepared.absent.get(name, 0) + 1
                continue
            try:
                wanted.append(job_of(corpus, entry, name, spec, prepared.store))
            except DataError as error:
                problems += placed(corpus, f" {entry.id!r} {name!r}", error)
    return wanted, problems


def features_of(
    corpus: Corpus,
    recording: str,
    stream: str,
    spec: Spec,
    store: Store,
    *,
    change: Change | None = None,
    tag: Mapping[str, Any] | None = None,
) -> tuple[NDArray[np.float32], Clock] | None:
    """Features of one stream, computed or from the store; None where the recording does not have it.

    Args:
        change: what is done to the raw stream, on its file's own clock, before the feature (noise mixed in).
        tag: all that decides the change (kind, level, seed, which other recordings), as JSON; it goes into
            the key, so that two changes with one tag are taken for the same.

    Raises:
        DataError: the stream cannot be read.
        ConfigError: a change without a tag.
    """
    if change is not None and not tag:
        raise ConfigError("features_of: a change needs a tag that tells it from others in the store.")
    entry = corpus.entry(recording)
    if stream not in entry.streams:
        return None
    full = full_feature(spec, f"streams.{stream}.feature")
    job = job_of(corpus, entry, stream, full, store, tag=tag)
    store.flush()
    if not store.has(job.key):
        problems = compute(job, corpus, store, change)
        if problems:
            raise DataError(problems)
    return Prepared(store, {stream: full}, _jobs={(recording, stream): job}).get(recording, stream)


def _notes(prepared: Prepared) -> dict[str, dict[str, int]]:
    total: dict[str, Counter[str]] = {}
    for (_, stream), job in prepared._jobs.items():
        total.setdefault(stream, Counter()).update(prepared.store.meta(job.key).get("notes", {}))
    return {stream: dict(counts) for stream, counts in total.items() if counts}
