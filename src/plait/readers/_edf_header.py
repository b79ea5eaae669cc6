"""The header of an EDF or BDF file: 256 bytes, and 256 more for each signal, all in ASCII.

Written here because edfio 0.4 reads on over the gaps of EDF+D as if there were none, takes a file that is cut short or
has no scale with a warning, and loads BDF whole; pyedflib 0.1 refuses gaps, and knows a rate as a float. Ten seconds of
32 channels take 0.7 ms here, 0.8 ms by edfio, 1.2 ms by pyedflib (`benchmarks/readers.py`).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError, raise_all
from plait.readers._names import Names
from plait.readers._told import tell

__all__ = ["Header", "Signal", "read_header"]

_FIELDS = {"label": 16, "transducer": 80, "unit": 8, "physical_min": 8, "physical_max": 8, "digital_min": 8,
           "digital_max": 8, "filter": 80, "samples": 8, "reserved": 32}  # fmt: skip
_NOTES = ("EDF Annotations", "BDF Annotations")
_LARGEST = 1e30
"""Physical value beyond which a scale makes no sense."""

_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


@dataclass(frozen=True)
class Signal:
    """One channel: the place of its samples in a record, and its scale.

    Physical values are ``(digital + offset) * gain``.
    """

    label: str
    unit: str
    samples: int
    at: int
    gain: float
    offset: float
    problem: str = ""
    """Why it has no physical values."""


@dataclass(frozen=True)
class Header:
    """The content of a header; ``notes`` are the places (offset in a record, length) of its annotations."""

    path: Path
    begun: float
    """Unix seconds of its start, taken as UTC; 0 where the date is invalid."""
    records: int
    duration: Fraction
    """Seconds per record; above 0 where there are signals."""
    length: int
    """Bytes of the header."""
    record_bytes: int
    bytes_a_sample: int
    gaps: bool
    signals: tuple[Signal, ...]
    notes: tuple[tuple[int, int], ...]

    def mapped(self) -> NDArray[np.uint8]:
        """The records, [records, bytes], through a memory map.

        Raises:
            DataError: the file is gone or has become shorter.
        """
        try:
            return np.memmap(self.path, np.uint8, "r", self.length, (self.records, self.record_bytes))
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path}: cannot be read any more ({error}). Put the whole file back.") from error


def read_header(path: Path) -> Header:
    """Read a header and check it against the file's length.

    Raises:
        DataError: it is no such file, its numbers make no sense, or records are missing; all problems at once.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(256)
            signals = file.read(256 * 10000)
            size = file.seek(0, 2)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}). Correct the path or the file.") from error
    if len(head) < 256 or head[:8] not in (b"0       ", b"\xffBIOSEMI"):
        raise DataError(
            f"{path}: is no EDF or BDF file: it does not begin as one. Get a whole copy, or export it anew."
        )
    return _Parser(path, head, signals, size).header()


class _Parser:
    def __init__(self, path: Path, head: bytes, signals: bytes, size: int) -> None:
        self._path, self._head, self._signals, self._size = path, head, signals, size
        self._problems: list[str] = []

    def header(self) -> Header:
        reserved = _text(self._head[192:236])
        count = self._integer(self._head[252:256], "the number of signals", 0, 10000)
        length = self._integer(self._head[184:192], "the length of the header", 0, 1 << 24)
        duration = self._fraction(self._head[244:252], "the duration of a record")
        self._stop_if_wrong()
        if length != 256 * (count + 1) or len(self._signals) < 256 * count:
            self._wrong(f"has {count} signals and a header of {length} bytes; expected {256 * (count + 1)}")
        self._stop_if_wrong()
        width = 3 if self._head[:1] == b"\xff" else 2
        signals, notes, record = self._channels(self._columns(count), width)
        if signals and duration <= 0:
            self._wrong("its records have no duration; expected seconds above 0")
        self._stop_if_wrong()
        records = self._records(length, record)
        gaps = reserved.upper().startswith(("EDF+D", "BDF+D"))
        return Header(
            self._path, self._begun(), records, duration, length, record, width, gaps, tuple(signals), tuple(notes)
        )

    def _columns(self, count: int) -> list[dict[str, bytes]]:
        """The fields of each signal; the header is ordered by field, then by signal."""
        found: list[dict[str, bytes]] = [{} for _ in range(count)]
        at = 0
        for name, width in _FIELDS.items():
            for own in found:
                own[name] = self._signals[at : at + width]
                at += width
        return found

    def _channels(self, columns: list[dict[str, bytes]], width: int) -> tuple[list[Signal], list[tuple[int, int]], int]:
        signals: list[Signal] = []
        notes: list[tuple[int, int]] = []
        at = 0
        names = Names()
        for i, own in enumerate(columns):
            label = _text(own["label"])
            samples = self._integer(own["samples"], f"samples a record of signal {i} ({label})", 1, 1 << 28)
            if label in _NOTES:
                notes.append((at, samples * width))
            else:
                label = names.free(label or f"signal{i}")
                signals.append(self._signal(label, own, samples, at))
            at += samples * width
        return signals, notes, at

    def _signal(self, label: str, own: dict[str, bytes], samples: int, at: int) -> Signal:
        names = ("physical_min", "physical_max", "digital_min", "digital_max")
        low, high, digital_low, digital_high = (self._number(own[n], f"{n} of {label!r}") for n in names)
        if digital_high == digital_low or high == low or max(abs(high), abs(low)) > _LARGEST:
            problem = (
                f"channel {label!r} has no scale: it runs from {low:g} to {high:g}, in steps from {digital_low:g} to "
                f"{digital_high:g}. Name the other channels with channels: [...]."
            )
            return Signal(label, _text(own["unit"]), samples, at, 1.0, 0.0, problem)
        gain = (high - low) / (digital_high - digital_low)
        return Signal(label, _text(own["unit"]), samples, at, gain, high / gain - digital_high)

    def _records(self, length: int, record: int) -> int:
        there = (self._size - length) // record if record else 0
        # -1 while recording, and after a recorder was not stopped.
        told = self._integer(self._head[236:244], "the number of records", -1, 1 << 62)
        self._stop_if_wrong()
        if told > there:
            raise DataError(
                f"{self._path}: holds {there} of the {told} records that its header promises. It is cut short; "
                "get a whole copy, or correct the header (EDFbrowser: Tools > Header editor)."
            )
        if there > told >= 0 or self._size != length + there * record:
            spare = self._size - length - max(told, 0) * record if told >= 0 else self._size - length - there * record
            tell(self._path, f"{spare} bytes after the last record are left out")
        return there if told < 0 else told

    def _begun(self) -> float:
        """Unix seconds of the start, taken as UTC; with the four-digit year of EDF+ where there is one."""
        date, time = _text(self._head[168:176]), _text(self._head[176:184])
        found = re.fullmatch(r"(\d\d)\D(\d\d)\D(\d\d)", date)
        clock = re.fullmatch(r"(\d\d)\D(\d\d)\D(\d\d)", time)
        if not found or not clock:
            return 0.0
        day, month, year = map(int, found.groups())
        # EDF's clipping date: 85 to 99 stand for 1985 to 1999.
        year += 1900 if year >= 85 else 2000
        plus = re.search(
            r"Startdate (\d\d)-([A-Z]{3})-(\d{4})", _text(self._head[88:168]).replace("startdate", "Startdate")
        )
        if plus and plus[2] in _MONTHS:
            day, month, year = int(plus[1]), _MONTHS.index(plus[2]) + 1, int(plus[3])
        try:
            hour, minute, second = map(int, clock.groups())
            return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
        except ValueError:
            return 0.0

    def _number(self, field: bytes, what: str) -> float:
        try:
            # Some writers use the decimal comma of their locale.
            value = float(_text(field).replace(",", "."))
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            self._wrong(f"{what} is {_text(field)!r}; expected a number")
            return 0.0
        return value

    def _integer(self, field: bytes, what: str, low: int, high: int) -> int:
        value = self._number(field, what)
        if value != int(value) or not low <= value <= high:
            self._wrong(f"{what} is {_text(field)!r}; expected a whole number from {low} on")
            return max(low, 0)
        return int(value)

    def _fraction(self, field: bytes, what: str) -> Fraction:
        value = self._number(field, what)
        text = _text(field).replace(",", ".")
        if not 0 <= value <= 1e7:
            self._wrong(f"{what} is {text!r}; expected seconds")
            return Fraction(0)
        # The text is exact, while a float of 0.1 s per record would let times drift.
        return Fraction(text) if re.fullmatch(r"\d*\.?\d+|\d+\.", text) else Fraction(value)

    def _wrong(self, what: str) -> None:
        self._problems.append(f"{self._path}: {what}. Get a whole copy, or export it anew.")

    def _stop_if_wrong(self) -> None:
        raise_all(DataError, self._problems[:20])


def _text(field: bytes) -> str:
    return field.decode("latin-1").strip(" \0")
