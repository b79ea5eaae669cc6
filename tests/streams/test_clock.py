from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.core.errors import DataError
from plait.features.series import Statistics
from plait.streams.clock import Grid, Spans, Ticks, rational, windows
from plait.streams.stream import Stream

rates = st.sampled_from(["25", "30000/1001", "24000/1001", "44100", "1/2", "100", "333/7"])
starts = st.floats(-1e4, 2e9, allow_nan=False)
seconds = st.floats(-50, 150, allow_nan=False)


@given(starts, rates, st.integers(1, 3000), st.data())
def test_seconds_to_index_to_seconds_is_the_identity_on_the_grid(
    start: float, rate: str, n: int, data: st.DataObject
) -> None:
    grid = Grid(start, rate, n)
    i = data.draw(st.integers(0, n - 1))
    assert grid.first_at(float(grid.times[i])) == i
    assert grid.nearest([grid.times[i]])[0] == i


@given(st.floats(-10, 10), rates, st.integers(0, 2000), seconds, seconds, seconds, seconds)
def test_a_cut_of_a_cut_is_a_cut_on_a_grid(
    start: float, rate: str, n: int, a: float, b: float, c: float, d: float
) -> None:
    grid = Grid(start, rate, n)
    twice, once = grid.cut(a, b).cut(c, d), grid.cut(max(a, c), min(b, d))
    assert twice.n == once.n
    if once.n:
        assert twice == once


times = st.lists(st.floats(0, 100, allow_nan=False), max_size=40).map(sorted)


@given(times, seconds, seconds, seconds, seconds)
def test_a_cut_of_a_cut_is_a_cut_for_ticks_and_spans(t: list[float], a: float, b: float, c: float, d: float) -> None:
    for clock in (Ticks(t), Spans(t, [x + 1 for x in t])):
        assert clock.cut(a, b).cut(c, d) == clock.cut(max(a, c), min(b, d))


@given(times, seconds, seconds)
def test_neighbouring_cuts_share_nothing_and_lose_nothing(t: list[float], a: float, b: float) -> None:
    clock, (a, b) = Ticks(t), sorted((a, b))
    parts = [clock.cut(-np.inf, a), clock.cut(a, b), clock.cut(b, np.inf)]
    np.testing.assert_array_equal(np.concatenate([p.times for p in parts]), clock.times)


@pytest.mark.slow
def test_a_million_windows_do_not_drift() -> None:
    hop = 0.1
    *_, last = windows(0, 100_000.05, 0.05, hop)
    assert last[0] == 100_000.0
    grid = Grid(0, "30000/1001", 3_000_000)
    assert grid.window(last[0], last[0] + 1).start == -(-100_000 * 30000 // 1001)


def test_windows_without_an_end_are_refused_at_once() -> None:
    with pytest.raises(DataError, match=r"windows every 5e-254 s: 4 s hold more than 10,000,000\. Give a larger hop"):
        next(windows(0, 4, 1.0, 5e-254))
    with pytest.raises(DataError, match="Give a larger hop"):
        Statistics(window=1.0, hop=5e-254)(Stream.of(np.zeros((40, 1)), rate=10))


@given(st.floats(0.05, 30), st.floats(0.01, 5), st.floats(0.01, 5))
def test_windows_lie_within(stop: float, length: float, hop: float) -> None:
    length, hop = round(length, 3), round(hop, 3)
    found = list(windows(0, stop, length, hop))
    assert all(a >= 0 and b <= stop + 1e-8 for a, b in found)
    assert bool(found) == (length <= stop + 1e-9)


@given(st.floats(-5, 5), st.floats(-300, 300), rates, st.integers(1, 5000))
def test_correcting_and_taking_it_back(offset: float, drift: float, rate: str, n: int) -> None:
    drift = round(drift, 3)
    grid = Grid(1.5, rate, n)
    corrected = grid.corrected(offset, drift)
    np.testing.assert_allclose(corrected.times, grid.times * (1 + drift * 1e-6) + offset, rtol=0, atol=1e-6)
    assert corrected.n == n
    ticks = Ticks(grid.times).corrected(offset, drift)
    np.testing.assert_allclose(ticks.times, corrected.times, rtol=0, atol=1e-6)


def test_an_origin_of_two_thousand_million_seconds_keeps_its_digits() -> None:
    grid = Grid(1_644_227_574, 64, 1000).corrected(offset=0.25, drift_ppm=100, origin=1_644_227_574)
    assert grid.start == 0.25
    assert grid.times[64] == pytest.approx(0.25 + 1.0001, abs=1e-12)


@given(times.filter(bool), st.lists(seconds, min_size=1, max_size=20))
def test_nearest_is_nearest(t: list[float], wanted: list[float]) -> None:
    found = Ticks(t).nearest(wanted)
    distance = np.abs(np.asarray(t)[None] - np.asarray(wanted)[:, None])
    np.testing.assert_allclose(distance[np.arange(len(wanted)), found], distance.min(1))


def test_film_rates_are_exact() -> None:
    assert rational(29.97) == Fraction(30000, 1001)
    assert rational(23.976) == Fraction(24000, 1001)
    assert rational(59.94) == Fraction(60000, 1001)
    assert rational(12.5) == Fraction(25, 2)
    assert rational(0.1) == Fraction(1, 10)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Grid(0, 0, 3), "above 0"),
        (lambda: Grid(0, "fast", 3), "fast"),
        (lambda: Grid(0, 25, -1), "-1"),
        (lambda: Grid(float("nan"), 25, 1), "finite"),
        (lambda: Ticks([0, 2, 1]), "backwards at number 2"),
        (lambda: Ticks([0, float("nan")]), "number 1"),
        (lambda: Spans([0, 1], [1, 0.5]), "interval 1"),
        (lambda: Spans([0], [1, 2]), "stops"),
        (lambda: list(windows(0, 1, 0, 1)), "above 0"),
    ],
)
def test_impossible_clocks_are_refused(make: object, said: str) -> None:
    with pytest.raises(DataError, match=said):
        make()  # type: ignore[operator]
