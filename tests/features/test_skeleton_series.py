from __future__ import annotations

import numpy as np
import pytest

from plait.core.errors import ConfigError, DataError
from plait.features.series import Series, Statistics
from plait.features.skeleton import Pose
from plait.streams.clock import Grid
from plait.streams.stream import Stream


def walk(n: int = 40) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 6, 3)) + np.linspace(0, 5, n)[:, None, None]


def positions(points: np.ndarray, **options: object) -> np.ndarray:
    values, _ = Pose(velocities=False, **options)(Stream.of(points, rate=30))  # type: ignore[arg-type]
    return values.reshape(len(points), 6, 3)


def test_centres() -> None:
    points = walk()
    np.testing.assert_allclose(positions(points), points - points.mean((0, 1)), atol=1e-5)
    np.testing.assert_allclose(positions(points, centre="first"), points - points[0].mean(0), atol=1e-5)
    np.testing.assert_allclose(positions(points, centre=2), points - points[:, 2].mean(0), atol=1e-5)
    rooted = positions(points, centre=2, per_frame=True)
    np.testing.assert_allclose(rooted, points - points[:, 2:3], atol=1e-5)
    np.testing.assert_allclose(positions(points, centre=None), points, atol=1e-5)


@pytest.mark.parametrize("per_frame", [False, True])
def test_scale_makes_tall_and_small_people_agree(per_frame: bool) -> None:
    points = walk()
    one = positions(points, scale=True, per_frame=per_frame)
    np.testing.assert_allclose(positions(points * 1.7, scale=True, per_frame=per_frame), one, atol=1e-5)


def test_velocities_are_a_second_on_the_real_clock() -> None:
    times = np.cumsum(np.random.default_rng(1).uniform(0.01, 0.09, 40))
    points = np.zeros((40, 6, 3)) + (times * 2.5)[:, None, None]
    values, _ = Pose()(Stream.of(points, times=times))
    velocity = values[:, 18:]
    assert not velocity[0].any()
    np.testing.assert_allclose(velocity[1:], 2.5, rtol=1e-4)


def test_missing_joints_stay_missing_and_move_no_centre() -> None:
    points = walk()
    points[10] = np.nan
    points[20, 3] = np.nan
    values, _ = Pose()(Stream.of(points, rate=30))
    assert np.isnan(values[10]).all()
    assert np.isnan(values[20]).sum() == 6
    assert np.isfinite(values[11]).all()
    rest = np.delete(points, 10, 0)
    seen = np.nanmean(np.nanmean(rest, 1)[~np.isnan(rest).any((1, 2))], 0)
    assert abs(float(seen.mean())) > 1
    assert abs(float(np.nanmean(values[:, :18]))) < 0.05


def test_a_pose_that_is_all_missing() -> None:
    values, _ = Pose(scale=True)(Stream.of(np.full((4, 6, 3), np.nan), rate=30))
    assert np.isnan(values).all()


def test_bad_poses() -> None:
    with pytest.raises(ConfigError, match="expected mean, first"):
        Pose(centre="hips")
    with pytest.raises(ConfigError, match="cannot be taken per_frame"):
        Pose(centre="first", per_frame=True)
    with pytest.raises(DataError, match="centre is joint 9, but the last joint is 5"):
        Pose(centre=9)(Stream.of(walk(), rate=30))
    with pytest.raises(DataError, match="at one point"):
        Pose(scale=True)(Stream.of(np.ones((4, 6, 3)), rate=30))


def test_series_as_they_are() -> None:
    values = np.random.default_rng(0).normal(size=(30, 3))
    values[4, 1] = np.nan
    out, clock = Series()(Stream.of(values, rate=4))
    np.testing.assert_allclose(out, values, rtol=1e-6)
    assert clock == Grid(0, 4, 30)


def test_scale_within_the_recording() -> None:
    values = np.random.default_rng(0).normal(5, 3, size=(300, 2))
    values[::7, 0] = np.nan
    values[:, 1] = 4.2
    feature = Series(scale="recording")
    out, _ = feature(Stream.of(values, rate=4))
    assert np.nanmean(out[:, 0]) == pytest.approx(0, abs=1e-6)
    assert np.nanstd(out[:, 0]) == pytest.approx(1, abs=1e-6)
    assert not out[:, 1].any()
    assert feature.notes() == {"constant channels": 1}


def test_means_on_a_grid_tile_the_recording() -> None:
    out, clock = Series(rate=1)(Stream.of(np.repeat([1.0, 2.0, 3.0], 10), rate=10))
    np.testing.assert_allclose(clock.times, [0.5, 1.5, 2.5])
    np.testing.assert_allclose(out.ravel(), [1, 2, 3], atol=0.06)


def test_gaps_on_a_grid_are_unknown_and_counted() -> None:
    feature = Series(rate=2)
    times = np.concatenate([np.arange(0, 5, 0.25), np.arange(20, 25, 0.25)])
    out, clock = feature(Stream.of(np.ones(len(times)), times=times))
    known = ~np.isnan(out[:, 0])
    assert known[clock.times < 4.5].all()
    assert not known[(clock.times > 5.5) & (clock.times < 19.5)].any()
    assert feature.notes()["instants that nothing is known of"] == int((~known).sum())
    with pytest.raises(DataError, match="Raise the option gap"):
        feature(Stream.of(np.ones(5), times=np.arange(5) * 60.0))


def test_texts_and_too_large_numbers_are_refused() -> None:
    with pytest.raises(DataError, match="expected real numbers"):
        Series()(Stream.of(["a", "b"], times=[0, 1], kind="series"))
    with pytest.raises(DataError, match=r"expected below 3\.4e38"):
        Series()(Stream.of([1e300, 0.0], times=[0, 1]))


def test_statistics_of_long_windows_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream.of(np.random.default_rng(0).normal(size=(4000, 2)), rate="64")
    whole, clock = Statistics(window=5, hop=0.5)(stream)
    monkeypatch.setattr("plait.features.series.CHUNK", 1000)
    pieces, same = Statistics(window=5, hop=0.5)(stream)
    np.testing.assert_array_equal(whole, pieces)
    assert same == clock
    assert clock.times[1] - clock.times[0] == pytest.approx(0.5)


def test_a_wild_value_costs_no_digits_elsewhere() -> None:
    values = np.random.default_rng(0).normal(size=(400, 1))
    clean, _ = Statistics(window=4, hop=1)(Stream.of(values, rate=10))
    values[0] = 1e15
    wild, _ = Statistics(window=4, hop=1)(Stream.of(values, rate=10))
    np.testing.assert_array_equal(wild[1:], clean[1:])


def test_empty_windows_are_unknown_and_counted() -> None:
    feature = Statistics(window=1, hop=1)
    out, _ = feature(Stream.of(np.ones(3), times=[0.0, 0.5, 4.2]))
    assert np.isnan(out).all(1).tolist() == [False, True, True, True]
    assert feature.notes() == {"windows without an observation": 3}
    with pytest.raises(ConfigError, match=r"expected numbers in 0\.\.1"):
        Statistics(quantiles=[2])
