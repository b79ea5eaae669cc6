"""Cells of label tables: reading them, and what their texts mean."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from plait.core.errors import DataError
from plait.importing.delimited import Delimited, read_delimited

__all__ = ["normal_split", "number", "read_table", "seconds_of", "typed"]

Label = str | int | float | bool

_ABSENT = {"", "nan", "na", "n/a", "none", "null"}
_SPLITS = {"val": "valid", "dev": "valid", "validation": "valid", "training": "train", "testing": "test"}


def number(text: str) -> str | int:
    """Purely numeric text as a whole number, other text as it is.

    >>> number("07"), number("7b")
    (7, '7b')
    """
    return int(text) if re.fullmatch(r"[0-9]+", text) else text


def normal_split(name: str) -> str:
    """The name of a split in plait's words: ``dev`` and ``validation`` are ``valid``, and so on.

    >>> normal_split("dev"), normal_split("Train"), normal_split("pilot")
    ('valid', 'train', 'pilot')
    """
    lower = name.strip().lower()
    return _SPLITS.get(lower, lower if lower in ("train", "valid", "test") else name.strip())


def seconds_of(cell: str) -> float | None:
    """Seconds of a number, of ``[hours:]minutes:seconds``, or epoch seconds of an ISO date; None if neither.

    >>> seconds_of("1.5"), seconds_of("00:01:02,5"), seconds_of("1970-01-01T00:00:07"), seconds_of("soon")
    (1.5, 62.5, 7.0, None)
    """
    text = cell.strip()
    try:
        # Before the clock form; float also takes 'nan' and 'inf', which are no times.
        value = float(text)
        return value if math.isfinite(value) else None
    except ValueError:
        clock = re.fullmatch(r"(?:(\d{1,9}):)?(\d{1,9}):(\d{1,9}(?:[.,]\d+)?)", text)
    if clock:
        return int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3].replace(",", "."))
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    # UTC, not the zone of this machine, so that a folder imports the same everywhere.
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def read_table(path: Path) -> tuple[dict[str, list[str]], list[int], list[str]]:
    """Columns of texts by name, the line of each row, and notes (such as rows that are left out).

    Raises:
        DataError: the file is missing, empty, or has no header or a repeated column.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such table of labels. Correct labels.file or put the file there.")
    table = _parquet(path) if path.suffix.lower() == ".parquet" else read_delimited(path)
    names, rows = [name.strip() for name in table.header], table.rows
    repeated = [name for name, n in Counter(names).items() if n > 1]
    if repeated:
        raise DataError(f"{path.name}:1: column {repeated[0]!r} occurs twice. Rename one.")
    good = [(line, row) for line, row in rows if len(row) == len(names)]
    problems = [
        f"{path.name}:{line}: {len(row)} cells, but the header has {len(names)}; the row is left out."
        for line, row in rows
        if len(row) != len(names)
    ]
    if not good:
        raise DataError(f"{path.name}: has no rows below its header. Add labels, or remove the file.")
    cells = [list(column) for column in zip(*(row for _, row in good))]
    return dict(zip(names, cells)), [line for line, _ in good], [*table.notes, *problems]


def _parquet(path: Path) -> Delimited:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path.name}: not a Parquet table ({error}). Save it again.") from error
    columns = [["" if v is None else str(v) for v in column.to_pylist()] for column in table.columns]
    # Row i is called line i + 2, as in a CSV with a header.
    return Delimited(list(table.column_names), [(i + 2, list(row)) for i, row in enumerate(zip(*columns))])


def typed(cells: Sequence[str]) -> list[Label | None]:
    """A column of texts as (whole) numbers if every cell is one, else texts; None where a cell is absent.

    >>> typed(["1", "", "2"]), typed(["1", "2.5", "NaN"]), typed(["1", "1_2"])
    ([1, None, 2], [1.0, 2.5, None], ['1', '1_2'])
    """
    bare = [None if cell.strip().lower() in _ABSENT else cell.strip() for cell in cells]
    if any("_" in cell for cell in bare if cell):  # Python takes 1_2 for 12
        return list(bare)
    kinds: tuple[Callable[[str], Label], ...] = (int, float)
    for kind in kinds:
        try:
            return [None if cell is None else kind(cell) for cell in bare]
        except ValueError:
            continue
    return list(bare)
