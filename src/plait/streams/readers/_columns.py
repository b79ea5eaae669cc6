"""Columns of a table file as arrays: loading, telling numbers from text, times to seconds."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait.errors import DataError
from plait.parts import suggest
from plait.streams.clock import Ticks
from plait.streams.readers._words import read_bytes

__all__ = ["DISORDER", "find_time", "load", "numbers", "ordered", "seconds"]

_TIMES = (
    *("time", "timestamp", "t", "seconds", "sec", "secs", "datetime", "date"),
    *("times", "ts", "epoch", "unix", "unixtime", "elapsed"),
)
DISORDER = ("error", "sort", "drop")
"""What may be done with times that repeat or go backwards."""

_SCALE = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_NAMED_UNIT = re.compile(r"[_ .(\[](s|sec|secs|seconds|ms|us|ns)[)\]]?$")


def load(path: Path, header: bool) -> Any:
    """The file as a `pyarrow.Table` with stripped column names.

    Raises:
        DataError: it is not there, empty, not a table, or two columns have one name.
    """
    import pyarrow as pa

    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            import pyarrow.parquet

            with open(path, "rb") as file:
                table = pyarrow.parquet.read_table(file, use_threads=False)
            table.validate(full=True)  # texts that are no UTF-8
        else:
            table = _csv(path, header)
        names = [str(n).strip() for n in table.column_names]
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(
            f"{path}: cannot be read as a table ({error}). Correct the row, or save the table anew."
        ) from error
    twice = sorted({n for n in names if names.count(n) > 1})
    if twice:
        raise DataError(
            f"{path}: several columns are named {twice[0]!r}. Expected a name of its own for each; rename them."
        )
    return table.rename_columns(names)


def _csv(path: Path, header: bool) -> Any:
    import pyarrow as pa
    import pyarrow.csv

    data = read_bytes(path)
    if not data.strip():
        raise DataError(f"{path}: is empty. Expected a header and a row an observation; get the file anew.")
    first, _, rest = data.partition(b"\n")
    tab, semicolon = (
        path.suffix.lower() == ".tsv" or (b"\t" in first and b"," not in first),
        b";" in first and b"," not in first,
    )
    delimiter = "\t" if tab else ";" if semicolon else ","
    comma = semicolon and b"," in rest.partition(b"\n")[0]  # 0,5;1,5 as much of Europe writes
    names = None if header else [f"c{i}" for i in range(first.count(delimiter.encode()) + 1)]
    table = pyarrow.csv.read_csv(
        pa.BufferReader(data),
        read_options=pyarrow.csv.ReadOptions(use_threads=False, column_names=names),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter),
        convert_options=pyarrow.csv.ConvertOptions(decimal_point="," if comma else "."),
    )
    if header and table.num_columns and all(_is_number(n) for n in table.column_names):
        raise DataError(
            f"{path}:1: the first line holds numbers ({', '.join(table.column_names)[:60]}); expected names of "
            "columns. Add a line of names, or set header: false."
        )
    return table


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def find_time(names: Sequence[str], wanted: str | None, path: Path, needed: bool) -> str | None:
    """The column of times: the one wanted, or the first with a usual name, case and unit aside."""
    if wanted is not None:
        if wanted not in names:
            raise DataError(f"{path}: has no column {wanted!r} for the time. {suggest(wanted, names)}")
        return wanted
    bare = {_NAMED_UNIT.sub("", n.lower()).strip("_ .([)]"): n for n in reversed(names)}
    for usual in _TIMES:
        if usual in bare:
            return bare[usual]
    if needed:
        raise DataError(
            f"{path}: has no column of times (columns: {', '.join(names)}). Name it with time:, or give a rate: in Hz."
        )
    return None


def numbers(path: Path, table: Any, name: str) -> NDArray[np.float64] | None:
    """A column as [n] float64, NaN where empty; None where it is text.

    Raises:
        DataError: it holds numbers, but not in every cell.
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
        _refuse_mixed(path, name, column.to_pylist())
        return None
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    values = column.to_numpy()
    return np.asarray(values, np.float64)


def _refuse_mixed(path: Path, name: str, cells: list[str | None]) -> None:
    bad = [i for i, c in enumerate(cells) if c is not None and not _is_number(c)]
    good = sum(c is not None for c in cells) - len(bad)
    if good > len(bad):
        i = bad[0] if bad else 0
        raise DataError(
            f"{path}:{i + 2} column {name!r}: {cells[i]!r} is not a number ({len(bad)} such cells among {len(cells)}). "
            "Correct it, or leave the cell empty where nothing was observed."
        )


def seconds(path: Path, table: Any, name: str, unit: str) -> NDArray[np.float64]:
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
    size = float(np.median(np.abs(values)))
    return "ns" if size >= 1e17 else "us" if size >= 1e14 else "ms" if size >= 1e11 else "s"


def _integers(column: Any) -> NDArray[np.int64]:
    import pyarrow as pa

    return np.asarray(column.cast(pa.int64()).to_numpy(), np.int64)


def _scaled(values: NDArray[Any], scale: int) -> NDArray[np.float64]:
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
    """A clock of times that may repeat or go backwards, and which of them it keeps, in their order.

    Args:
        path: for messages.
        times: seconds.
        on_disorder: one of `DISORDER`.
        what: what each time is of.
        first: the number of the first of them.

    Raises:
        DataError: they do, and ``on_disorder`` is ``error``.
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
            before = np.concatenate([[-np.inf], np.maximum.accumulate(times)[:-1]])
            keep = np.flatnonzero(times > before)
        logging.getLogger("plait").warning(
            "%s: %d times repeat and %d go backwards; on_disorder=%s kept %d of %d %ss",
            path, len(again), len(back), on_disorder, len(keep), len(times), what,
        )  # fmt: skip
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
