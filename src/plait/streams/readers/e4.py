"""Folders of an Empatica E4 wristband."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from plait.errors import DataError, raise_all
from plait.streams.clock import Grid, Ticks
from plait.streams.readers import Reader
from plait.streams.readers._words import Later, read_text, words
from plait.streams.stream import ArraySource, Stream

__all__ = ["E4"]

_SENSORS = ("ACC", "BVP", "EDA", "HR", "TEMP")
_AXES = {"ACC": ("x", "y", "z")}
_SCALE = {"ACC": 1 / 64}


class E4(Reader):
    """Streams ``acc`` (g), ``bvp``, ``eda`` (uS), ``hr`` (beats a minute), ``temp`` (degrees C), ``ibi`` (s), ``tags``.

    All clocks are Unix seconds (UTC), as the files give them: ``HR`` starts 10 s after the others. A sensor's
    file holds its start, its rate, and one row an observation. ``ibi`` stands at the end of each interval
    between beats, is irregular, and is left out where the wristband found none; ``tags`` (presses of the button)
    are words ``tag`` of length 0. Values are parsed when first read.

    Source: Empatica, "E4 data: format of the CSV files" (support article; ACC in 1/64 g).

    Raises:
        DataError: on opening, with every file whose header is wrong; on reading, of a row that is no number.

    >>> E4().suffixes
    ('/',)
    """

    suffixes: ClassVar[tuple[str, ...]] = ("/",)

    def claims(self, path: Path) -> bool:
        """Whether it is a folder with at least two of the sensors' files."""
        return path.is_dir() and sum((path / f"{s}.csv").is_file() for s in _SENSORS) >= 2

    def open(self, path: Path) -> dict[str, Stream]:
        if not path.is_dir():
            raise DataError(f"{path}: no such folder. Expected an E4 folder with ACC.csv, BVP.csv, EDA.csv ...")
        found: dict[str, Stream] = {}
        problems: list[str] = []
        openers = {s.lower(): partial(_sensor, path / f"{s}.csv", s) for s in _SENSORS if (path / f"{s}.csv").is_file()}
        if not openers:
            raise DataError(f"{path}: has none of {', '.join(s + '.csv' for s in _SENSORS)}. Expected an E4 folder.")
        for name, opener in {**openers, "ibi": partial(_ibi, path / "IBI.csv"), "tags": partial(_tags, path)}.items():
            try:
                stream = opener()
            except DataError as error:
                problems += error.problems
                continue
            if stream is not None:
                found[name] = stream
        raise_all(DataError, problems)
        return found


def _numbers(path: Path, number: int, line: str, width: int | None = None) -> list[float]:
    try:
        values = [float(cell) for cell in line.split(",")]
    except ValueError:
        values = []
    if not values or not np.isfinite(values).all() or (width and len(values) != width):
        expected = f"{width} finite numbers" if width else "finite numbers"
        raise DataError(f"{path}:{number}: got {line[:60]!r}; expected {expected}. Export the session anew.")
    return values


def _sensor(path: Path, sensor: str) -> Stream | None:
    text = read_text(path).rstrip()
    start, _, rest = text.partition("\n")
    rate, _, body = rest.partition("\n")
    width = len(_AXES.get(sensor, "x"))
    begin = _numbers(path, 1, start)[0]
    hz = _numbers(path, 2, rate)[0]
    if hz <= 0:
        raise DataError(f"{path}:2: got a rate of {hz} Hz; expected above 0. Export the session anew.")
    n = body.count("\n") + 1 if body else 0
    if not n:
        logging.getLogger("plait").warning("%s: has no observations and is left out", path)
        return None
    source = Later(partial(_rows, path, width, _SCALE.get(sensor, 1.0)), n, (width,), str(path))
    return Stream(Grid(begin, hz, n), source, "series", _AXES.get(sensor, (sensor.lower(),)), str(path))


def _rows(path: Path, width: int, scale: float) -> NDArray[Any]:
    lines = read_text(path).rstrip().split("\n")[2:]
    try:
        values = np.array(",".join(lines).split(","), np.float64).reshape(len(lines), width)
    except ValueError:  # find the line that is to blame
        values = np.array([_numbers(path, i, line, width) for i, line in enumerate(lines, 3)])
    return (values * scale).astype(np.float32)


def _ibi(path: Path) -> Stream | None:
    text = read_text(path).strip().split("\n") if path.is_file() else []
    if len(text) < 2:
        return None
    begin = _numbers(path, 1, text[0].split(",")[0])[0]
    rows = np.array([_numbers(path, i, line, 2) for i, line in enumerate(text[1:], 2)])
    try:
        clock = Ticks(begin + rows[:, 0])
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    return Stream(clock, ArraySource(rows[:, 1:].astype(np.float32)), "series", ("ibi",), str(path))


def _tags(folder: Path) -> Stream | None:
    paths = sorted(folder.glob("tags*.csv"))
    lines = read_text(paths[0]).split() if paths else []
    if not lines:
        return None
    times = sorted(_numbers(paths[0], i, line, 1)[0] for i, line in enumerate(lines, 1))
    return words(paths[0], [(t, t, "tag") for t in times])
