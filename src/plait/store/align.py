"""A corpus's streams and features on one stream's words, ticks or frames, or on a grid: one table per recording."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from hashlib import blake2b
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from plait.align.join import Coverage, Joining
from plait.core.atomic import sweep, write_text
from plait.core.errors import DataError, PlaitError
from plait.core.jobs.work import in_order
from plait.core.names import Names, quoted_name
from plait.core.progress import Progress
from plait.corpus.corpus import Corpus, RecordingEntry
from plait.store.align_plan import AlignPlan, features_for, receptive_field_of
from plait.store.aligned import Column, Left, kept, write
from plait.store.jobs import Making, job_of
from plait.store.prepare import features_of, prepare
from plait.store.store import Store
from plait.streams.clock import Clock, Grid, Spans
from plait.streams.recording import Recording
from plait.streams.stream import ArraySource, Stream

__all__ = ["AlignPlan", "AlignReport", "align_corpus"]

VERSION = 1
"""Increase it when tables change, so that they are rebuilt."""


@dataclass
class AlignReport:
    """The result of `align_corpus`.

    Attributes:
        out: the folder.
        coverage: by recording and stream.
        written, kept: number of tables made now, and of tables that already existed.
        absent: by stream, the number of recordings without it. Their tables lack its column; a recording without the
            stream that is joined on has no table.
        made_of: by stream, its feature ('' for the raw stream) and the method.
        problems: problems of the recordings without a table.
    """

    out: Path
    coverage: dict[str, dict[str, Coverage]] = field(default_factory=dict)
    written: int = 0
    kept: int = 0
    absent: dict[str, int] = field(default_factory=dict)
    made_of: dict[str, tuple[str, str]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    def total(self) -> dict[str, Coverage]:
        """By stream, the total coverage of all recordings."""
        out: dict[str, Coverage] = {}
        for streams in self.coverage.values():
            for name, coverage in streams.items():
                out[name] = out[name] + coverage if name in out else coverage
        return out

    def to_json(self) -> dict[str, object]:
        return {
            "out": str(self.out),
            "written": self.written,
            "kept": self.kept,
            "absent": self.absent,
            "streams": {name: coverage.describe() for name, coverage in self.total().items()},
            "recordings": {i: {n: c.describe() for n, c in of.items()} for i, of in self.coverage.items()},
            "problems": list(self.problems),
        }

    def lines(self) -> list[str]:
        lines = []
        for name, coverage in self.total().items():
            feature, how = self.made_of[name]
            lines.append(f"{name} ({f'{feature}, ' if feature else ''}{how}): {coverage}")
        of = len(self.coverage)
        lines += [f"{name}: not in {_counted(count, 'recording')}" for name, count in self.absent.items()]
        there = f", {self.kept} of them there already" if self.kept else ""
        return [*lines, f"{_counted(of, 'table')}{there}: {self.out}"]


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


Features = Mapping[str, dict[str, object] | None]
"""By stream its feature with all options, or None for the raw stream."""


class _Work(NamedTuple):
    """Everything that a process needs to make one table."""

    manifest: str
    allow_outside: bool
    store: str
    plan: AlignPlan
    features: dict[str, dict[str, object] | None]
    recording: str
    target: Path
    key: str


def align_corpus(
    corpus: Corpus,
    plan: AlignPlan,
    out: str | Path,
    store: Store,
    *,
    jobs: int = 1,
    progress: Progress | None = None,
) -> AlignReport:
    """Join streams onto another and write one table per recording with its coverage; ``coverage.json`` has all of them.

    A table is written to a temporary file and renamed when complete. A table whose streams, options and clocks have not
    changed is not made again, so an interrupted run continues where it stopped.

    Args:
        corpus: the recordings.
        plan: what to join on what.
        out: the folder for the tables.
        store: the store of features.
        jobs: number of processes; it does not change the tables.
        progress: called after each table.

    Raises:
        ConfigError: no such stream, feature or method, or one that cannot be causal, all at once.
        DataError: recordings that could not be joined, after all others were; or no recording has the stream to join
            on.
    """
    features = features_for(corpus, plan)
    report = AlignReport(Path(out), made_of=_made_of(plan, features))
    report.out.mkdir(parents=True, exist_ok=True)
    # Temporary files that killed processes left.
    sweep(report.out)
    named = {name: spec for name, spec in features.items() if spec}
    if named:
        # A stream that fails costs the table of its recording only, where it is reported.
        prepare(corpus, named, store, jobs=jobs, keep_going=True)
    todo = list(_to_do(corpus, plan, features, store, report))
    store.flush()
    for done, (work, result) in enumerate(zip(todo, in_order(_align_one, todo, jobs)), 1):
        if progress:
            progress(done, len(todo), work.recording)
        if isinstance(result, tuple):
            report.problems += result
        else:
            report.coverage[work.recording] = result
            report.written += 1
    write_text(report.out / "coverage.json", json.dumps(report.to_json(), indent=1, ensure_ascii=False))
    if report.problems:
        rest = f"The other {report.written + report.kept} tables are complete. Fix these, and run it again."
        raise DataError([*dict.fromkeys(report.problems), rest])
    if not report.coverage:
        wanted = repr(plan.on) if plan.on else "a stream"
        raise DataError(
            f"{corpus.path.name}: no recording has {wanted} and something to join on it. Check their names."
        )
    return report


def _made_of(plan: AlignPlan, features: Features) -> dict[str, tuple[str, str]]:
    return {name: (str(spec["name"]) if spec else "", plan.method(name)) for name, spec in features.items()}


def _to_do(corpus: Corpus, plan: AlignPlan, features: Features, store: Store, report: AlignReport) -> Iterator[_Work]:
    """The tables to make; existing tables, missing streams and problems go into the report."""
    absent: Counter[str] = Counter()
    names = Names(quoted_name)
    for recording in corpus:
        entry = corpus.entry(recording.id)
        lacks = [name for name in features if name not in entry.streams]
        here = {name: spec for name, spec in features.items() if name not in lacks}
        if plan.on is not None and plan.on not in entry.streams and plan.on not in recording.tiers:
            lacks.append(plan.on)
        absent.update(lacks)
        if not here or plan.on in lacks:
            continue
        target = report.out / f"{names.of(recording.id)}.{plan.to}"
        try:
            key = _key(corpus, entry, plan, here, store)
        except DataError as error:
            report.problems += _placed(corpus, recording.id, error.problems)
            continue
        known = kept(target, key)
        if known is not None:
            report.coverage[recording.id] = known
            report.kept += 1
            continue
        manifest, folder = str(corpus.path.resolve()), str(store.folder.resolve())
        yield _Work(manifest, corpus.allow_outside, folder, plan, here, recording.id, target, key)
    report.absent = dict(absent)


def _placed(corpus: Corpus, recording: str, problems: Iterable[str]) -> tuple[str, ...]:
    name = corpus.path.name
    return tuple(p if p.startswith(name) else f"{name} {recording!r}: {p}" for p in problems)


@lru_cache(maxsize=1)
def _opened(manifest: str, outside: bool, store: str, stamp: int) -> tuple[Corpus, Store]:
    """A corpus and a store, opened once per process; ``stamp`` distinguishes states of the manifest."""
    return Corpus(manifest, allow_outside=outside), Store(store)


def _align_one(work: _Work) -> dict[str, Coverage] | tuple[str, ...]:
    """Make one table; returns its coverage, or its problems."""
    stamp = Path(work.manifest).stat().st_mtime_ns
    corpus, store = _opened(work.manifest, work.allow_outside, work.store, stamp)
    recording = corpus[work.recording]
    try:
        left = _left(recording, work.plan, work.features)
        columns = [
            _column(corpus, recording, left.clock, work.plan, name, spec, store) for name, spec in work.features.items()
        ]
        return write(work.target, left, columns, work.key)
    except PlaitError as error:
        return _placed(corpus, work.recording, error.problems)
    except OSError as error:
        return _placed(corpus, work.recording, [f"cannot be read or written ({error}). Check the disk."])


def _key(corpus: Corpus, entry: RecordingEntry, plan: AlignPlan, here: Features, store: Store) -> str:
    """The key of a table: it depends on the bytes of its streams, their clocks, features and options."""
    used = {**here, **({plan.on: None} if plan.on in entry.streams else {})}
    keys = {}
    for name, spec in used.items():
        raw = Making(str(name), {}, {"name": "as it is"}, VERSION, "")
        making = Making.of(str(name), spec, store) if spec else raw
        own = entry.streams[str(name)]
        # Keys of features leave the clock's correction out, but a table depends on it.
        keys[name] = [job_of(corpus, entry, making, store).key, own.offset, own.drift_ppm, own.origin, own.warp]
    tier = [a.model_dump() for a in entry.annotations if a.tier == plan.on]
    what = json.dumps([VERSION, asdict(plan), keys, tier], sort_keys=True, default=str)
    return blake2b(what.encode(), digest_size=20).hexdigest()


def _left(recording: Recording, plan: AlignPlan, names: Iterable[str]) -> Left:
    """The left side of the join: a clock, and its words or labels."""
    if plan.rate is not None:
        clocks = [recording.streams[name].clock for name in names]
        clocks = [clock for clock in clocks if len(clock)]
        start = min((clock.start for clock in clocks), default=0.0)
        stop = max((clock.stop for clock in clocks), default=0.0)
        grid = Grid(start, plan.rate, 0)
        # A millionth of a step too much is rounding, not another instant.
        return Left(Grid(start, plan.rate, ceil((stop - start) * grid.rate - 1e-6)))
    name = str(plan.on)
    if name not in recording.streams:
        tier = recording.tier(name)
        spans = Spans([a.start for a in tier], [a.stop for a in tier])
        return Left(spans, "label", [str(a.label) for a in tier])
    stream = recording.streams[name]
    return Left(stream.clock, "text", [str(t) for t in stream.read()]) if stream.kind == "words" else Left(stream.clock)


def _column(
    corpus: Corpus,
    recording: Recording,
    left: Clock,
    plan: AlignPlan,
    name: str,
    spec: dict[str, object] | None,
    store: Store,
) -> Column:
    """One stream's join, not started yet."""
    stream = recording.streams[name]
    if spec is not None:
        found = features_of(corpus, recording.id, name, spec, store)
        values, clock = found if found is not None else (np.zeros((0, 1), np.float32), Grid(0, 1, 0))
        stream = Stream(clock, ArraySource(values), "series", (), stream.where)
    joining = Joining(
        left,
        stream,
        plan.method(name),
        max_gap=plan.max_gap,
        causal=plan.causal,
        at=plan.at,
        receptive_field=receptive_field_of(name, spec),
    )
    return Column(name, joining, {"how": plan.method(name), "feature": spec, "channels": list(stream.channels)})
