"""A corpus: recordings on disk, as a JSON Lines manifest with relative paths; lazy."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import overload

import numpy as np
from pydantic import ValidationError

from plait.core.errors import DataError, PlaitError, raise_all
from plait.core.names import Names
from plait.core.safe_yaml import brief
from plait.corpus.manifest import (
    AnnotationEntry,
    Label,
    RecordingEntry,
    StreamEntry,
    problems_of,
    read_manifest,
    write_manifest,
)
from plait.readers import open_streams
from plait.streams.clock import Clock, Grid, Ticks, ends_of
from plait.streams.crops import cropped
from plait.streams.objects import objects_of
from plait.streams.recording import Annotation, Recording
from plait.streams.stream import Stream
from plait.streams.warp import Warped

__all__ = ["AnnotationEntry", "Corpus", "CorpusWriter", "RecordingEntry", "StreamEntry", "write_manifest"]


class _Streams(Mapping[str, Stream]):
    """The streams of one manifest line; a file is opened when one of its streams is asked for."""

    def __init__(self, corpus: Corpus, number: int, entry: RecordingEntry) -> None:
        self._corpus, self._number, self._entry = corpus, number, entry
        self._open: dict[str, Stream] = {}

    def __getitem__(self, name: str) -> Stream:
        if name not in self._open:
            self._open[name] = self._corpus.open_entry(self._entry.streams[name], f":{self._number} {name!r}")
        return self._open[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entry.streams  # without it, Mapping would open the file to find out

    def __iter__(self) -> Iterator[str]:
        return iter(self._entry.streams)

    def __len__(self) -> int:
        return len(self._entry.streams)


class Corpus(Sequence[Recording]):
    """Recordings of a manifest. Opening reads the manifest only; media are opened when asked for.

    Args:
        manifest: the JSON Lines file; paths in it are relative to its folder.
        allow_outside: whether a path may leave that folder.

    Raises:
        DataError: no such file, or its problems, all in one go.
    """

    def __init__(self, manifest: str | Path, *, allow_outside: bool = False) -> None:
        self.path = Path(manifest)
        self.folder = self.path.parent
        self.allow_outside = allow_outside
        self._lines, problems = read_manifest(self.path)
        raise_all(DataError, problems)
        self._index = {entry.id: i for i, (_, entry) in enumerate(self._lines)}

    def with_tiers(self, tiers: Mapping[str, bool]) -> Corpus:
        """The same recordings, with annotation tiers as further streams of words.

        Args:
            tiers: by name; True: texts are numbered, the n-th of a recording (in order of time, from 0) from second n
                to n + 1, so that texts of the same interval can be told apart; False: they keep their own times.
        """
        if not tiers:
            return self
        found = copy(self)
        found.__dict__.pop("entries", None)
        found._lines = [(number, _with_tiers(entry, tiers)) for number, entry in self._lines]
        return found

    def with_boxes(self, crops: Mapping[str, tuple[str, str]]) -> Corpus:
        """The same recordings, with what pictures show within boxes of objects as further streams, a row per object.

        Args:
            crops: by name of the new stream the stream of pictures and that of objects (`plait.streams.objects`). A
                recording that lacks one of them does not get it.

        Raises:
            DataError: streams of objects that hold something else, all in one go.
        """
        if not crops:
            return self
        found, problems = copy(self), list[str]()
        found.__dict__.pop("entries", None)
        found._lines = []
        for number, entry in self._lines:
            try:
                found._lines.append((number, _with_boxes(entry, crops, _Streams(self, number, entry))))
            except DataError as error:
                problems += error.at(f"{self.path.name}:{number} {entry.id!r}")
        raise_all(DataError, problems)
        return found

    def only(self, ids: Collection[str]) -> Corpus:
        """The same corpus with some of its recordings: no file of the others is ever opened.

        Raises:
            DataError: there is no such recording.
        """
        for strange in set(ids) - self._index.keys():
            self.entry(strange)
        found = copy(self)
        found.__dict__.pop("entries", None)
        found._lines = [line for line in self._lines if line[1].id in set(ids)]
        found._index = {entry.id: i for i, (_, entry) in enumerate(found._lines)}
        return found

    @cached_property
    def entries(self) -> list[RecordingEntry]:
        """The manifest's lines, as data."""
        return [entry for _, entry in self._lines]

    def entry(self, id: str) -> RecordingEntry:
        """The manifest's line of one recording.

        Raises:
            DataError: there is no such recording.
        """
        if id not in self._index:
            raise DataError(f"{self.path.name}: there is no recording {id!r}.")
        return self._lines[self._index[id]][1]

    @property
    def ids(self) -> list[str]:
        return list(self._index)

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, key: int | str) -> Recording: ...

    @overload
    def __getitem__(self, key: slice) -> list[Recording]: ...

    def __getitem__(self, key: int | str | slice) -> Recording | list[Recording]:
        """A recording by position or by id; a list of them by slice."""
        if isinstance(key, slice):
            return [self[i] for i in range(*key.indices(len(self)))]
        if isinstance(key, str):
            if key not in self._index:
                raise DataError(f"{self.path.name}: there is no recording {key!r}.")
            key = self._index[key]
        number, entry = self._lines[key]
        return Recording(
            id=entry.id,
            streams=_Streams(self, number, entry),
            labels=entry.labels,
            annotations=tuple(Annotation(**a.model_dump()) for a in entry.annotations),
            meta=entry.meta,
            group=entry.group or entry.id,
            split=entry.split,
        )

    def __iter__(self) -> Iterator[Recording]:
        return (self[i] for i in range(len(self)))

    def beside(self, out: str | Path) -> Path:
        """Where another manifest of the same files is to be written.

        Raises:
            DataError: it is in another folder.
        """
        target = Path(out)
        if target.parent.resolve() != self.folder.resolve():
            raise DataError(
                f"{target}: the paths in {self.path.name} are relative to its folder. "
                f"Write the new manifest beside it, in {self.folder}."
            )
        return target

    @cached_property
    def _root(self) -> Path:
        return self.folder.resolve()

    def resolve(self, path: str, place: str) -> Path:
        """A manifest path as a file path, kept inside the corpus folder unless allowed otherwise."""
        try:
            # resolve() follows links, so that a link inside that points outside is found out.
            full, folder = (self.folder / path).resolve(), self._root
        except (OSError, ValueError, RuntimeError) as error:  # a circle of links, NUL, a name too long
            raise DataError(
                f"{self.path.name}{place}: path {brief(path)} leads nowhere ({brief(error)}). Correct it."
            ) from error
        if not self.allow_outside and not full.is_relative_to(folder):
            raise DataError(
                f"{self.path.name}{place}: path {brief(path)} leaves the corpus folder. "
                "Move the file inside, or allow it with --allow-outside."
            )
        return full

    def open_entry(self, entry: StreamEntry, place: str) -> Stream:
        """Open one stream of the manifest and put it on the recording's time line.

        Raises:
            DataError: naming manifest, line and stream in front of what is wrong.
        """
        where = f"{self.path.name}{place}"
        try:
            stream = self._inline(entry) if entry.path is None else self._from_file(entry, place)
            stream = stream.on(_own_clock(entry, stream.clock))
            if entry.boxes is not None:
                stream = cropped(stream, entry.boxes)
            return stream.on(entry.correct(stream.clock))
        except PlaitError as error:
            # Readers do not know the manifest: what they say gets its line and stream in front.
            raise DataError(error.at(where)) from error
        except OSError as error:
            file = brief(entry.path or "", 300)
            raise DataError(f"{where}: {file}: cannot be read ({error.strerror or error}).") from error

    def _inline(self, entry: StreamEntry) -> Stream:
        if entry.texts is None:
            raise DataError("has neither a path nor texts. Give one of them.")
        spans = entry.spans or [(0.0, 0.0)] * len(entry.texts)
        starts, stops = [a for a, _ in spans], [b for _, b in spans]
        # As objects: NumPy would give every text the width of the longest.
        return Stream.of(np.array(entry.texts, dtype=object), spans=(starts, stops), kind="words")

    def _from_file(self, entry: StreamEntry, place: str) -> Stream:
        path = self.resolve(entry.path or "", place)
        found = open_streams(path, entry.reader, entry.options)
        part = entry.part
        if part is None and len(found) == 1:
            (stream,) = found.values()
            return stream
        if part not in found:
            raise DataError(f"{entry.path}: has no part {part!r}. It has: {', '.join(found) or 'none'}.")
        return found[part]


def _with_tiers(entry: RecordingEntry, tiers: Mapping[str, bool]) -> RecordingEntry:
    streams = dict(entry.streams)
    for tier, numbered in tiers.items():
        # in the order of `Recording.tier`
        said = sorted((a for a in entry.annotations if a.tier == tier), key=lambda a: (a.start, a.stop))
        if said:
            spans = [(float(n), n + 1.0) if numbered else (a.start, a.stop) for n, a in enumerate(said)]
            streams[tier] = StreamEntry(texts=[str(a.label) for a in said], spans=spans)
    return entry.model_copy(update={"streams": streams})


def _with_boxes(
    entry: RecordingEntry, crops: Mapping[str, tuple[str, str]], opened: Mapping[str, Stream]
) -> RecordingEntry:
    streams = dict(entry.streams)
    for name, (pictures, objects) in crops.items():
        if pictures in opened and objects in opened:
            own, known = entry.streams[pictures], objects_of(opened[objects])
            starts, stops = ends_of(opened[objects].clock)
            corners = np.concatenate([known.boxes[:, :2], known.boxes[:, 2:] - known.boxes[:, :2]], 1).tolist()
            boxes = [(own.back(a), own.back(b), *box) for a, b, box in zip(starts.tolist(), stops.tolist(), corners)]
            streams[name] = own.model_copy(update={"boxes": boxes})
    return entry.model_copy(update={"streams": streams})


def _clock(entry: StreamEntry, clock: Clock) -> Clock:
    return entry.correct(_own_clock(entry, clock))


def _own_clock(entry: StreamEntry, clock: Clock) -> Clock:
    """The clock of a file as the manifest has it, not corrected."""
    if entry.duration is not None:
        # Normalised time: n observations are spread evenly over the duration, whatever their own clock.
        clock = Grid(0, len(clock) / entry.duration, len(clock)) if len(clock) else clock
    elif entry.rate is not None:
        clock = Grid(0, entry.rate, len(clock))
    return clock


class CorpusWriter:
    """Write a corpus from arrays.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> with CorpusWriter(folder) as out:
    ...     out.add("walk01", {"imu": Stream.of(np.zeros((100, 6)), rate=50)}, labels={"gait": "slow"}, group="anna")
    >>> Corpus(f"{folder}/manifest.jsonl")["walk01"].streams["imu"].shape
    (100, 6)
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._entries: list[RecordingEntry] = []
        self._ids = set[str]()
        self._names = Names()

    def add(
        self,
        id: str,
        streams: Mapping[str, Stream],
        *,
        labels: Mapping[str, Label] | None = None,
        annotations: Iterable[Annotation] = (),
        meta: Mapping[str, object] | None = None,
        group: str = "",
        split: str = "",
    ) -> None:
        """Add a recording; its arrays are written at once, the manifest at the end.

        Raises:
            DataError: a recording of this id was added before; a label is neither text nor number, or a time is not
                finite; a stream cannot be written.
        """
        if id in self._ids:
            raise DataError(f"recording {id!r} was added before. Make ids unique.")
        try:
            entry = RecordingEntry(
                id=id,
                labels=dict(labels or {}),
                annotations=[AnnotationEntry(**vars(a)) for a in annotations],
                meta=dict(meta or {}),
                group=group,
                split=split,
            )
        except ValidationError as error:
            raise DataError(problems_of(error, f"recording {brief(id)}")) from error
        entry.streams = {name: self._save((id, name), stream) for name, stream in streams.items()}
        self._entries.append(entry)
        self._ids.add(id)

    def _save(self, name: tuple[str, str], stream: Stream) -> StreamEntry:
        values = stream.read()
        if stream.kind == "words":
            spans = zip(*ends_of(stream.clock))
            return StreamEntry(texts=[str(v) for v in values], spans=[(float(a), float(b)) for a, b in spans])
        file = self._names.of(*name)
        relative = f"arrays/{file}.npy"
        target = self.folder / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        np.save(target, values, allow_pickle=False)
        # Written down, not guessed again on reading: [n, 2, 3] may be a pose or a series.
        options: dict[str, object] = {"kind": stream.kind}
        clock: Clock = stream.clock
        warp = list(clock.warp.points) if isinstance(clock, Warped) else None
        clock = clock.base if isinstance(clock, Warped) else clock
        if isinstance(clock, Grid):
            return StreamEntry(path=relative, options=options, rate=str(clock.rate), offset=clock.start, warp=warp)
        if not isinstance(clock, Ticks):
            raise DataError(f"{name[0]!r} {name[1]!r}: numbers on spans cannot be written yet. Give rate= or times=.")
        # Beside the array, where its reader looks; never in it, as NumPy files hold a single array.
        times_file = self._names.of(*name, "times") + ".npy"
        np.save(target.with_name(times_file), stream.clock.times, allow_pickle=False)
        return StreamEntry(path=relative, options={**options, "times": times_file})

    def __enter__(self) -> CorpusWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            write_manifest(self.folder / "manifest.jsonl", self._entries)
