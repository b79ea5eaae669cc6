"""Sessions of an Empatica E4 wristband: folders, or the .zip that it exports."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError, raise_all
from plait.readers import Reader
from plait.readers._session import File, session_files
from plait.readers._told import tell
from plait.readers._words import Later, refuse_infinite, words
from plait.streams.clock import Grid, Ticks
from plait.streams.stream import ArraySource, Stream

__all__ = ["E4"]

_SENSORS = ("ACC", "BVP", "EDA", "HR", "TEMP")
_AXES = {"ACC": ("x", "y", "z")}
_SCALE = {"ACC": 1 / 64}


class E4(Reader):
    """Streams ``acc`` (g), ``bvp``, ``eda`` (uS), ``hr`` (beats per minute), ``temp`` (°C), ``ibi`` (s), ``tags``.

    All clocks are Unix seconds (UTC), as the files give them: ``HR`` starts 10 s after the others. A sensor's
    file holds its start, its rate, and one row per observation. ``ibi`` stands at the end of each interval
    between beats, is irregular, and is left out where the wristband found none; ``tags`` (presses of the button)
    are words ``tag`` of length 0. Values are parsed when first read.

    A ``.zip`` is read in place; nothing is unpacked to disk.

    Source: Empatica, "E4 data: format of the CSV files" (support article; ACC in 1/64 g).

    Raises:
        DataError: on opening, with every file whose header is wrong; on reading, of a row that is no number.

    >>> E4().suffixes
    ('/', '.zip')
    """

    suffixes: ClassVar[tuple[str, ...]] = ("/", ".zip")

    def claims(self, path: Path) -> bool:
        """Whether it is a folder, or a ``.zip``, with at least two of the sensors' files."""
        if not path.is_dir() and path.suffix.lower() != ".zip":
            return False
        try:
            files = session_files(path)
        except DataError:
            return False
        return sum(f"{s}.csv" in files for s in _SENSORS) >= 2

    def open(self, path: Path) -> dict[str, Stream]:
        files = session_files(path, self.budget)
        found: dict[str, Stream] = {}
        problems: list[str] = []
        openers = {s.lower(): partial(_sensor, files[f"{s}.csv"], s) for s in _SENSORS if f"{s}.csv" in files}
        if not openers:
            raise DataError(f"{path}: has none of {', '.join(s + '.csv' for s in _SENSORS)}. Expected an E4 session.")
        for name, opener in {**openers, "ibi": partial(_ibi, files), "tags": partial(_tags, files)}.items():
            try:
                stream = opener()
            except DataError as error:
                problems += error.problems
                continue
            if stream is not None:
                found[name] = stream
        raise_all(DataError, problems)
        return found


def _numbers(path: File, number: int, line: str, width: int | None = None) -> list[float]:
    try:
        values = [float(cell) for cell in line.split(",")]
    except ValueError:
        values = []
    if not values or not np.isfinite(values).all() or (width and len(values) != width):
        raise _unread(path, number, line, width)
    return values


def _unread(path: File, number: int, line: str, width: int | None) -> DataError:
    expected = f"{width} finite numbers" if width else "finite numbers"
    return DataError(f"{path}:{number}: got {line[:60]!r}; expected {expected}. Export the session anew.")


def _sensor(path: File, sensor: str) -> Stream | None:
    text = path.text().rstrip()
    start, _, rest = text.partition("\n")
    rate, _, body = rest.partition("\n")
    width = len(_AXES.get(sensor, "x"))
    begin = _numbers(path, 1, start)[0]
    hz = _numbers(path, 2, rate)[0]
    if hz <= 0:
        raise DataError(f"{path}:2: got a rate of {hz} Hz; expected above 0. Export the session anew.")
    n = body.count("\n") + 1 if body else 0
    if not n:
        tell(path, f"{sensor} has no observations and is left out")
        return None
    # Text of two bytes ("0" and a line end) becomes a number of eight.
    path.budget.purse(path.place, str(path)).spend(8 * width * n, "its numbers")
    source = Later(partial(_rows, path, width, _SCALE.get(sensor, 1.0)), n, (width,), str(path))
    return Stream(Grid(begin, hz, n), source, "series", _AXES.get(sensor, (sensor.lower(),)), str(path))


def _rows(path: File, width: int, scale: float) -> NDArray[np.generic]:
    body = path.text().rstrip().split("\n", 2)[2].encode()
    values = _parsed(body, width)
    if values is None:
        at = _first_bad(body, width)
        raise _unread(path, 3 + body.count(b"\n", 0, at), body[at:].partition(b"\n")[0].decode(), width)
    return _float32(values * scale)


def _parsed(body: bytes, width: int) -> NDArray[np.float64] | None:
    """Lines of ``width`` numbers each, [lines, width]; None if any line is different."""
    import pyarrow as pa
    import pyarrow.csv

    names = [str(i) for i in range(width)]
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(body),
            read_options=pyarrow.csv.ReadOptions(use_threads=False, column_names=names),
            # An empty line or cell is an error, not a missing value: rows must keep their times.
            parse_options=pyarrow.csv.ParseOptions(ignore_empty_lines=False, quote_char=False),
            convert_options=pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.float64()), null_values=[]),
        )
    except (pa.ArrowException, ValueError):
        return None
    values = np.stack([column.to_numpy() for column in table.columns], 1)
    return values if np.isfinite(values).all() else None


def _first_bad(body: bytes, width: int) -> int:
    """Byte at which the first line without ``width`` numbers begins."""
    low, high = 0, len(body)
    # Arrow does not say where it failed: halve until the place is near.
    while high - low > 1000:
        middle = body.find(b"\n", (low + high) // 2, high) + 1
        if not low < middle < high:
            break
        if _parsed(body[low:middle], width) is None:
            high = middle
        else:
            low = middle
    at = low
    while at < high:
        end = body.find(b"\n", at, high)
        end = high if end < 0 else end
        if _parsed(body[at:end], width) is None:
            return at
        at = end + 1
    return low


def _float32(values: NDArray[np.generic]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # overflow gives infinite values, which are refused
        return values.astype(np.float32)


def _ibi(files: dict[str, File]) -> Stream | None:
    path = files.get("IBI.csv")
    text = path.text().strip().split("\n") if path else []
    if path is None or len(text) < 2:
        return None
    begin = _numbers(path, 1, text[0].split(",")[0])[0]
    rows = np.array([_numbers(path, i, line, 2) for i, line in enumerate(text[1:], 2)])
    try:
        clock = Ticks(begin + rows[:, 0])
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    values = refuse_infinite(_float32(rows[:, 1:]), str(path))
    return Stream(clock, ArraySource(values), "series", ("ibi",), str(path))


def _tags(files: dict[str, File]) -> Stream | None:
    path = next((file for name, file in sorted(files.items()) if name.startswith("tags")), None)
    lines = path.text().split() if path else []
    if path is None or not lines:
        return None
    times = sorted(_numbers(path, i, line, 1)[0] for i, line in enumerate(lines, 1))
    return words(path.shown, [(t, t, "tag") for t in times])
