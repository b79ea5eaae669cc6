"""Tables of joined streams in files: Parquet, written block by block, or NumPy's npz; each contains its coverage."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from plait.align.join import Coverage, Joining
from plait.core.atomic import replacing
from plait.streams.clock import Clock, Spans
from plait.streams.stream import Values

__all__ = ["FORMATS", "Column", "Left", "kept", "write"]

FORMATS = ("parquet", "npz")

ROWS_BYTES = 1 << 24
"""Bytes of a table per block."""

ABOUT = "plait"
"""Name of the file's metadata: key and coverage, as JSON."""


@dataclass(frozen=True)
class Left:
    """The left side of a join: its clock, and the texts or labels of its spans under the column's name."""

    COLUMNS: ClassVar[tuple[str, ...]] = ("start", "stop", "text", "label")

    clock: Clock
    name: str = ""
    texts: Sequence[str] = ()

    def edges(self, lo: int, hi: int) -> tuple[Values, Values]:
        """Starts and stops of rows lo..hi, seconds; equal for instants."""
        part = self.clock[lo:hi]
        return (part.starts, part.stops) if isinstance(part, Spans) else (part.times, part.times)


@dataclass(frozen=True)
class Column:
    """A stream in the process of being joined, and its description (method, feature, channels)."""

    name: str
    joining: Joining
    about: Mapping[str, object]

    def rows(self, size: int) -> Iterator[tuple[Values, Values]]:
        """Values and mask [size, d] of each block (the last may have fewer rows), flat."""
        values: list[Values] = []
        mask: list[Values] = []
        have = 0
        for piece in self.joining:
            values.append(piece.values.reshape(len(piece.values), -1))
            mask.append(piece.mask.reshape(len(piece.mask), -1))
            have += len(piece.values)
            while have >= size:
                whole = np.concatenate(values), np.concatenate(mask)
                yield whole[0][:size], whole[1][:size]
                values, mask, have = [whole[0][size:]], [whole[1][size:]], have - size
        if have:
            yield np.concatenate(values), np.concatenate(mask)


def write(target: Path, left: Left, columns: Sequence[Column], key: str) -> dict[str, Coverage]:
    """Write one table, atomically; returns the coverage by stream."""
    with replacing(target) as part:
        if target.suffix == ".npz":
            return _write_npz(part, left, columns, key)
        return _write_parquet(part, left, columns, key)


def _described(key: str, columns: Sequence[Column]) -> tuple[str, dict[str, Coverage]]:
    coverage = {column.name: column.joining.coverage for column in columns}
    described = {name: one.describe() for name, one in coverage.items()}
    return json.dumps({"key": key, "coverage": described}), coverage


def _write_parquet(part: Path, left: Left, columns: Sequence[Column], key: str) -> dict[str, Coverage]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    texts = [pa.field(left.name, pa.string())] if left.name else []
    edges = [pa.field("start", pa.float64()), pa.field("stop", pa.float64())]
    schema = pa.schema([*edges, *texts, *(_field(column) for column in columns)])
    size = max(ROWS_BYTES // (8 + sum(4 * column.joining.width for column in columns)), 1)
    made = [column.rows(size) for column in columns]
    with pq.ParquetWriter(part, schema) as out:
        for lo in range(0, len(left.clock), size):
            start, stop = left.edges(lo, lo + size)
            arrays = [pa.array(start), pa.array(stop)]
            arrays += [pa.array(left.texts[lo : lo + size], pa.string())] if left.name else []
            arrays += [_array(field.type, *next(rows)) for field, rows in zip(list(schema)[len(arrays) :], made)]
            out.write_table(pa.table(arrays, schema=schema))
        for rows in made:
            next(rows, None)  # to the end of each join, where its coverage is complete
        about, coverage = _described(key, columns)
        out.add_key_value_metadata({ABOUT: about})
    return coverage


def _field(column: Column) -> object:
    """The field of a stream: a list of numbers per row, or a text."""
    import pyarrow as pa

    kind = column.joining.dtype
    about = {**column.about, "shape": list(column.joining.right.source.shape)}
    metadata = {ABOUT: json.dumps(about, default=str)}
    if kind.kind == "O":
        return pa.field(column.name, pa.string(), metadata=metadata)
    # Lists of fixed size, so that a column reads back as one array [n, d].
    return pa.field(column.name, pa.list_(pa.from_numpy_dtype(kind), column.joining.width), metadata=metadata)


def _array(kind: Any, values: Values, mask: Values) -> Any:
    """Values [k, d] with null where unknown."""
    import pyarrow as pa

    if pa.types.is_string(kind):
        return pa.array([str(v) if known else None for v, known in zip(values[:, 0], mask[:, 0])], pa.string())
    flat = pa.array(np.ascontiguousarray(values).reshape(-1), mask=~mask.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, kind.list_size)


def _write_npz(part: Path, left: Left, columns: Sequence[Column], key: str) -> dict[str, Coverage]:
    start, stop = left.edges(0, len(left.clock))
    arrays: dict[str, Values] = {"start": start, "stop": stop}
    if left.name:
        arrays[left.name] = np.array(left.texts, np.str_)
    for column in columns:
        values, mask = column.joining.empty()
        for piece in column.joining:
            values[piece.rows], mask[piece.rows] = piece.values, piece.mask
        # An array of objects would need pickle to be read.
        arrays[column.name] = values.astype(np.str_) if values.dtype.kind == "O" else values
        arrays[f"{column.name}.mask"] = mask
    about, coverage = _described(key, columns)
    with open(part, "wb") as out:
        np.savez(out, **arrays, **{ABOUT: np.array(about)})  # type: ignore[arg-type]
    return coverage


def kept(target: Path, key: str) -> dict[str, Coverage] | None:
    """The coverage of an existing table with the same key; None if it must be made."""
    if not target.is_file():
        return None
    try:
        about = json.loads(_about(target))
        if about["key"] != key:
            return None
        return {name: Coverage.of(one) for name, one in about["coverage"].items()}
    except (OSError, ValueError, KeyError, TypeError):  # damaged, or not ours: it is rebuilt
        return None


def _about(target: Path) -> str:
    if target.suffix == ".npz":
        with np.load(target, allow_pickle=False) as found:
            return str(found[ABOUT])
    import pyarrow.parquet as pq

    metadata: Mapping[bytes, bytes] = pq.read_metadata(target).metadata or {}
    return metadata[ABOUT.encode()].decode()
