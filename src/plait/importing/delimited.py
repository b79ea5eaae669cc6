"""Tables as spreadsheets save them, in any usual encoding, with any usual delimiter and decimal sign."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from plait.core.errors import DataError

__all__ = ["Delimited", "read_delimited"]

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}

_COMMA = re.compile(r"[+-]?\d+,\d+")
_NUMBER = re.compile(r"[+-]?\d+(,\d+)?")

Rows = list[tuple[int, list[str]]]
"""Rows, each with the line on which it begins."""


@dataclass(frozen=True)
class Delimited:
    """A header, rows, and notes on what was read differently from how it is written."""

    header: list[str]
    rows: Rows
    notes: list[str] = field(default_factory=list)


def read_delimited(path: Path) -> Delimited:
    r"""Read a table with commas, semicolons or tabs between its cells.

    Encodings are UTF-8, UTF-16 and UTF-32 with a byte order mark, UTF-16 without one, else Windows-1252, which is
    noted. Decimal commas are read, and noted, where the delimiter is not a comma. Blank rows, columns without name and
    contents, and a first line ``sep=;`` are skipped.

    Raises:
        DataError: it is empty, or a quote is opened and never closed.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "labels.csv"
    >>> _ = path.write_bytes("sep=;\r\nid;score;;\r\na;0,5;;\r\n;;;\r\n".encode("utf-16"))
    >>> read_delimited(path).header, read_delimited(path).rows
    (['id', 'score'], [(3, ['a', '0.5'])])
    """
    text, notes = _decoded(path)
    first, _, rest = text.partition("\n")
    told = re.fullmatch(r"(?i)sep=(.)", first.strip())
    body, skipped = (rest, 1) if told else (text, 0)
    if not body.strip():
        raise DataError(f"{path.name}: is empty; expected a header row. Add one, or remove the file.")
    # A tie goes to the tab, then the semicolon: commas are common within texts and numbers.
    delimiter = told[1] if told else max("\t;,", key=lambda sign: len(_first(body, sign)))
    rows = [(line + skipped, row) for line, row in _rows(path, body, delimiter) if any(cell.strip() for cell in row)]
    header, rows = _without_nameless(rows[0][1], rows[1:], path.name, notes)
    if delimiter != ",":
        _point(header, rows, path.name, notes)
    return Delimited(header, rows, notes)


def _decoded(path: Path) -> tuple[str, list[str]]:
    data = path.read_bytes()
    encoding = next((name for mark, name in MARKS.items() if data.startswith(mark)), "utf-8")
    # In UTF-16 every other byte of ASCII text is zero.
    if encoding == "utf-8" and b"\0" in data[:1000]:
        encoding = "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
    try:
        return data.decode(encoding), []
    except UnicodeDecodeError as error:
        note = f"{path.name}: is not {encoding.upper()} ({error.reason} at byte {error.start}); read as Windows-1252. "
        # Windows-1252 leaves five bytes undefined.
        return data.decode("cp1252", "replace"), [f"{note}If letters are wrong, save it as UTF-8."]


def _first(text: str, delimiter: str) -> list[str]:
    """The cells of the first line."""
    return next(csv.reader(text.lstrip().splitlines()[:1], delimiter=delimiter), [])


def _rows(path: Path, text: str, delimiter: str) -> Rows:
    """Rows and the lines on which they begin; between tabs, a quote that is never closed is an ordinary character."""
    try:
        # Strict first: otherwise csv takes all that follows an open quote for one cell, and says nothing.
        return _parsed(text, delimiter, strict=True)
    except csv.Error as error:
        # csv has one error for everything; only its text tells an open quote.
        if "unexpected end of data" not in str(error):
            return _loose(path, text, delimiter)
    if delimiter == "\t":
        return _parsed(text, delimiter, strict=False, quotes=False)
    line = _parsed(text, delimiter, strict=False)[-1][0]
    raise DataError(f'{path.name}:{line}: a quote (") is opened here and never closed. Close it, or double it.')


def _loose(path: Path, text: str, delimiter: str) -> Rows:
    try:
        return _parsed(text, delimiter, strict=False)
    except csv.Error as error:
        raise DataError(f"{path.name}: not a table ({error}). Save it as CSV.") from error


def _parsed(text: str, delimiter: str, *, strict: bool, quotes: bool = True) -> Rows:
    lines = io.StringIO(text, newline="")
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    reader = csv.reader(lines, delimiter=delimiter, strict=strict, quoting=quoting)
    rows, at = [], 1
    for row in reader:
        rows.append((at, row))
        at = reader.line_num + 1
    return rows


def _without_nameless(header: Sequence[str], rows: Rows, file: str, notes: list[str]) -> tuple[list[str], Rows]:
    """The table without columns that have no name: empty ones are common in spreadsheets, others are noted."""
    width = len(header)
    while width and not header[width - 1].strip() and not any(c.strip() for _, row in rows for c in row[width - 1 :]):
        width -= 1
    rows = [(line, row[:width] if not any(map(str.strip, row[width:])) else row) for line, row in rows]
    kept = [i for i in range(width) if header[i].strip()]
    if len(kept) < width:
        notes.append(f"{file}: {width - len(kept)} columns have no name in the first row; left out. Name them.")
        rows = [(line, [row[i] for i in kept] if len(row) == width else row) for line, row in rows]
    return [header[i] for i in kept], rows


def _point(header: Sequence[str], rows: Rows, file: str, notes: list[str]) -> None:
    """Put points for commas in columns of numbers; in place."""
    for i, name in enumerate(header):
        own = [row for _, row in rows if len(row) == len(header) and row[i].strip()]
        cells = [row[i].strip() for row in own]
        if any(map(_COMMA.fullmatch, cells)) and all(map(_NUMBER.fullmatch, cells)):
            notes.append(f"{file}: the commas in {name.strip()!r} are read as decimal points.")
            for row in own:
                row[i] = row[i].replace(",", ".")
