"""Positions on Earth in metres from an origin."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.streams.clock import Clock
from plait.streams.stream import Source, Stream, Values
from plait.transforms import Step

__all__ = ["Metres", "east_north_up"]

_NAMES = {
    "lat": ("lat", "latitude"),
    "lon": ("lon", "lng", "long", "longitude"),
    "ele": ("ele", "elevation", "alt", "altitude", "height"),
}
_SEMI_MAJOR, _FLATTENING = 6378137.0, 1 / 298.257223563
_SQUARED = _FLATTENING * (2 - _FLATTENING)
"""First eccentricity, squared."""

_BLOCK = 4096

Numbers = NDArray[np.float64]


class Metres(Step):
    """Latitude, longitude and elevation (if present) -> ``east``, ``north``, ``up`` in metres, float64.

    The plane touches the ellipsoid WGS84 at the origin: at 10 km distance the ground is 8 m below it. The channels are
    found by their names (``lat``, ``latitude``, ``lng``, ``alt`` ...); other channels are left out. Where the elevation
    is missing, ``up`` is NaN, and east and north are computed at the origin's height.

    Source: National Imagery and Mapping Agency, "Department of Defense World Geodetic System 1984", TR8350.2, 3rd ed.
    (the ellipsoid; geodetic to Cartesian, eq. 4-14 and 4-15), and the rotation into the local plane.

    Args:
        origin: ``[latitude, longitude]``, degrees, or with an elevation in metres; default: the first known position.
        speed: whether to add a channel ``speed``, metres per second along the ground since the previous position (NaN
            at the first position, and where no time passed).

    Raises:
        ConfigError: an origin that is no place on Earth.
        DataError: no channels of these names, a position that is not on Earth, or no known position at all.

    >>> walk = Stream.of([[48.0, 11.0], [48.0001, 11.0]], times=[0.0, 4.0])
    >>> walk = replace(walk, channels=("latitude", "longitude"))
    >>> Metres(speed=True)(walk).read().round(2).tolist()
    [[0.0, 0.0, nan], [-0.0, 11.12, 2.78]]
    """

    kinds = ("series",)

    def __init__(self, *, origin: Sequence[float] | None = None, speed: bool = False) -> None:
        if origin is not None and (len(origin) not in (2, 3) or not _on_earth(np.array([origin], np.float64)).all()):
            raise ConfigError(
                f"metres.origin: got {list(origin)}; expected [latitude, longitude] or with an elevation."
            )
        self.origin, self.speed = origin, speed
        self._unknown = 0

    def notes(self) -> dict[str, int]:
        return {"places that are not known": self._unknown} if self._unknown else {}

    def apply(self, stream: Stream) -> Stream:
        columns = _columns(stream)
        origin = _filled(self.origin) if self.origin is not None else self._first(stream, columns)
        names = ("east", "north", "up")[: len(columns)]
        source = _Local(stream.source, stream.clock, stream.first, columns, origin, self.speed, stream.where)
        return replace(stream, source=source, channels=(*names, "speed") if self.speed else names)

    def _first(self, stream: Stream, columns: list[int]) -> Numbers:
        """The first known position, [latitude, longitude, elevation]."""
        self._unknown = 0
        for block in stream.blocks(_BLOCK):
            places = np.asarray(block.read()[:, columns], np.float64)
            known = np.flatnonzero(np.isfinite(places[:, :2]).all(1))
            if len(known):
                self._unknown += int(known[0])
                return _filled(places[known[0]])
            self._unknown += len(places)
        raise DataError(f"{stream.where or 'stream'}: metres finds no place that is known. Give an origin.")


def east_north_up(places: Numbers, origin: Numbers) -> Numbers:
    """Positions [n, 3] (degrees, degrees, metres above WGS84) as metres east, north and up of an origin, [n, 3].

    >>> east_north_up(np.array([[0.0, 1.0, 0.0]]), np.zeros(3)).round(1).tolist()
    [[111313.8, 0.0, -971.4]]
    """
    lat, lon = np.radians(origin[:2])
    delta = _cartesian(places) - _cartesian(origin[None])
    east = np.array([-np.sin(lon), np.cos(lon), 0])
    north = np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    up = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    return np.stack([delta @ axis for axis in (east, north, up)], 1)


def _cartesian(places: Numbers) -> Numbers:
    lat, lon, height = np.radians(places[:, 0]), np.radians(places[:, 1]), places[:, 2]
    normal = _SEMI_MAJOR / np.sqrt(1 - _SQUARED * np.sin(lat) ** 2)
    across = (normal + height) * np.cos(lat)
    return np.stack([across * np.cos(lon), across * np.sin(lon), (normal * (1 - _SQUARED) + height) * np.sin(lat)], 1)


def _on_earth(places: Numbers) -> NDArray[np.bool_]:
    """Which positions are on Earth; unknown ones (NaN) count as such."""
    # Longitudes may count from -180 to 180 or from 0 to 360.
    off = (np.abs(places[:, :2]) > [90, 360]).any(1) | np.isinf(places).any(1)
    return np.asarray(~off, np.bool_)


def _filled(place: Sequence[float] | Numbers) -> Numbers:
    """Three numbers, 0 m if the elevation is unknown."""
    full = np.zeros(3)
    full[: len(place)] = np.nan_to_num(np.asarray(place, np.float64))
    return full


def _columns(stream: Stream) -> list[int]:
    """The channels of latitude, longitude and, if present, elevation."""
    # Units are cut off the names, as in "Latitude (deg)" or "altitude_m".
    bare = [re.sub(r"[_ ]*[(\[].*|[_ ](deg|degrees|m|metres|meters)$", "", c.lower()).strip() for c in stream.channels]
    found = [next((bare.index(n) for n in names if n in bare), None) for names in _NAMES.values()]
    lat, lon, ele = found
    if lat is None or lon is None or stream.source.shape != (len(bare),):
        raise DataError(
            f"{stream.where or 'stream'}: metres needs the channels lat and lon, but there are: "
            f"{', '.join(stream.channels) or 'channels without names'}. Read them with their names."
        )
    return [lat, lon] if ele is None else [lat, lon, ele]


@dataclass(frozen=True)
class _Local:
    """Positions in metres, [n, 2 or 3 and the speed]; `plait.streams.stream.Source`."""

    source: Source
    clock: Clock
    first: int
    columns: list[int]
    origin: Numbers
    speed: bool
    where: str

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.columns) + self.speed,)

    def read(self, lo: int, hi: int) -> Values:
        # A speed needs the position before: one more is read, so that a cut gives the same speeds.
        before = 1 if self.speed and lo > self.first else 0
        places = np.asarray(self.source.read(lo - before, max(hi, lo))[:, self.columns], np.float64)
        bad = np.flatnonzero(~_on_earth(places))
        if len(bad):
            raise DataError(
                f"{self.where or 'stream'}: observation {lo - before + bad[0]} is at {places[bad[0], :2].tolist()}; "
                "expected latitude and longitude in degrees. Correct it, or give the columns in degrees."
            )
        heights = places[:, 2] if len(self.columns) == 3 else np.full(len(places), np.nan)
        full = np.column_stack([places[:, :2], np.where(np.isnan(heights), self.origin[2], heights)])
        local = east_north_up(full, self.origin)
        local[np.isnan(heights), 2] = np.nan
        if not self.speed:
            return local[:, : len(self.columns)]
        return np.column_stack([local[:, : len(self.columns)], self._speeds(local, lo, before)])[before:]

    def _speeds(self, local: Numbers, lo: int, before: int) -> Numbers:
        at = lo - before - self.first
        seconds = np.diff(self.clock[at : at + len(local)].times)
        ground = np.hypot(*np.diff(local[:, :2], axis=0).T)
        speeds = np.full(len(local), np.nan)
        speeds[1:] = np.divide(ground, seconds, out=np.full(len(ground), np.nan), where=seconds > 0)
        return speeds
