"""Tracks of satellite receivers."""

from __future__ import annotations

import math
from array import array
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError, raise_all
from plait.core.parts import suggest
from plait.readers import Reader
from plait.readers._columns import DISORDER, ordered
from plait.readers._told import tell
from plait.readers._words import words
from plait.readers._xml import elements
from plait.streams.stream import ArraySource, Stream

__all__ = ["Gpx"]

_LIMITS = {"lat": 90.0, "lon": 180.0}
_MOST_PROBLEMS = 10
_MOST_NAMES = 100


class Gpx(Reader):
    """Stream ``position``: latitude and longitude (degrees, WGS84) and elevation (metres; NaN where there is none).

    Each other number of the points (``hr``, ``cad``, ``speed`` ..., also of extensions) becomes a stream of
    that name, NaN where a point lacks it. Waypoints with a time are words ``waypoints`` of length 0. Times are Unix
    seconds; a time without a zone is UTC. The segments of all tracks follow one another; a gap is a gap in the times.
    Points without a time are left out, and counted in a warning.

    Source: Topografix, "GPX 1.1 Schema Documentation" (also 1.0).

    Args:
        track: which track to take, counted from 0; default: all.
        on_disorder: what to do with times that repeat or go backwards: ``error``, ``sort`` (stably; repeated ones
            stay), ``drop`` (keep a time only if it is later than all before). Their number is logged.

    Raises:
        ConfigError: another word for ``on_disorder``.
        DataError: on opening: no XML, no points with a time, times that cannot be read or places not on Earth (with
            their lines), times that repeat or go backwards.

    >>> Gpx().suffixes
    ('.gpx',)
    """

    suffixes: ClassVar[tuple[str, ...]] = (".gpx",)

    def __init__(self, *, track: int | None = None, on_disorder: str = "error") -> None:
        if on_disorder not in DISORDER:
            raise ConfigError(f"gpx.on_disorder: {on_disorder!r} is unknown. {suggest(on_disorder, DISORDER)}")
        self.track, self.on_disorder = track, on_disorder

    def open(self, path: Path) -> dict[str, Stream]:
        points, marks, stray = _Points(), [], 0
        problems: list[str] = []
        for element in elements(path, "trkpt", "wpt", ends=("trk",)):
            if element.tag == "wpt":
                marks += (own := _mark(element))
                stray += not own
            elif element.tag == "trkpt" and self.track in (None, points.tracks):
                points.add(element, problems)
            points.tracks += element.tag == "trk"
        told = [f"{path}:{p}." for p in problems[:_MOST_PROBLEMS]]
        if len(problems) > _MOST_PROBLEMS:
            told.append(f"{path}: {len(problems) - _MOST_PROBLEMS} more points are like that.")
        raise_all(DataError, told)
        points.tell_timeless(path)
        if stray:
            tell(path, f"{stray} of {stray + len(marks)} waypoints have no time and are left out")
        if not len(points) and not marks:
            chosen = "" if self.track is None else f" {self.track}, of {points.tracks} tracks,"
            raise DataError(f"{path}: has no track{chosen} with points. Expected <trkpt>; record or export it anew.")
        streams = self._streams(path, points) if len(points) else {}
        if marks:
            streams["waypoints"] = words(path, sorted(marks))
        return streams

    def _streams(self, path: Path, points: _Points) -> dict[str, Stream]:
        clock, keep = ordered(path, points.array("time"), self.on_disorder, "point", 1)
        place = np.stack([points.array(name) for name in ("lat", "lon", "ele")], 1)[keep]
        found = {"position": Stream(clock, ArraySource(place), "series", ("lat", "lon", "ele"), str(path))}
        for name in points.names:
            values = points.array(name)[keep]
            found[name] = Stream(clock, ArraySource(values[:, None]), "series", (name,), str(path))
        return found


class _Points:
    """Numbers of the points read so far, by name, one per point."""

    def __init__(self) -> None:
        self.tracks = self.timeless = 0
        self.timeless_line = ""
        """Line of the first point without a time."""
        self._columns: dict[str, array[float]] = {name: array("d") for name in ("time", "lat", "lon", "ele")}

    def __len__(self) -> int:
        return len(self._columns["time"])

    @property
    def names(self) -> list[str]:
        return [name for name in self._columns if name not in ("time", "lat", "lon", "ele")]

    def tell_timeless(self, path: Path) -> None:
        """Warn of points without a time; raise if none has one."""
        first = f"(the first in line {self.timeless_line})"
        if self.timeless and not len(self):
            raise DataError(
                f"{path}: none of its {self.timeless} points {first} has a time, so this is a route that was planned, "
                "not recorded. Leave it out, or export the recorded track."
            )
        if self.timeless:
            total = self.timeless + len(self)
            tell(path, f"{self.timeless} of {total} points {first} have no time and are left out")

    def array(self, name: str) -> NDArray[np.float64]:
        return np.array(self._columns[name], np.float64)

    def add(self, point: Element, problems: list[str]) -> None:
        if not (point.findtext("time") or "").strip():
            self.timeless += 1
            self.timeless_line = self.timeless_line or point.get("line", "")
            return
        own = _numbers(point, problems)
        for name in own.keys() - self._columns.keys():
            if len(self._columns) > _MOST_NAMES:
                problems.append(f"{point.get('line')}: more than {_MOST_NAMES} kinds of numbers; expected a few")
                return
            self._columns[name] = array("d", [math.nan]) * len(self)
        for name, column in self._columns.items():
            column.append(own.get(name, math.nan))


def _numbers(point: Element, problems: list[str]) -> dict[str, float]:
    """Time (Unix seconds), place and all other numbers of a point."""
    line = point.get("line")
    own = {"time": _time(point.findtext("time"))}
    own |= {name: _number(point.get(name)) for name in _LIMITS}
    for leaf in point.iter():
        value = _number(leaf.text) if not len(leaf) else math.nan
        if leaf.tag not in ("time", *_LIMITS) and math.isfinite(value):
            own[leaf.tag] = value
    if math.isnan(own["time"]):
        told = (point.findtext("time") or "")[:40]
        problems.append(f"{line}: the time of a point is {told!r}; expected ISO 8601 (2026-03-01T12:00:00.5Z)")
    for name, limit in _LIMITS.items():
        if not abs(own[name]) <= limit:
            problems.append(f"{line}: {name} is {str(point.get(name))[:40]!r}; expected degrees within {limit:g}")
    return own


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _time(text: str | None) -> float:
    try:
        moment = datetime.fromisoformat((text or "").strip())
    except ValueError:
        return math.nan
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _mark(point: Element) -> list[tuple[float, float, str]]:
    """A waypoint as a row of words, if it has a time."""
    time, text = _time(point.findtext("time")), point.findtext("name") or point.findtext("desc") or ""
    return [] if math.isnan(time) else [(time, time, text.strip())]
