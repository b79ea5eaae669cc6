"""Tables with one row per observation: CSV, TSV, Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError, raise_all
from plait.core.parts import suggest
from plait.readers import Reader
from plait.readers._columns import DISORDER, find_time, load, numbers, ordered, seconds, texts
from plait.readers._csv import DECIMALS
from plait.readers._told import tell
from plait.readers._words import refuse_infinite
from plait.streams.clock import Clock, Grid, Spans
from plait.streams.stream import KINDS, ArraySource, Stream

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Table"]

_UNITS = ("auto", "s", "ms", "us", "ns")


class Table(Reader):
    """A stream ``series`` with the table's numeric columns as channels; a text column that is named becomes words.

    The clock is a column of times, or a ``rate``. Times are seconds, or counted in ``unit``; Unix times and
    ISO 8601 (without a zone: UTC) give Unix seconds. Without ``unit`` the name of the column says it (``t_ms``), or
    the magnitude (so Unix times in ms, us and ns are recognised; small numbers are seconds). Empty cells are NaN.
    Columns of text that are not named, and columns without a name, are left out with a warning.
    The table is parsed whole when opened, since its clock is one of its columns.

    Args:
        time: the column of times; without it the first named time, timestamp, t, seconds, datetime, date ...
        rate: observations per second, instead of a column of times.
        columns: which columns to take; default: all numeric ones but the time.
        kind: of the stream (`KINDS`).
        unit: of numeric times: auto, s, ms, us, ns.
        on_disorder: what to do with times that repeat or go backwards: ``error``, ``sort`` (stably; repeated ones
            stay), ``drop`` (keep a time only if it is later than all before). Their number is logged.
        header: whether the first line names the columns; without it they are ``c0``, ``c1`` ...
        decimal: the decimal sign in text files, ``.`` or ``,``; by default that of all numbers in the file.
        encoding: of text files without a byte order mark.

    Raises:
        ConfigError: an unknown kind, unit or way, or both a time and a rate.
        DataError: no rows, no times, a cell that is no number, numbers with two decimal signs, infinite values, times
            that repeat or go backwards; with row and column.

    >>> Table(rate=50).suffixes
    ('.csv', '.tsv', '.parquet', '.pq')
    """

    version = 2
    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv", ".parquet", ".pq")

    def __init__(
        self,
        *,
        time: str | None = None,
        rate: float | str | None = None,
        columns: list[str] | None = None,
        kind: str = "series",
        unit: str = "auto",
        on_disorder: str = "error",
        header: bool = True,
        decimal: str = "auto",
        encoding: str = "utf-8",
    ) -> None:
        for name, value, known in (
            ("kind", kind, KINDS),
            ("unit", unit, _UNITS),
            ("on_disorder", on_disorder, DISORDER),
            ("decimal", decimal, DECIMALS),
        ):
            if value not in known:
                raise ConfigError(f"table.{name}: {value!r} is unknown. {suggest(value, known)}")
        if time is not None and rate is not None:
            raise ConfigError("table: got both a time column and a rate; expected one of them.")
        self.time, self.rate, self.columns, self.kind = time, rate, columns, kind
        self.unit, self.on_disorder, self.header = unit, on_disorder, header
        self.decimal, self.encoding = decimal, encoding

    def open(self, path: Path) -> dict[str, Stream]:
        table = load(path, self.header, self.decimal, self.encoding, self.budget)
        if not table.num_rows:
            raise DataError(
                f"{path}: has no rows of values. Expected a header and one row per observation; get it anew."
            )
        name = find_time(table.column_names, self.time, path, needed=self.rate is None)
        channels, words = self._columns(path, table, name)
        if self.rate is not None:
            clock: Clock = Grid(0, self.rate, table.num_rows)
            keep = np.arange(table.num_rows)
        else:
            clock, keep = ordered(path, seconds(path, table, name or "", self.unit), self.on_disorder)
        return self._streams(
            path, clock, {k: v[keep] for k, v in channels.items()}, {k: v[keep] for k, v in words.items()}
        )

    def _columns(
        self, path: Path, table: pa.Table, time: str | None
    ) -> tuple[dict[str, NDArray[np.generic]], dict[str, NDArray[np.generic]]]:
        unknown = [c for c in self.columns or () if c not in table.column_names]
        raise_all(DataError, [f"{path}: has no column {c!r}. {suggest(c, table.column_names)}" for c in unknown])
        chosen = self.columns or [c for c in table.column_names if c != time]
        channels: dict[str, NDArray[np.generic]] = {}
        words: dict[str, NDArray[np.generic]] = {}
        problems: list[str] = []
        left: list[str] = []
        for name in chosen:
            try:
                values = numbers(path, table, name)
                if values is not None:
                    channels[name] = refuse_infinite(values, f"{path} column {name!r}")
                elif self.columns:
                    words[name] = texts(path, table, name)
                else:
                    left.append(name)
            except DataError as error:
                problems += error.problems
        raise_all(DataError, problems)
        if left:
            way = "name those of text with columns to read them"
            tell(path, f"columns without numbers are left out ({way}): {', '.join(left)}", once=True)
        if not channels and not words:
            raise DataError(f"{path}: has no numeric column beside its time. It has: {', '.join(table.column_names)}.")
        return channels, words

    def _streams(
        self, path: Path, clock: Clock, channels: dict[str, NDArray[np.generic]], words: dict[str, NDArray[np.generic]]
    ) -> dict[str, Stream]:
        found = {}
        if channels:
            values = np.stack(list(channels.values()), 1)
            found["series"] = Stream(clock, ArraySource(values), self.kind, tuple(channels), str(path))
        for name, column in words.items():
            span = Spans(clock.times, clock.times)
            found[name] = Stream(span, ArraySource(column), "words", (), f"{path}:{name}")
        return found
