"""Columns of a table file as arrays: loading, telling numbers from text, times to seconds."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError
from plait.core.parts import suggest
from plait.readers._budget import Budget, Purse
from plait.readers._csv import count_columns, read_csv, refuse_mixed
from plait.readers._told import tell
from plait.streams.clock import Ticks
from plait.streams.stream import Values

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DISORDER", "find_time", "load", "numbers", "ordered", "seconds", "texts"]

_TIMES = (
    *("time", "timestamp", "t", "seconds", "sec", "secs", "datetime", "date"),
    *("times", "ts", "epoch", "unix", "unixtime", "elapsed"),
)
DISORDER = ("error", "sort", "drop")
"""What may be done with times that repeat or go backwards."""

_SCALE = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_NAMED_UNIT = re.compile(r"[_ .(\[](s|sec|secs|seconds|ms|us|ns)[)\]]?$")


def load(path: Path, header: bool, decimal: str, encoding: str, budget: Budget) -> pa.Table:
    """The file as a `pyarrow.Table` with stripped column names; nameless columns are left out, and told.

    Raises:
        DataError: it is not there, empty, not a table, two columns have one name, or it unpacks to more
            than the budget.
    """
    import pyarrow as pa

    try:
        if _is_parquet(path):
            table = _parquet(path, budget)
        else:
            table = read_csv(path, header, decimal, encoding, budget.purse(path))
        names = [str(n).strip() for n in table.column_names]
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(
            f"{path}: cannot be read as a table ({error}). Correct the row, or save the table anew."
        ) from error
    named = [i for i, n in enumerate(names) if n and not _is_row_number(n, table.column(i).type)]
    if len(named) < len(names):
        tell(path, f"{len(names) - len(named)} columns without a name are left out; name them in the header", once=True)
    names = [names[i] for i in named]
    twice = sorted(n for n, times in Counter(names).items() if times > 1)
    if twice:
        raise DataError(
            f"{path}: several columns are named {twice[0]!r}. Expected a name of its own for each; rename them."
        )
    return table.select(named).rename_columns(names)


def _is_row_number(name: str, kind: pa.DataType) -> bool:
    """Whether it is an index that pandas wrote without a name."""
    import pyarrow as pa

    return bool(re.fullmatch(r"__index_level_\d+__", name) and pa.types.is_integer(kind))


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() in (".parquet", ".pq")


def _parquet(path: Path, budget: Budget) -> pa.Table:
    """The file. Texts stay dictionary-encoded until they are known to fit: one text may be in a million rows."""
    import pyarrow as pa
    import pyarrow.parquet

    purse = budget.purse(path)
    with open(path, "rb") as file:
        schema = pyarrow.parquet.read_schema(file)
        texts = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
        count_columns(purse, len(schema))
        source = pyarrow.parquet.ParquetFile(file, read_dictionary=texts)
        told = source.metadata
        # Of row groups: to ask single columns for their sizes ends the process on some broken files.
        sizes = (told.row_group(i).total_byte_size for i in range(told.num_row_groups))
        purse.check(max(8.0 * told.num_rows * told.num_columns, sum(sizes)), "it")
        table = source.read(use_threads=False)
    for i, name in enumerate(table.column_names):
        if pa.types.is_dictionary(table.column(i).type):
            table = table.set_column(i, name, _unpacked(name, table.column(i), purse))
    table.validate(full=True)  # texts that are no UTF-8
    return table


def _unpacked(name: str, column: pa.ChunkedArray, purse: Purse) -> pa.ChunkedArray:
    """A dictionary-encoded column, with its values written out in each row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    value = column.type.value_type
    if pa.types.is_string(value) or pa.types.is_large_string(value):
        for chunk in column.chunks:
            lengths = pc.binary_length(chunk.dictionary).cast(pa.int64()).take(chunk.indices)
            purse.spend(8 * len(chunk) + (pc.sum(lengths).as_py() or 0), f"column {name!r}")
    return column.cast(value)


def find_time(names: Sequence[str], wanted: str | None, path: Path, needed: bool) -> str | None:
    """The column of times: the one wanted, or the first with a usual name, case and unit aside."""
    if wanted is not None:
        if wanted not in names:
            raise DataError(f"{path}: has no column {wanted!r} for the time. {suggest(wanted, names)}")
        return wanted
    # Backwards, so that the first of two columns with one bare name stays.
    bare = {_NAMED_UNIT.sub("", n.lower()).strip("_ .([)]"): n for n in reversed(names)}
    for usual in _TIMES:
        if usual in bare:
            return bare[usual]
    if needed:
        raise DataError(
            f"{path}: has no column of times (columns: {', '.join(names)}). Name it with time:, or give a rate: in Hz."
        )
    return None


def numbers(path: Path, table: pa.Table, name: str) -> NDArray[np.float64] | None:
    """A column as [n] float64, NaN where empty; None where it is text.

    Raises:
        DataError: it holds numbers, but not in every cell, or with two decimal signs.
    """
    import pyarrow as pa

    column, kind = table[name], table[name].type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif pa.types.is_decimal(kind):
        column = column.cast(pa.float64())
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        if not _is_parquet(path):  # whose columns have types: text of digits is text
            refuse_mixed(path, name, column.to_pylist())
        return None
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    values = column.to_numpy()
    return np.asarray(values, np.float64)


def texts(path: Path, table: pa.Table, name: str) -> NDArray[np.object_]:
    """A column as [n] texts; an empty cell is an empty text.

    Raises:
        DataError: its cells are lists, structures or bytes.
    """
    import pyarrow as pa

    kind = table[name].type
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise DataError(
            f"{path}: column {name!r} holds {kind}; expected numbers or text. Write a column for each number in it."
        )
    return np.array(["" if v is None else str(v) for v in table[name].to_pylist()], object)


def seconds(path: Path, table: pa.Table, name: str, unit: str) -> NDArray[np.float64]:
    """A column of times as [n] seconds: relative ones as they are, dates as Unix seconds.

    Raises:
        DataError: a cell is empty or is no time; with its row.
    """
    import pyarrow as pa

    column = table[name]
    kind = column.type
    if column.null_count:
        row = np.flatnonzero(np.asarray(column.is_null()))[0]
        raise DataError(
            f"{path}:{row + 2} column {name!r}: has no time ({column.null_count} such rows). Fill it, or drop the row."
        )
    if pa.types.is_timestamp(kind):
        return _scaled(_integers(column.cast(pa.timestamp("ns"), safe=False)), 10**9)
    if pa.types.is_date(kind):
        return _scaled(_integers(column.cast(pa.timestamp("ms"))), 10**3)
    if pa.types.is_time(kind):
        return _scaled(_integers(column.cast(pa.time64("ns"))), 10**9)
    if pa.types.is_duration(kind):
        return _scaled(_integers(column.cast(pa.duration("ns"))), 10**9)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _parsed(path, name, column.to_pylist())
    values = numbers(path, table, name)
    if values is None or not np.isfinite(values).all():
        row = 0 if values is None else int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(
            f"{path}:{row + 2} column {name!r}: {column[row]} is not a time. Expected seconds or ISO 8601; correct it."
        )
    exact = column.to_numpy() if pa.types.is_integer(kind) else values
    return _scaled(exact, _SCALE[_unit(name, values) if unit == "auto" else unit])


def _unit(name: str, values: NDArray[np.float64]) -> str:
    named = _NAMED_UNIT.search(name.lower())
    if named:
        return named[1] if named[1] in _SCALE else "s"
    # Unix times of today: 1.7e9 s, so 1.7e12 in ms, 1.7e15 in us, 1.7e18 in ns.
    size = float(np.median(np.abs(values)))
    return "ns" if size >= 1e17 else "us" if size >= 1e14 else "ms" if size >= 1e11 else "s"


def _integers(column: pa.ChunkedArray) -> NDArray[np.int64]:
    import pyarrow as pa

    return np.asarray(column.cast(pa.int64()).to_numpy(), np.int64)


def _scaled(values: Values, scale: int) -> NDArray[np.float64]:
    if values.dtype.kind == "i":  # whole seconds apart: nanoseconds since 1970 do not fit a float
        return np.asarray(values // scale + (values % scale) / scale, np.float64)
    return np.asarray(values / scale, np.float64)


def _parsed(path: Path, name: str, cells: list[str]) -> NDArray[np.float64]:
    times = np.empty(len(cells))
    for i, cell in enumerate(cells):
        try:
            moment = datetime.fromisoformat(cell.strip())
        except ValueError:
            raise DataError(
                f"{path}:{i + 2} column {name!r}: {cell!r} is not a time. Expected seconds or ISO 8601 "
                "(2026-03-01T12:00:00.5Z); correct it."
            ) from None
        times[i] = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return times


def ordered(
    path: Path, times: NDArray[np.float64], on_disorder: str, what: str = "row", first: int = 2
) -> tuple[Ticks, NDArray[np.int64]]:
    """A clock from times that may repeat or go backwards, and the indices of the times that it keeps, in order.

    Args:
        path: for messages.
        times: seconds.
        on_disorder: one of `DISORDER`.
        what: what has a time, for messages.
        first: the number of the first one, for messages.

    Raises:
        DataError: times repeat or go backwards, and ``on_disorder`` is ``error``.
    """
    steps = np.diff(times)
    again, back = np.flatnonzero(steps == 0), np.flatnonzero(steps < 0)
    keep = np.arange(len(times))
    if len(again) or len(back):
        if on_disorder == "error":
            places = {"repeat": again, "go backwards": back}
            raise DataError(
                [_disorder(path, times, k, at, f"{what} {first + at[0]}") for k, at in places.items() if len(at)]
            )
        if on_disorder == "sort":
            keep = np.argsort(times, kind="stable")
        else:
            # A time is kept if it is later than all before it: one that jumps far ahead costs those that follow.
            before = np.concatenate([[-np.inf], np.maximum.accumulate(times)[:-1]])
            keep = np.flatnonzero(times > before)
        kept = f"on_disorder={on_disorder} kept {len(keep)} of {len(times)} {what}s"
        tell(path, f"{len(again)} times repeat and {len(back)} go backwards; {kept}")
    try:
        return Ticks(times[keep]), keep
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _disorder(path: Path, times: NDArray[np.float64], what: str, at: NDArray[np.int64], place: str) -> str:
    i = int(at[0])
    return (
        f"{path}: times {what} in {len(at)} places, first at {place}: {times[i]:.6f} s, then {times[i + 1]:.6f} s. "
        "Correct them, or set on_disorder to sort or drop."
    )
