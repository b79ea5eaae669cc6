"""Tables of labels: rows that are recordings, annotations or ticks, with their columns named or guessed."""

from __future__ import annotations

import math
import re
import string
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from plait.core.errors import ConfigError, DataError, PlaitError, raise_all
from plait.core.parts import suggest
from plait.corpus.corpus import AnnotationEntry, StreamEntry
from plait.importing.cells import normal_split, read_table, seconds_of, typed
from plait.importing.matching import match_ids
from plait.importing.naming import normal
from plait.importing.options import LabelOptions
from plait.streams.clock import FARTHEST

__all__ = ["Labels", "ids_in", "merge_ticks", "read_labels"]

Label = str | int | float | bool

_GUESSES = {
    "id": ("id", "recording", "clip", "file", "filename", "name", "utt_id", "path", "video", "image", "picture"),
    "start": ("start", "begin", "onset", "start_time", "starttime"),
    "stop": ("stop", "end", "offset", "end_time", "endtime", "stop_time"),
    "split": ("split", "mode", "subset", "partition"),
    "group": ("group", "speaker", "subject", "participant", "person"),
}


@dataclass
class Labels:
    """What a table says, by recording."""

    labels: dict[str, dict[str, Label]] = field(default_factory=lambda: defaultdict(dict))
    annotations: dict[str, list[AnnotationEntry]] = field(default_factory=lambda: defaultdict(list))
    texts: dict[str, dict[str, StreamEntry]] = field(default_factory=lambda: defaultdict(dict))
    groups: dict[str, str] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def ids_in(path: Path, options: LabelOptions) -> set[str]:
    """Ids, or files, of the recordings in a table; none where it cannot be read (`read_labels` reports that)."""
    try:
        columns, lines, _ = _read(path, options)
        return set(_Table(path.name, columns, lines, _columns(path.name, options, columns), options).names())
    except PlaitError:
        return set()


def read_labels(
    path: Path,
    options: LabelOptions,
    known: Collection[str],
    times: Callable[[str], tuple[float, float]] = lambda name: (0.0, 0.0),
) -> Labels:
    """Read a table of labels.

    Args:
        path: a CSV (comma, semicolon or tab) or Parquet file with a header.
        options: which column is what; what is None is guessed from the header.
        known: ids of the recordings. A row with another id is left out and counted, unless text columns
            were named.
        times: when a recording starts and stops, in its seconds; asked with ``several`` only.

    Raises:
        ConfigError: a column that was named is not there.
        DataError: the table cannot be read, or has no column of ids.
    """
    columns, lines, problems = _read(path, options)
    table = _Table(path.name, columns, lines, _columns(path.name, options, columns), options)
    table.found.notes += problems[:20]
    if len(problems) > 20:
        table.found.notes.append(f"{path.name}: {len(problems) - 20} more rows with too few or too many cells.")
    rows = table.rows_by_id(known)
    table.constants(rows)
    if options.several:
        table.several(rows, times)
    elif table.at.time:
        table.ticks(rows)
    elif table.at.start:
        table.annotations(rows)
    else:
        table.recordings(rows)
    return table.found


def _read(path: Path, options: LabelOptions) -> tuple[dict[str, list[str]], list[int], list[str]]:
    """As `read_table`, the columns named as ``rename`` says.

    Raises:
        ConfigError: a column to rename is not there, or has the new name of another.
    """
    columns, lines, problems = read_table(path)
    new = options.rename
    absent = [name for name in new if name not in columns]
    told = [f"{path.name}: import.labels.rename names column {x!r}. {suggest(x, columns)}" for x in absent]
    raise_all(ConfigError, told)
    named = {new.get(name, name): cells for name, cells in columns.items()}
    if len(named) < len(columns):
        raise ConfigError(f"{path.name}: import.labels.rename: two columns get one name ({', '.join(new.values())}).")
    return named, lines, problems


@dataclass(frozen=True)
class _At:
    """Which column is what."""

    id: str
    start: str | None
    stop: str | None
    time: str | None
    split: str | None
    group: str | None
    label: list[str]
    text: list[str]


def _columns(file: str, options: LabelOptions, columns: dict[str, list[str]]) -> _At:
    named = [options.id, options.start, options.stop, options.time, options.split, options.group]
    wanted = [name for name in [*named, *(options.label or []), *options.text] if name is not None]
    absent = [name for name in dict.fromkeys(wanted) if name not in columns]
    raise_all(ConfigError, [f"{file}: import.labels names column {x!r}. {suggest(x, columns)}" for x in absent])
    lower = {name.lower(): name for name in columns}
    taken = set(wanted)

    def pick(what: str, given: str | None) -> str | None:
        free = (lower[g] for g in _GUESSES[what] if g in lower and lower[g] not in taken)
        chosen = given or next(free, None)
        taken.add(chosen or "")
        return chosen

    key = pick("id", options.id)
    if key is None:
        raise DataError(
            f"{file}: no column says which recording a row is about (columns: {', '.join(columns)}). "
            "Name it with import.labels.id."
        )
    split, group = pick("split", options.split), pick("group", options.group)
    start = stop = None
    if options.time is None and (options.start or any(g in lower for g in _GUESSES["start"])):
        start, stop = pick("start", options.start), pick("stop", options.stop)
    if start is None or stop is None:
        # A start without a stop is no interval: its column is a label like the others.
        taken -= {start or "", stop or ""}
        start = stop = None
    label = options.label or [name for name in columns if name not in taken]
    if (start or options.time) and not options.label:
        # Timed tables also hold notes, durations and the like; where columns are called label..., only they are.
        label = [name for name in label if name.lower().startswith("label")] or label
    return _At(key, start, stop, options.time, split, group, label, options.text)


@dataclass
class _Table:
    file: str
    columns: dict[str, list[str]]
    lines: list[int]
    at: _At
    options: LabelOptions
    found: Labels = field(default_factory=Labels)

    def names(self) -> list[str]:
        """The name of each row's recording: the cell of the column with the ids, put into ``id_format`` if given."""
        template, cells = self.options.id_format, [cell.strip() for cell in self.columns[self.at.id]]
        if template is None:
            return cells
        wanted = [name for _, name, _, _ in string.Formatter().parse(template) if name and name in self.columns]
        rows = zip(cells, *(self.columns[name] for name in wanted))
        # Cells repeat: each name is made once.
        made = {row: self._named(template, row[0], dict(zip(wanted, row[1:]))) for row in dict.fromkeys(rows)}
        return [made[row] for row in zip(cells, *(self.columns[name] for name in wanted))]

    def _named(self, template: str, name: str, others: Mapping[str, str]) -> str:
        try:
            return template.format(_whole(name), **{key: _whole(cell.strip()) for key, cell in others.items()})
        except (ValueError, IndexError, KeyError) as error:
            raise ConfigError(
                f"import.labels.id_format: {template!r} does not take {name!r} ({error}). "
                "Write like S{:02d} for numbers, S{} for texts; {COLUMN} for another column."
            ) from error

    def rows_by_id(self, known: Collection[str]) -> dict[str, list[int]]:
        """Row numbers by recording; rows of unknown recordings are counted in the notes."""
        rows: dict[str, list[int]] = defaultdict(list)
        unknown: Counter[str] = Counter()
        names = self.names()
        sure, loose = match_ids(list(dict.fromkeys(names)), known)
        for i, name in enumerate(names):
            id = sure.get(name) or loose.get(name) or (normal(name) if self.at.text else "")
            if id:
                rows[id].append(i)
            else:
                unknown[name] += 1
        self._note_ids(unknown, loose, known)
        return rows

    def _note_ids(self, unknown: Counter[str], loose: Mapping[str, str], known: Collection[str]) -> None:
        if loose:
            name, id = next(iter(loose.items()))
            self.found.notes.append(
                f"{self.file}: {len(loose)} ids are written otherwise than the recordings' and were matched "
                f"nevertheless, such as {name!r} for {id!r}. Write them alike to be sure."
            )
        if unknown:
            some = ", ".join(repr(u) for u in sorted(unknown)[:5])
            like = next(iter(known), "")
            self.found.notes.append(
                f"{self.file}: {unknown.total()} rows of {len(unknown)} ids that are no recording here "
                f"({some}{' ...' * (len(unknown) > 5)}); left out. "
                f"Recordings are named like {like!r}; see import.labels.id and id_format."
            )

    def constants(self, rows: dict[str, list[int]]) -> None:
        """Group and split, one per recording."""
        sides = {cell: normal_split(cell) for cell in set(self.columns.get(self.at.split or "", []))}
        for column, out in ((self.at.group, self.found.groups), (self.at.split, self.found.splits)):
            if column is None:
                continue
            cells = self.columns[column]
            for name, own in rows.items():
                values = list(dict.fromkeys(cells[i].strip() for i in own if cells[i].strip()))
                if len(values) > 1:
                    self.found.notes.append(
                        f"{self.file}:{self.lines[own[0]]} {column!r}: {name!r} has "
                        f"{', '.join(values[:3])}; the first is kept."
                    )
                if values:
                    out[name] = sides[values[0]] if column == self.at.split else values[0]

    def recordings(self, rows: dict[str, list[int]]) -> None:
        """One row per recording: labels, and texts without times."""
        values = {name: typed(self.columns[name]) for name in self.at.label}
        absent: Counter[str] = Counter()
        for name, own in rows.items():
            for column, cells in values.items():
                value = cells[own[0]]
                if value is None or (isinstance(value, float) and not math.isfinite(value)):
                    absent[column] += 1
                else:
                    self.found.labels[name][column] = value
            for column in self.at.text:
                self.found.texts[name][column] = StreamEntry(texts=[self.columns[column][own[0]]])
            if any(cells[i] != cells[own[0]] for cells in values.values() for i in own[1:]):
                at = ", ".join(str(self.lines[i]) for i in own[:5])
                self.found.notes.append(
                    f"{self.file}:{at}: {name!r} has several rows that differ; the first is kept. Rows that are "
                    "several annotators' are all kept with import.labels.several."
                )
        for column, n in absent.items():
            self.found.notes.append(f"{self.file}: {n} recordings have no {column!r} (empty or not finite).")

    def several(self, rows: dict[str, list[int]], times: Callable[[str], tuple[float, float]]) -> None:
        """Each row an annotation of the whole recording, by another annotator."""
        values = {name: typed(self.columns[name]) for name in self.at.label}
        empty: dict[str, list[int]] = defaultdict(list)
        for name, own in rows.items():
            start, stop = times(name)
            for column, cells in values.items():
                kept = [i for i in own if cells[i] is not None]
                empty[column] += [self.lines[i] for i in own if cells[i] is None]
                self.found.annotations[name] += [
                    self._entry(start, stop, cells[i], column).model_copy(update={"annotator": str(number)})
                    for number, i in enumerate(kept, 1)
                ]
        for column, lines in empty.items():
            if lines:
                some = ", ".join(map(str, lines[:5])) + " ..." * (len(lines) > 5)
                self.found.notes.append(f"{self.file}: {len(lines)} rows without a {column} (lines {some}); left out.")

    def _seconds(self, column: str | None, own: Sequence[int]) -> list[float | None]:
        cells = self.columns[column or ""]
        times = [seconds_of(cells[i]) for i in own]
        scaled = [None if t is None else t * self.options.scale for t in times]
        return [t if t is not None and abs(t) <= FARTHEST else None for t in scaled]

    def annotations(self, rows: dict[str, list[int]]) -> None:
        """One row per annotation, on the tier of its label's column; texts with their spans."""
        values = {name: typed(self.columns[name]) for name in self.at.label}
        bad: list[int] = []
        for name, own in rows.items():
            spans: list[tuple[int, float, float]] = []
            for i, start, stop in zip(own, self._seconds(self.at.start, own), self._seconds(self.at.stop, own)):
                if start is None or stop is None or stop < start:
                    bad.append(self.lines[i])
                else:
                    spans.append((i, start, stop))
            for column, cells in values.items():
                made = [self._entry(a, b, cells[i], column) for i, a, b in spans if cells[i] is not None]
                self.found.annotations[name] += made
            spans.sort(key=lambda s: s[1])
            for column in self.at.text:
                texts, times = [self.columns[column][i] for i, _, _ in spans], [(a, b) for _, a, b in spans]
                self.found.texts[name][column] = StreamEntry(texts=texts, spans=times)
        if bad:
            some = ", ".join(map(str, bad[:5])) + " ..." * (len(bad) > 5)
            self.found.notes.append(
                f"{self.file}: {len(bad)} rows without start <= stop in seconds (lines {some}); left out."
            )

    def _entry(self, start: float, stop: float, label: Label | None, column: str) -> AnnotationEntry:
        tier = self.options.tier or column
        return AnnotationEntry(start=start, stop=stop, label="" if label is None else label, tier=tier)

    def ticks(self, rows: dict[str, list[int]]) -> None:
        """One row per tick: runs of equal labels become annotations."""
        values = {name: typed(self.columns[name]) for name in self.at.label}
        bad = repeated = 0
        for name, own in rows.items():
            timed = [(t, i) for t, i in zip(self._seconds(self.at.time, own), own) if t is not None]
            bad += len(own) - len(timed)
            timed.sort()
            # Two labels at one time: the first in the file counts, since sorting is by time, then row.
            first = [(t, i) for k, (t, i) in enumerate(timed) if k == 0 or t > timed[k - 1][0]]
            repeated += len(timed) - len(first)
            times = [t for t, _ in first]
            for column, cells in values.items():
                runs = merge_ticks(times, [cells[i] for _, i in first])
                self.found.annotations[name] += [self._entry(a, b, x, column) for a, b, x in runs]
        for count, what in ((bad, "without a time"), (repeated, "at the same time as another")):
            if count:
                self.found.notes.append(f"{self.file}: {count} rows {what}; left out.")


def _whole(text: str) -> str | int:
    return int(text) if re.fullmatch(r"-?\d+", text) else text


def merge_ticks(times: Sequence[float], labels: Sequence[Label | None]) -> list[tuple[float, float, Label]]:
    """Runs of equal labels as intervals. A tick lasts until the next one, or at a gap of more than 1.5 median
    periods (and at the end) one median period; one second where there is a single tick. None is no label.

    >>> merge_ticks([0, 1, 2, 3, 9], ["a", "a", None, "b", "b"])
    [(0.0, 2.0, 'a'), (3.0, 4.0, 'b'), (9.0, 10.0, 'b')]
    """
    steps = np.diff(np.asarray(times, np.float64))
    period = float(np.median(steps)) if len(steps) else 1.0
    lasts = [float(t) + (float(d) if d <= 1.5 * period else period) for t, d in zip(times, [*steps, math.inf])]
    runs: list[tuple[float, float, Label]] = []
    for start, stop, label in zip(times, lasts, labels):
        if label is None or (isinstance(label, float) and not math.isfinite(label)):
            continue
        if runs and runs[-1][1] == start and runs[-1][2] == label:
            runs[-1] = (runs[-1][0], stop, label)
        else:
            runs.append((float(start), stop, label))
    return runs
