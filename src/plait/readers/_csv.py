"""Comma-separated values of any locale: finds the delimiter and the decimal sign."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plait.core.errors import DataError
from plait.readers._budget import Purse
from plait.readers._words import decoded, read_bytes

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DECIMALS", "count_columns", "read_csv", "refuse_mixed"]

DECIMALS = ("auto", ".", ",")
"""Decimal signs; ``auto`` takes the one that the file uses."""

_END = r"([eE][-+]?\d+)?\s*$"
_WHOLE = r"^\s*[-+]?\d+" + _END
_SIGNED = {sign: rf"^\s*[-+]?(\d+[{sign}]\d*|[{sign}]\d+)" + _END for sign in DECIMALS[1:]}
_NAMED = {".": "dot", ",": "comma"}
_LOOK = 1 << 16
_THOUSANDS = r"^\s*[-+]?[1-9]\d{0,2},\d{3}\s*$"


def read_csv(path: Path, header: bool, decimal: str, encoding: str, purse: Purse) -> pa.Table:
    """The file as a `pyarrow.Table`.

    Raises:
        DataError: it is empty, of another encoding, has no names, too many of them, or numbers with both decimal signs.
    """
    # UTF-8 again, whatever it was: Arrow and the search for delimiters work on bytes.
    data = decoded(read_bytes(path), path, encoding).encode()
    if not data.strip():
        raise DataError(f"{path}: is empty. Expected a header and one row per observation; get it anew.")
    delimiter = _delimiter(path, data)
    names = _cells(path, data, delimiter)
    count_columns(purse, len(names))
    # A table without a header would lose its first row, and call its columns 0.13 and 2.7.
    if header and all(map(_is_number, names)):
        raise DataError(
            f"{path}:1: the first line holds numbers ({', '.join(names)[:60]}); expected names of "
            "columns. Add a line of names, or set header: false."
        )
    given = None if header else [f"c{i}" for i in range(len(names))]
    if decimal != "auto":
        return _parsed(data, delimiter, given, decimal)
    second = data[:_LOOK].splitlines()[1:2]
    # Locales with decimal commas separate cells by semicolons.
    guess, other = (",", ".") if delimiter == ";" and second and b"," in second[0] else (".", ",")
    table = _parsed(data, delimiter, given, guess)
    odd = [i for i in range(table.num_columns) if _has_sign(table.column(i), other)]
    if not odd:
        return table
    found = _parsed(data, delimiter, given, other)
    _refuse_two_signs(path, table, found, odd, other)
    if delimiter != ";":
        _refuse_thousands(path, table, odd)
    return found


def _cells(path: Path, data: bytes, delimiter: str) -> list[str]:
    """The cells of the first line."""
    first = re.split(rb"\r\n|\n|\r", data, maxsplit=1)[0].decode().lstrip("\ufeff")
    try:
        return next(csv.reader([first], delimiter=delimiter), [""])
    except csv.Error as error:
        raise DataError(f"{path}:1: cannot be read as a line of cells ({error}). Correct the line.") from error


def count_columns(purse: Purse, columns: int) -> None:
    """Draw columns; each costs as much as 40 rows.

    Raises:
        DataError: there are more than the purse has.
    """
    purse.count(40 * columns, "columns (each counts as 40)")


def _delimiter(path: Path, data: bytes) -> str:
    """The delimiter that is equally frequent in all of the first lines, outside quotes; else the commonest of line 1.

    A comma is tried last, since it may be a decimal sign.
    """
    if path.suffix.lower() == ".tsv":
        return "\t"
    lines = [re.sub(rb'"[^"]*"', b"", line) for line in data[:_LOOK].splitlines()[:20] if line.strip()]
    counts = {sign: [line.count(sign.encode()) for line in lines] for sign in "\t;,"}
    # Without the last line, which the end of the sample may cut.
    even = [sign for sign, found in counts.items() if found[0] and len(set(found[: len(lines) - 1 or 1])) == 1]
    return even[0] if even else max(",;\t", key=lambda sign: counts[sign][0])


def _parsed(data: bytes, delimiter: str, names: list[str] | None, decimal: str) -> pa.Table:
    import pyarrow as pa
    import pyarrow.csv

    return pyarrow.csv.read_csv(
        pa.BufferReader(data),
        read_options=pyarrow.csv.ReadOptions(use_threads=False, column_names=names),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter),
        convert_options=pyarrow.csv.ConvertOptions(decimal_point=decimal),
    )


def _is_text(column: pa.ChunkedArray) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def _matching(column: pa.ChunkedArray, pattern: str) -> int:
    """How many cells match."""
    import pyarrow.compute as pc

    return int(pc.sum(pc.match_substring_regex(column, pattern)).as_py() or 0)


def _has_sign(column: pa.ChunkedArray, sign: str) -> bool:
    """Whether a column that was read as text holds numbers, some with this decimal sign."""
    if not _is_text(column):
        return False
    signed = _matching(column, _SIGNED[sign])
    whole = _matching(column, _WHOLE) if signed else 0
    # A majority: a column of remarks may hold a number here and there.
    return signed > 0 and 2 * (signed + whole) > len(column) - column.null_count


def _refuse_two_signs(path: Path, first: pa.Table, second: pa.Table, odd: Sequence[int], sign: str) -> None:
    """Refuse a file in which either decimal sign turns some columns of numbers into text."""
    names = first.column_names
    lost = [names[i] for i in range(first.num_columns) if not _is_text(first.column(i)) and _is_text(second.column(i))]
    if lost:
        example = _example(first.column(odd[0]), _SIGNED[sign])
        raise DataError(
            f"{path}: numbers have a {_NAMED[sign]} in {_listed([names[i] for i in odd])} (such as {example!r}) "
            "and none "
            f"in {_listed(lost)}. Expected one decimal sign in a file; write the file anew, thousands unseparated."
        )


def _refuse_thousands(path: Path, table: pa.Table, odd: Sequence[int]) -> None:
    """Refuse commas that could be separators of thousands."""
    if any(_matching(table.column(i), _SIGNED[","]) > _matching(table.column(i), _THOUSANDS) for i in odd):
        return
    example = _example(table.column(odd[0]), _THOUSANDS)
    raise DataError(
        f"{path}: {example!r} in {_listed([table.column_names[i] for i in odd])} may be a fraction or thousands. "
        "Set decimal: ',' or decimal: '.', or write the file without commas in numbers."
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(n) for n in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _example(column: pa.ChunkedArray, pattern: str) -> str:
    import pyarrow.compute as pc

    return str(column.filter(pc.match_substring_regex(column, pattern))[0].as_py())


def _is_number(text: str) -> bool:
    """Whether it is a number, with either sign."""
    if text.strip().lower().lstrip("+-") in ("nan", "inf", "infinity"):
        return True
    return any(re.match(pattern, text) for pattern in (_WHOLE, *_SIGNED.values()))


def refuse_mixed(path: Path, name: str, cells: Sequence[str | None]) -> None:
    """Refuse a column of texts if most of them are numbers.

    Raises:
        DataError: with the first cell that is none, or that has another decimal sign than the first number.
    """
    filled = [(i, cell) for i, cell in enumerate(cells) if cell is not None]
    dots, commas = ([i for i, cell in filled if re.match(_SIGNED[sign], cell)] for sign in DECIMALS[1:])
    strange = [i for i, cell in filled if not _is_number(cell)]
    if 2 * len(strange) >= len(filled):
        return
    if (commas and dots) or not strange:
        examples = ", ".join(f"{len(at)} such as {cells[at[0]]!r} (row {at[0] + 2})" for at in (dots, commas) if at)
        raise DataError(
            f"{path}: column {name!r}: numbers with a decimal sign that is not the file's: {examples}. Expected one "
            "sign in all numbers; correct them, or set decimal."
        )
    i = strange[0]
    raise DataError(
        f"{path}:{i + 2} column {name!r}: {cells[i]!r} is not a number ({len(strange)} such cells among {len(cells)}). "
        "Correct it, or leave the cell empty where nothing was observed."
    )
