"""Positions in metres: against formulas for the sphere and the ellipsoid, and properties of a local plane."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.errors import ConfigError, DataError
from plait.readers import open_streams
from plait.streams.stream import Stream
from plait.transforms import apply_steps
from plait.transforms.position import Metres, east_north_up


def _stream(places, channels=("lat", "lon", "ele"), times=None):
    places = np.asarray(places, float)
    stream = Stream.of(places, times=np.arange(len(places)) * 2.0 if times is None else times)
    return replace(stream, channels=channels[: places.shape[1]])


def test_distances_are_those_of_vincenty():
    """Lengths of one degree on WGS84, metres: along the meridian 111132.954 - 559.822 cos 2p + 1.175 cos 4p, and
    along the parallel 111412.84 cos p - 93.5 cos 3p + 0.118 cos 5p (National Geospatial-Intelligence Agency)."""
    for lat in (0.0, 30.0, 48.1, -60.0, 85.0):
        p = np.radians(lat)
        north = (111132.954 - 559.822 * np.cos(2 * p) + 1.175 * np.cos(4 * p)) * 1e-3
        east = (111412.84 * np.cos(p) - 93.5 * np.cos(3 * p) + 0.118 * np.cos(5 * p)) * 1e-3
        got = east_north_up(
            np.array([[lat, 7.001, 0], [lat + 5e-4, 7, 0], [lat - 5e-4, 7, 0]]), np.array([lat, 7, 0.0])
        )
        assert got[0, 0] == pytest.approx(east, rel=1e-5)
        assert got[1, 1] - got[2, 1] == pytest.approx(north, rel=1e-5)


places = st.tuples(st.floats(-89, 89), st.floats(-180, 180), st.floats(-400, 9000))


@settings(max_examples=30)
@given(places, places)
def test_distance_between_two_places_is_the_same_from_both(a, b):
    a, b = np.array(a), np.array(b)
    there, back = east_north_up(b[None], a)[0], east_north_up(a[None], b)[0]
    assert np.linalg.norm(there) == pytest.approx(np.linalg.norm(back), rel=1e-9, abs=1e-6)
    assert np.allclose(east_north_up(a[None], a), 0, atol=1e-8)
    up = east_north_up((a + [0, 0, 100])[None], a)[0]
    assert up == pytest.approx([0, 0, 100], abs=1e-6)


def test_channels_by_any_usual_name_and_in_any_order():
    rows = [[510.0, 11.0, 3.0, 48.0], [520.0, 11.001, 4.0, 48.0]]
    stream = _stream(rows, ("Altitude (m)", "lng", "hdop", "Latitude_deg"))
    out = Metres()(stream)
    assert out.channels == ("east", "north", "up")
    assert out.read()[1] == pytest.approx([74.6, 0, 10], abs=0.05)
    assert Metres()(_stream([[48, 11], [48, 11]])).channels == ("east", "north")


def test_origin_and_unknown_places():
    gone = _stream([[np.nan, np.nan, np.nan], [48, 11, np.nan], [48, 11.001, 5]])
    step = Metres()
    values = step(gone).read()
    assert np.isnan(values[0]).all()
    assert values[1, :2].tolist() == pytest.approx([0, 0])
    assert np.isnan(values[1, 2])
    assert values[2, 2] == pytest.approx(5, abs=1e-3)
    assert step.notes() == {"places that are not known": 1}
    given_origin = Metres(origin=[48, 10.999, 100])(gone).read()
    assert given_origin[1, 0] == pytest.approx(74.6, abs=0.05)
    with pytest.raises(DataError, match="finds no place that is known"):
        Metres()(_stream([[np.nan, 1.0]]))


def test_speed_and_reading_in_pieces():
    rng = np.random.default_rng(0)
    stream = _stream(48 + np.cumsum(rng.normal(0, 1e-5, (50, 2)), 0), times=np.repeat(np.arange(25), 2) * 1.5)
    out = Metres(speed=True)(stream)
    whole = out.read()
    assert out.channels == ("east", "north", "speed")
    assert np.isnan(whole[::2, 2][0])
    assert np.isnan(whole[1::2, 2]).all()  # no time passed
    want = np.hypot(*(whole[2::2, :2] - whole[1:-1:2, :2]).T) / 1.5
    assert np.allclose(whole[2::2, 2], want)
    for size in (1, 7, 50):
        assert np.array_equal(np.concatenate([b.read() for b in out.blocks(size)]), whole, equal_nan=True)
    part = Metres(speed=True, origin=[48, 48])(stream[10:20])
    assert np.allclose(part.read()[1:, 2], whole[11:20, 2], equal_nan=True)


@pytest.mark.parametrize(
    ("rows", "channels", "message"),
    [
        ([[91.0, 0.0]], ("lat", "lon"), r"observation 0 is at \[91\.0, 0\.0\]; expected latitude and longitude"),
        ([[48_000_000.0, 0.0]], ("lat", "lon"), "expected latitude and longitude in degrees"),
        ([[1.0, 2.0]], ("x", "y"), "needs the channels lat and lon, but there are: x, y"),
    ],
)
def test_what_is_no_position_is_refused(rows, channels, message):
    with pytest.raises(DataError, match=message):
        Metres()(_stream(rows, channels)).read()


def test_options_are_checked():
    for origin in ([1], [100, 0], [1, 2, 3, 4]):
        with pytest.raises(ConfigError, match=r"metres\.origin"):
            Metres(origin=origin)


def test_tables_with_coordinates(tmp_path):
    (tmp_path / "a.csv").write_text("time,latitude,longitude,speed\n0,48,11,1\n1,48.001,11,2\n")
    stream = apply_steps(open_streams(tmp_path / "a.csv")["series"], [{"name": "metres", "speed": True}])
    assert stream.read()[1] == pytest.approx([0, 111.2, 111.2], abs=0.05)
