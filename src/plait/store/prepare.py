"""Prepare: features of every recording's streams, each computed once and stored; an interruption loses nothing."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait.core.atomic import sweep
from plait.core.errors import ConfigError, DataError, PlaitError
from plait.core.jobs.threads import one_thread
from plait.core.parts import Spec
from plait.core.progress import Progress
from plait.corpus.corpus import Corpus
from plait.features import default_feature
from plait.store.jobs import Change, Job, Making, compute, job_of, run
from plait.store.pack import Pack, open_pack, write_pack
from plait.store.stepped import build_feature, full_feature
from plait.store.store import Store
from plait.streams.clock import Clock
from plait.transforms import apply_steps

__all__ = ["Prepared", "features_of", "prepare", "prepare_all", "resolve_features"]

log = logging.getLogger("plait")

LARGE = 1 << 20
"""Mean bytes per item from which a stream is not packed, because single files are as fast."""


@dataclass
class Prepared:
    """The features of a corpus, by recording and stream.

    Attributes:
        store: where the features are stored.
        specs: by stream, the feature's name and all its options.
        computed, cached: number of items computed now, and of items that already existed.
        absent: by stream, the number of recordings without it.
        problems: what could not be prepared (with ``keep_going``; these streams count as missing).
        notes: by stream, counts of what its feature dropped, filled or could not match, summed over recordings.
        packs: by stream, the pack from which its features are read, if there is one.
    """

    store: Store
    specs: dict[str, dict[str, object]]
    computed: int = 0
    cached: int = 0
    absent: dict[str, int] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    notes: dict[str, dict[str, int]] = field(default_factory=dict)
    packs: dict[str, Pack] = field(default_factory=dict)
    _jobs: dict[tuple[str, str], Job] = field(default_factory=dict)
    _places: dict[str, Path] = field(default_factory=dict)

    def has(self, recording: str, stream: str) -> bool:
        """Whether the recording has the stream and it could be prepared."""
        return (recording, stream) in self._jobs

    def get(self, recording: str, stream: str) -> tuple[NDArray[np.float32], Clock] | None:
        """Features [n, dim], read-only, and their clock in recording seconds; None for a missing stream.

        The manifest's correction of the clock is applied here, so that a new correction costs nothing.

        Raises:
            DataError: the stored file was deleted or damaged since it was prepared.
        """
        job = self._jobs.get((recording, stream))
        if job is None:
            return None
        pack = self.packs.get(stream)
        found = self.store.get(job.key) if pack is None else pack.get(job.key)
        if found is None:
            raise DataError(
                f"{self.store.path_of(job.key)}: features of {recording!r} {stream!r} are gone. Prepare again."
            )
        values, clock = found
        return values, job.entry.correct(clock)

    def dim(self, stream: str) -> int | None:
        """Width of a stream's features; None if no recording has the stream.

        Raises:
            DataError: the width differs between recordings.
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

    def pack(self) -> Prepared:
        """Copy each stream's features into one file (`plait.store.pack`), from which they are read from now on.

        A pack is a copy of the store: it is rebuilt when items have changed, several processes may write it at once,
        and it may be deleted. Streams of large items (1 MiB or more) are not packed, nor are, with a warning, streams
        whose items differ in width or for which the disk has no room.
        """
        self._open_packs()  # another plan may just have written one
        for stream, place in self._places.items():
            keys = self._keys(stream)
            if keys and stream not in self.packs and self._bytes(keys) < LARGE * len(keys):
                try:
                    write_pack(place, keys, self.store)
                except (DataError, OSError) as error:
                    log.warning("stream %r is not packed, which is slower but no worse (%s)", stream, error)
        self._open_packs()
        return self

    def _missing(self) -> list[Job]:
        """The jobs whose items are neither in a pack nor in the store."""
        return [j for (_, s), j in self._jobs.items() if s not in self.packs and not self.store.has(j.key)]

    def _keys(self, stream: str) -> list[str]:
        return list(dict.fromkeys(job.key for (_, name), job in self._jobs.items() if name == stream))

    def _bytes(self, keys: Iterable[str]) -> int:
        return sum(path.stat().st_size for path in map(self.store.path_of, keys) if path.exists())

    def _open_packs(self) -> None:
        for stream, place in self._places.items():
            pack = self.packs.get(stream) or open_pack(place)
            if pack is not None and pack.covers(self._keys(stream)):
                self.packs[stream] = pack

    def report(self) -> dict[str, Any]:
        """What was done, for JSON."""
        return {
            "computed": self.computed,
            "cached": self.cached,
            "absent": self.absent,
            "notes": self.notes,
            "problems": list(self.problems),
            "packed_bytes": {stream: pack.nbytes for stream, pack in self.packs.items()},
        }


def resolve_features(corpus: Corpus, streams: Mapping[str, Spec | None]) -> dict[str, dict[str, object]]:
    """Specs with all defaults; None becomes the default of the stream's kind, taken from the first that opens.

    Raises:
        ConfigError: a spec names an unknown feature or option.
        DataError: no recording has the stream, or none of its files opens.
    """
    problems: list[str] = []
    out: dict[str, dict[str, object]] = {}
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
    """The spec; if it names no feature, with the default feature for the steps' output."""
    if isinstance(spec, str) or (spec is not None and "name" in spec):
        return spec
    own = dict(spec or {})
    steps = own.get("preprocess") or []
    return {"name": default_feature(_kind_of(corpus, name, steps, where)), **own}


def _kind_of(corpus: Corpus, name: str, steps: Sequence[Spec], where: str) -> str:
    problems: list[str] = []
    for recording in corpus:
        if name in recording.streams:
            try:
                return apply_steps(recording.streams[name], steps, f"{where}.preprocess").kind
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
    cluster: str | None = None,
    keep_going: bool = False,
) -> Prepared:
    """Compute the features that are not in the store yet.

    Each item is stored as soon as it is done, so that an interruption costs only the items in progress. Features are
    computed on the file's own clock; `Prepared.get` applies the manifest's correction.

    Args:
        corpus: the recordings.
        streams: the streams wanted, each with its feature (None: the default of its kind).
        store: the store of features.
        recordings: ids of the recordings wanted (None: all).
        progress: called after each item.
        jobs: number of processes; the result is the same to the byte. With more than one, a process that is killed
            (for example for lack of memory) costs only its item, and only if the item fails again when alone.
        cluster: ``local``, ``auto`` or the address of a Ray cluster that does the work (extra `scale`); the result is
            the same to the byte.
        keep_going: collect problems in `Prepared.problems` instead of raising.

    Raises:
        DataError: all items that could not be prepared, after everything else was computed and stored.
        ConfigError: there is no such feature, or no such cluster. MissingExtra: a package is not installed.
    """
    (prepared,) = prepare_all(
        corpus, [streams], store, recordings=recordings, progress=progress, jobs=jobs, cluster=cluster
    )
    if prepared.problems and not keep_going:
        kept = f"The other {len(prepared._jobs)} items are prepared and kept."
        raise DataError([*prepared.problems, f"{kept} Fix these, or let them count as missing with --keep-going."])
    return prepared


def prepare_all(
    corpus: Corpus,
    plans: Sequence[Mapping[str, Spec | None]],
    store: Store,
    *,
    recordings: Collection[str] | None = None,
    progress: Progress | None = None,
    jobs: int = 1,
    cluster: str | None = None,
) -> list[Prepared]:
    """`prepare` for several sets of features at once, which share the processes. Problems are not raised."""
    found = [Prepared(store, resolve_features(corpus, streams)) for streams in plans]
    try:
        for prepared in found:
            _plan(corpus, prepared, recordings)
    finally:
        # After an error too: reading large files again for their digests is expensive.
        store.flush()
    # By key: recordings that share a file, or plans that share a feature, are computed once.
    todo = {job.key: job for prepared in found for job in prepared._missing()}
    if todo:
        store.folder.mkdir(parents=True, exist_ok=True)
        # Temporary files that killed processes left.
        sweep(*store.places())
    bad = {job.key: problems for job, problems in run(list(todo.values()), corpus, store, jobs, cluster, progress)}
    made = {key for key, problems in bad.items() if not problems}
    for prepared in found:
        _settle(prepared, made, bad)
    return found


def _settle(prepared: Prepared, made: set[str], bad: Mapping[str, list[str]]) -> None:
    """Record the result of each item, in the manifest's order; items computed for one plan are cached for the next."""
    keys = dict.fromkeys(job.key for job in prepared._jobs.values())
    prepared.problems += tuple(problem for key in keys for problem in bad.get(key, []))
    prepared._jobs = {place: job for place, job in prepared._jobs.items() if not bad.get(job.key)}
    prepared.computed = len(made & keys.keys())
    prepared.cached = len(prepared._jobs) - prepared.computed
    prepared.notes = _notes(prepared)
    made.difference_update(keys)


def _plan(corpus: Corpus, prepared: Prepared, recordings: Collection[str] | None) -> None:
    """Plan the jobs, in order, and collect their problems; missing streams are counted, packs opened."""
    problems: list[str] = []
    makings = {name: Making.of(name, spec, prepared.store) for name, spec in prepared.specs.items()}
    folder = prepared.store.packs
    prepared._places = {n: folder / f"{_pack_name(corpus, making)}.safetensors" for n, making in makings.items()}
    for entry in corpus.entries:
        if recordings is not None and entry.id not in recordings:
            continue
        for name, making in makings.items():
            if name not in entry.streams:
                prepared.absent[name] = prepared.absent.get(name, 0) + 1
                continue
            try:
                prepared._jobs[entry.id, name] = job_of(corpus, entry, making, prepared.store)
            except DataError as error:
                problems += error.at(f"{corpus.path.name} {entry.id!r} {name!r}")
    prepared.problems = tuple(problems)
    prepared._open_packs()


def _pack_name(corpus: Corpus, making: Making) -> str:
    """The name of a stream's pack, from the corpus and the feature, so that a new pack replaces the old one."""
    what = [str(corpus.folder.resolve()), making.stream, making.full, making.version]
    return blake2b(json.dumps(what, sort_keys=True, default=str).encode(), digest_size=20).hexdigest()


def features_of(
    corpus: Corpus,
    recording: str,
    stream: str,
    spec: Spec,
    store: Store,
    *,
    change: Change | None = None,
    tag: Mapping[str, object] | None = None,
) -> tuple[NDArray[np.float32], Clock] | None:
    """Features of one stream, computed or from the store; None if the recording lacks the stream.

    Args:
        change: a change of the raw stream, on its file's own clock, before the feature (for example added noise).
        tag: everything that determines the change (kind, level, seed, other recordings), as JSON. It is part of the
            key: two changes with the same tag are taken to be equal.

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
    job = job_of(corpus, entry, Making.of(stream, full, store, tag), store)
    store.flush()
    if not store.has(job.key):
        # A process of `prepare` has one thread too; sums may round differently with more.
        with one_thread():
            problems = compute(job, corpus, store, change)
        if problems:
            raise DataError(problems)
    return Prepared(store, {stream: full}, _jobs={(recording, stream): job}).get(recording, stream)


def _notes(prepared: Prepared) -> dict[str, dict[str, int]]:
    total: dict[str, Counter[str]] = {}
    for (_, stream), job in prepared._jobs.items():
        pack = prepared.packs.get(stream)
        found = prepared.store.meta(job.key).get("notes", {}) if pack is None else pack.notes(job.key)
        total.setdefault(stream, Counter()).update(found)
    return {stream: dict(counts) for stream, counts in total.items() if counts}
