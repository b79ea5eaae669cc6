"""GPX: tracks by an independent writer, and by hand."""

from __future__ import annotations

import datetime

import numpy as np
import pytest

from plait.core.errors import ConfigError, DataError
from plait.readers import open_streams
from plait.readers.gpx import Gpx
from plait.streams.clock import Spans, Ticks

START = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


def _track(points, mark=""):
    """GPX of (latitude, longitude, second, more) of one segment a list."""
    text = '<?xml version="1.0"?>\n<gpx version="1.1" xmlns="http://www.topografix.com/GPX/1/1">' + mark
    for track in points:
        text += "<trk>"
        for segment in track:
            text += "<trkseg>\n"
            for lat, lon, second, more in segment:
                time = "" if second is None else f"<time>2026-03-01T12:00:{second:06.3f}Z</time>"
                text += f'<trkpt lat="{lat}" lon="{lon}">{time}{more}</trkpt>\n'
            text += "</trkseg>"
        text += "</trk>"
    return text + "</gpx>"


def _open(tmp_path, text, **options):
    path = tmp_path / "a.gpx"
    path.write_text(text)
    return open_streams(path, options=options)


def test_what_gpxpy_wrote_comes_back(tmp_path):
    gpxpy = pytest.importorskip("gpxpy.gpx")
    rng = np.random.default_rng(0)
    gpx = gpxpy.GPX()
    gpx.tracks.append(gpxpy.GPXTrack())
    places = np.column_stack([48 + rng.normal(0, 0.01, 40), 11 + rng.normal(0, 0.01, 40), rng.normal(500, 9, 40)])
    for part in (places[:25], places[25:]):
        segment = gpxpy.GPXTrackSegment()
        gpx.tracks[0].segments.append(segment)
        for place in part:
            at = START + datetime.timedelta(seconds=1.5 * sum(len(s.points) for s in gpx.tracks[0].segments))
            segment.points.append(gpxpy.GPXTrackPoint(*place, time=at))
    gpx.waypoints.append(gpxpy.GPXWaypoint(48, 11, time=START + datetime.timedelta(seconds=7), name="gate"))
    path = tmp_path / "walk.gpx"
    path.write_text(gpx.to_xml())
    found = open_streams(path)
    position = found["position"]
    assert position.channels == ("lat", "lon", "ele")
    assert np.array_equal(position.read(), places)
    assert position.clock == Ticks(START.timestamp() + 1.5 * np.arange(40))
    assert found["waypoints"].clock == Spans([START.timestamp() + 7], [START.timestamp() + 7])
    assert found["waypoints"].read().tolist() == ["gate"]


def test_numbers_beside_the_place_are_streams(tmp_path):
    hr = '<extensions><g:TrackPointExtension xmlns:g="x"><g:hr>{}</g:hr></g:TrackPointExtension></extensions>'
    points = [(1, 2, 0, hr.format(80)), (1, 2, 1, "<ele>7</ele><name>here</name>"), (1, 2, 2, hr.format("90.5"))]
    found = _open(tmp_path, _track([[points]]))
    assert sorted(found) == ["hr", "position"]
    assert np.array_equal(found["hr"].read(), [[80], [np.nan], [90.5]], equal_nan=True)
    assert np.array_equal(found["position"].read()[:, 2], [np.nan, 7, np.nan], equal_nan=True)


def test_tracks_and_disorder(tmp_path):
    text = _track([[[(1, 2, 5, ""), (1, 3, 6, "")]], [[(1, 4, 1, ""), (1, 5, 2, "")], [(1, 6, 2, "")]]])
    with pytest.raises(DataError, match=r"(?s)times repeat in 1 places, first at point 4.*go backwards.*at point 2"):
        _open(tmp_path, text)
    assert _open(tmp_path, text, on_disorder="sort")["position"].read()[:, 1].tolist() == [4, 5, 6, 2, 3]
    assert _open(tmp_path, text, on_disorder="drop", track=1)["position"].read()[:, 1].tolist() == [4, 5]


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([], r"a\.gpx: has no track with points"),
        (
            [[[(1, 2, None, ""), (1, 2, None, "")]]],
            r"a\.gpx: none of its 2 points \(the first in line 3\).*planned, not recorded",
        ),
        (
            [[[(1, 2, None, "<time>noon</time>"), (1, 2, 3, "")]]],
            r"a\.gpx:3: the time of a point is 'noon'; expected ISO",
        ),
        ([[[(91, 2, 1, "")]]], "lat is '91'; expected degrees within 90"),
        ([[[(1, "x", 1, "")]]], "lon is 'x'"),
    ],
)
def test_bad_tracks_say_what_is_wrong(tmp_path, points, message):
    with pytest.raises(DataError, match=message):
        _open(tmp_path, _track(points))


def test_points_without_a_time_are_left_out_and_counted(tmp_path, caplog):
    points = [(1, 2, 0, ""), (1, 3, None, "<hr>80</hr>"), (1, 4, 1, "<hr>81</hr>"), (1, 5, None, "<time/>")]
    found = _open(tmp_path, _track([[points]], '<wpt lat="1" lon="2"><name>gate</name></wpt>'))
    assert found["position"].read()[:, 1].tolist() == [2, 4]
    assert np.array_equal(found["hr"].read(), [[np.nan], [81]], equal_nan=True)
    assert "2 of 4 points (the first in line 4) have no time and are left out" in caplog.text
    assert "1 of 1 waypoints have no time and are left out" in caplog.text


def test_what_is_not_there(tmp_path):
    with pytest.raises(DataError, match="has no track 3, of 1 tracks, with points"):
        _open(tmp_path, _track([[[(1, 2, 1, "")]]]), track=3)
    with pytest.raises(ConfigError, match="on_disorder"):
        Gpx(on_disorder="fix")
    with pytest.raises(DataError, match="defines entities"):
        _open(tmp_path, '<!DOCTYPE g [<!ENTITY a "x">]><gpx/>')


@pytest.mark.slow
def test_a_long_track_is_parsed_in_constant_memory(tmp_path):
    import tracemalloc

    path = tmp_path / "long.gpx"
    rows = "".join(
        f'<trkpt lat="48" lon="11"><time>2026-03-01T{i // 3600:02d}:{i // 60 % 60:02d}:{i % 60:02d}Z</time></trkpt>\n'
        for i in range(6_000)
    )
    path.write_text(f"<gpx><trk><trkseg>{rows}</trkseg></trk></gpx>")
    tracemalloc.start()
    stream = open_streams(path)["position"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(stream) == 6_000
    assert peak < 2e6  # 4 numbers a point, several times; a tree of the file would take 9 MB
