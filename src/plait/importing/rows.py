"""Arrays with one row per recording, the usual form of published feature archives."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError, raise_all
from plait.core.parts import suggest
from plait.corpus.corpus import StreamEntry, _clock
from plait.corpus.summary import Facts, facts_of
from plait.importing.cells import normal_split, typed
from plait.importing.labels import Labels
from plait.importing.options import ImportOptions, RowOptions, StreamOptions
from plait.readers import open_streams

__all__ = ["read_rows"]


def read_rows(
    path: Path, base: Path, rows: RowOptions, options: ImportOptions
) -> tuple[dict[str, dict[str, StreamEntry]], dict[str, Facts], Labels]:
    """Streams by recording and name, what is known of each stream, and labels, texts, groups and splits.

    Args:
        path: an ``.npz``; every variable used has as many rows as the one with the ids.
        base: what the entries' paths are relative to.
        rows: which variable is what.
        options: overrides of the streams.

    Raises:
        ConfigError: a variable is not there.
        DataError: the file cannot be read, or lengths or ids do not fit.
    """
    texts = {*rows.labels.values(), *rows.text.values(), *filter(None, (rows.group, rows.split)), rows.id}
    table = _variables(path, texts, rows.streams.values())
    ids = [str(x) for x in table[rows.id].tolist()]
    repeated = [name for name, n in Counter(ids).items() if n > 1 or not name]
    raise_all(DataError, [f"{path.name} {rows.id!r}: id {name!r} is empty or repeated." for name in repeated[:10]])
    streams, facts = _streams(path, os.path.relpath(path.resolve(), base.resolve()), ids, rows, options)
    return streams, facts, _labels(path.name, ids, table, rows)


def _variables(path: Path, texts: set[str], streams: Iterable[str]) -> dict[str, NDArray[np.generic]]:
    """The one-dimensional variables (ids, labels, texts); of the streams only the names are checked."""
    if not path.is_file():
        raise DataError(f"{path}: no such file. Correct import.rows.file or put the file there.")
    try:
        # Unpickling runs code that the file chooses.
        with np.load(path, allow_pickle=False) as file:
            known = list(file)
            absent = sorted({*texts, *streams} - set(known))
            problems = [f"{path.name}: import.rows names variable {x!r}. {suggest(x, known)}" for x in absent]
            raise_all(ConfigError, problems)
            found = {name: file[name] for name in sorted(texts)}
    # An .npy that is called .npz loads as a bare array, which `with` does not take.
    except (ValueError, OSError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise DataError(f"{path.name}: not an .npz of plain arrays ({error}). Save it again with numpy.") from error
    lengths = {name: array.shape for name, array in found.items()}
    if any(len(shape) != 1 for shape in lengths.values()) or len(set(lengths.values())) > 1:
        raise DataError(f"{path.name}: expected one value per recording, but the shapes are {lengths}.")
    return found


def _streams(
    path: Path, written: str, ids: list[str], rows: RowOptions, options: ImportOptions
) -> tuple[dict[str, dict[str, StreamEntry]], dict[str, Facts]]:
    streams: dict[str, dict[str, StreamEntry]] = {name: {} for name in ids}
    facts: dict[str, Facts] = {}
    for stream, variable in rows.streams.items():
        rule = options.streams.get(stream, StreamOptions())
        for row, name in enumerate(ids):
            streams[name][stream] = StreamEntry(
                path=Path(written).as_posix(),
                part=variable,
                reader=rule.reader or "array",
                options={"variable": variable, "row": row, **rule.options},
                rate=rule.rate,
                duration=rule.duration,
                offset=rule.offset,
            )
        if ids:
            # Rows are alike in all but length; the last is opened, so that too few rows are found out.
            last = streams[ids[-1]][stream]
            opened = open_streams(path, last.reader, last.options)
            (found,) = opened.values() if len(opened) == 1 else (opened[variable],)
            facts[stream] = facts_of(found, _clock(last, found.clock))
    return streams, facts


def _labels(file: str, ids: list[str], table: dict[str, NDArray[np.generic]], rows: RowOptions) -> Labels:
    out = Labels()
    for label, variable in rows.labels.items():
        # The shortest text that is the same number in the array's own precision: float32 0.1 is 0.1.
        cells = typed([str(x) for x in table[variable]])
        for name, cell in zip(ids, cells):
            if cell is not None and cell not in (float("inf"), -float("inf")):
                out.labels[name][label] = cell
        absent = sum(label not in out.labels[name] for name in ids)
        if absent:
            out.notes.append(f"{file}: {absent} recordings have no {label!r} (empty or not finite).")
    for stream, variable in rows.text.items():
        for name, text in zip(ids, table[variable].tolist()):
            out.texts[name][stream] = StreamEntry(texts=[str(text)])
    if rows.group:
        out.groups = dict(zip(ids, map(str, table[rows.group].tolist())))
    if rows.split:
        sides = zip(ids, map(str, table[rows.split].tolist()))
        out.splits = {name: normal_split(side) for name, side in sides if side.strip()}
    return out
