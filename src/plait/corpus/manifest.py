"""The manifest: one line of JSON per recording, typed; all of its problems are reported at once."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from plait.core.atomic import replacing
from plait.core.errors import DataError
from plait.core.safe_yaml import brief
from plait.streams.clock import FARTHEST, Clock, rational
from plait.streams.warp import Warp, warped

__all__ = [
    "AnnotationEntry",
    "FilePath",
    "Label",
    "Rate",
    "RecordingEntry",
    "Seconds",
    "StreamEntry",
    "problems_of",
    "read_manifest",
    "write_manifest",
]

LONGEST = 1 << 26
"""Characters of a line; the annotations of a day take a tenth of that."""

MOST = 1000
"""Number of problems after which reading stops: the file is probably no manifest."""


def _label(value: object) -> object:
    """A text, number or flag. NaN and infinite numbers stay: they are counted where items are made."""
    if not isinstance(value, str | int | float):
        raise ValueError("expected a text, a number, true or false")
    # Beyond int64, which Arrow and NumPy hold; Python itself reads any number of digits.
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("expected a number of fewer than 19 digits, or a text in quotes")
    return value


def _rate(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("expected observations per second: 25, 29.97 or 30000/1001")
    try:
        rational(value)
    except DataError as error:
        raise ValueError("expected observations per second, above 0: 25, 29.97 or 30000/1001") from error
    return value


Label = str | int | float | bool
_Label = Annotated[Label, BeforeValidator(_label)]
Seconds = Annotated[float, Field(ge=-FARTHEST, le=FARTHEST, allow_inf_nan=False)]
_Edge = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
_Size = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
Rate = Annotated[float | str, BeforeValidator(_rate)]
"""Observations per second, as `plait.streams.clock.rational` takes them."""

FilePath = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\x00]+$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=False)


class StreamEntry(_Strict):
    """One stream in the manifest: where it is, and how its clock becomes the recording's.

    ``recording seconds = (file seconds - origin) * (1 + drift_ppm / 1e6) + offset``, and
    ``warp`` adds to these: pairs of (seconds, seconds to add), linear in between and held beyond (see
    `plait.streams.warp.Warp`). A clock runs at between a thousandth and a thousand times the recording's speed.

    ``boxes``: the stream has a row for each, what the pictures of the file show within it; start, stop (file seconds),
    left, top, width, height (pixels), in order of time (`plait.streams.crops`).
    """

    path: FilePath | None = None
    part: str | None = None
    reader: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    texts: list[str] | None = None
    spans: list[tuple[Seconds, Seconds]] | None = None
    boxes: list[tuple[Seconds, Seconds, _Edge, _Edge, _Size, _Size]] | None = None
    rate: Rate | None = None
    duration: Annotated[float, Field(gt=0, le=FARTHEST, allow_inf_nan=False)] | None = None
    origin: Seconds = 0.0
    offset: Seconds = 0.0
    drift_ppm: float = Field(0.0, ge=-999_000, le=999_000_000, allow_inf_nan=False)
    warp: list[tuple[Seconds, Seconds]] | None = None
    sync: dict[str, object] | None = None

    def correct(self, clock: Clock) -> Clock:
        """The file's clock on the recording's time line.

        Raises:
            DataError: the warp lets time go backwards.
        """
        # Most clocks need no correction, and fractions are slow.
        if not self.offset == self.drift_ppm == self.origin == 0:
            clock = clock.corrected(self.offset, self.drift_ppm, self.origin)
        return warped(clock, Warp(self.warp)) if self.warp else clock

    def back(self, seconds: float) -> float:
        """Seconds of the file, for seconds of the recording: the inverse of `correct`.

        >>> StreamEntry(path="a.mp4", offset=1.5, drift_ppm=100_000).back(3.7)
        2.0
        """
        own = float(Warp(self.warp).back(seconds)) if self.warp else seconds
        # As it is where nothing is corrected, so that equal times stay equal.
        return (own - self.offset) / (1 + self.drift_ppm / 1e6) + self.origin


class AnnotationEntry(_Strict):
    start: Seconds
    stop: Seconds
    label: _Label
    tier: str = "label"
    annotator: str = ""


class RecordingEntry(_Strict):
    """One line of the manifest."""

    id: str = Field(min_length=1, max_length=1000)
    streams: dict[str, StreamEntry] = Field(default_factory=dict)
    labels: dict[str, _Label] = Field(default_factory=dict)
    annotations: list[AnnotationEntry] = Field(default_factory=list)
    meta: dict[str, Any] = Field(default_factory=dict)
    group: str = ""
    split: str = ""


def _plain(entry: BaseModel) -> dict[str, object]:
    return entry.model_dump(exclude_defaults=True, mode="json")


def write_manifest(path: Path, entries: Iterable[RecordingEntry]) -> None:
    """Write a manifest atomically: the file is either the old one or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, durable=True) as part, open(part, "w", encoding="utf-8") as out:
        for entry in entries:
            out.write(json.dumps(_plain(entry), ensure_ascii=False) + "\n")


def read_manifest(path: Path) -> tuple[list[tuple[int, RecordingEntry]], list[str]]:
    """Entries with their line numbers, and every problem of the lines that are not entries.

    Raises:
        DataError: there is no such file, or it cannot be read.
    """
    good: list[tuple[int, RecordingEntry]] = []
    problems: list[str] = []
    lines_of: dict[str, int] = {}
    for number, line in _lines(path):
        where = f"{path.name}:{number}"
        if len(problems) >= MOST:
            problems.append(f"{where}: reading stopped after {len(problems):,} problems. Is this a manifest?")
            break
        if len(line) > LONGEST:
            problems.append(f"{where}: has more than {LONGEST:,} characters; reading stopped here.")
            break
        try:
            entry = RecordingEntry.model_validate_json(line)
        except ValidationError as error:
            problems += problems_of(error, where)
            continue
        if entry.id in lines_of:
            problems.append(f"{where} id: {entry.id!r} stands on line {lines_of[entry.id]} too. Make ids unique.")
            continue
        lines_of[entry.id] = number
        good.append((number, entry))
    return good, problems


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that are not empty, with their numbers; of a line that is too long only the beginning."""
    try:
        if not path.is_file():
            name = str(path) if str(path).strip() else repr(str(path))
            raise DataError(f"{name}: no such manifest. Make one with: plait import FOLDER")
        # Windows editors put a byte order mark in front; one byte that is not UTF-8 must not end the reading.
        with open(path, encoding="utf-8-sig", errors="replace") as lines:
            for number, line in enumerate(iter(lambda: lines.readline(LONGEST + 1), ""), 1):
                if line.strip():
                    yield number, line
    except (OSError, ValueError) as error:  # a name with NUL in it is a ValueError
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{brief(str(path), 300)}: cannot be read ({reason}).") from error


def problems_of(error: ValidationError, where: str) -> list[str]:
    """Pydantic's errors in plait's form: place, what is wrong, and the value."""
    problems = []
    for e in error.errors(include_url=False):
        place = ".".join(str(p) for p in e["loc"]) or "line"
        said = re.sub("^Value error, ", "", e["msg"])
        got = "" if e["type"] in ("json_invalid", "missing") else f"; got {brief(e['input'])}"
        problems.append(f"{where} {brief_place(place)}: {said}{got}.")
    return problems


def brief_place(place: str) -> str:
    return place if len(place) <= 200 else f"{place[:197]}..."
