"""Bent clocks obey the laws of clocks, exactly, and cost nothing until their times are asked for."""

from __future__ import annotations

import time
import tracemalloc
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.core.errors import DataError
from plait.corpus.corpus import Corpus, CorpusWriter, StreamEntry
from plait.streams.clock import Clock, Grid, Spans, Ticks
from plait.streams.stream import Stream
from plait.streams.warp import Warp, Warped, warped

rates = st.sampled_from(["25", "30000/1001", "44100", "1/2", "100", "333/7"])
seconds = st.floats(-50, 150, allow_nan=False)


@st.composite
def warps(draw: st.DrawFn) -> Warp:
    """Up to five points, steep and flat, some of them jumps, on round and on odd numbers."""
    t, add, points = draw(st.sampled_from([-3.0, 0.0, 1.5, 7 / 3])), draw(st.floats(-2, 2)), []
    for _ in range(draw(st.integers(0, 5))):
        points.append((t, add))
        if draw(st.booleans()):
            add += draw(st.floats(0.001, 3))
            points.append((t, add))
        run = draw(st.sampled_from([0.5, 1.0, 7 / 3, 20.0]))
        t, add = t + run, add + draw(st.floats(-0.9, 2)) * run
    return Warp(points)


@st.composite
def grids(draw: st.DrawFn) -> Warped:
    start = draw(st.sampled_from([0.0, -3.0, 1 / 3, 12.04]))
    return Warped(Grid(start, draw(rates), draw(st.integers(0, 400))), draw(warps()))


@given(grids())
def test_seconds_to_index_to_seconds_is_the_identity_on_observations(clock: Warped) -> None:
    times = clock.times
    assert len(times) == len(clock)
    assert (np.diff(times) > 0).all()
    for i in range(0, clock.n, 37):
        assert clock.window(times[i], np.inf).start == i
        assert clock.nearest([times[i]])[0] == i


@given(grids())
def test_it_adds_what_the_warp_says(clock: Warped) -> None:
    own = clock.base.times
    edges = np.array([float(e) for e in clock.warp.edges])
    clear = np.array([not len(edges) or np.abs(edges - t).min() > 1e-9 for t in own], bool)
    np.testing.assert_allclose(clock.times[clear], clock.warp(own[clear]), atol=1e-9)
    xs, adds = zip(*clock.warp.points) if clock.warp.points else ((0.0,), (0.0,))
    np.testing.assert_allclose(clock.times[clear] - own[clear], np.interp(own[clear], xs, adds), atol=1e-9)


@given(grids(), seconds, seconds, seconds, seconds)
def test_a_cut_of_a_cut_is_a_cut(clock: Warped, a: float, b: float, c: float, d: float) -> None:
    twice, once = clock.cut(a, b).cut(c, d), clock.cut(max(a, c), min(b, d))
    assert twice.n == once.n
    if once.n:
        assert twice == once
        assert twice.pieces == once.pieces


@given(grids(), seconds, seconds)
def test_neighbouring_cuts_share_nothing_and_lose_nothing(clock: Warped, a: float, b: float) -> None:
    a, b = sorted((a, b))
    parts = [clock.cut(-np.inf, a), clock.cut(a, b), clock.cut(b, np.inf)]
    np.testing.assert_allclose(np.concatenate([p.times for p in parts]), clock.times, rtol=1e-14, atol=1e-13)
    assert all(a - 1e-7 <= t < b for t in parts[1].times)


@given(grids(), st.floats(-5, 5), st.floats(-900, 900), st.sampled_from([0.0, 100.0, -7.25]))
def test_a_correction_afterwards_is_one_of_the_times(clock: Warped, offset: float, drift: float, origin: float) -> None:
    drift = round(drift, 3)
    want = (clock.times - origin) * (1 + drift * 1e-6) + offset
    np.testing.assert_allclose(clock.corrected(offset, drift, origin).times, want, atol=2e-9)


@given(warps(), warps(), st.lists(st.floats(-20, 90), max_size=20).map(sorted))
def test_one_warp_after_the_other(first: Warp, second: Warp, times: list[float]) -> None:
    both, want = first.then(second), second(first(times))
    places = np.array([float(e) for e in both.edges])
    clear = np.array([not len(places) or np.abs(places - t).min() > 1e-6 for t in times], bool)
    np.testing.assert_allclose(both(times)[clear], want[clear], atol=1e-7)
    clock = warped(warped(Ticks(times), first), second)
    np.testing.assert_allclose(clock.times, want)


@given(warps(), st.fractions(-50, 120))
def test_back_finds_the_first_second_at_or_after(warp: Warp, t: Fraction) -> None:
    own = warp.back(t)
    assert warp([float(own) + 1e-6])[0] >= float(t) - 1e-6
    assert warp([float(own) - 1e-6])[0] <= float(t) + 1e-6


@given(warps(), st.lists(st.floats(-20, 90), min_size=1, max_size=30).map(sorted))
def test_listed_clocks_stay_in_order(warp: Warp, times: list[float]) -> None:
    for clock in (Ticks(times), Spans(times, np.array(times) + 0.5)):
        bent = warped(clock, warp)
        assert type(bent) is type(clock)
        assert len(bent) == len(clock)
        assert bent.window(float(warp(times)[-1]), np.inf).stop == len(times)


def test_two_hours_of_sound_cost_nothing_to_bend_and_to_cut() -> None:
    tracemalloc.start()
    began = time.process_time()
    clock: Clock = Warped(Grid(0, 44100, 44100 * 7200), Warp([(0, 0), (1800, 0.3), (1800, 0.36), (7200, -0.2)]))
    views = [clock.cut(t, t + 10.0) for t in range(0, 7000, 70)]
    took, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    assert took < 2.0
    assert all(abs(v.n - 441000) <= 80 for v in views)
    assert clock.cut(1799.3, 1801.36).n == pytest.approx(2 * 44100, abs=20)
    assert views[0].start == 0.0
    assert views[-1].start == pytest.approx(6930.0, abs=1 / 44100)
    where = views[-1].base.start  # type: ignore[attr-defined]
    assert where + 0.36 + (where - 1800) * (-0.56 / 5400) == pytest.approx(6930.0, abs=2 / 44100)


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([(0, float("nan")), (1e300, 0)], r"nan(.|\n)*1e\+300.*finite"),
        ([(1, 0), (0, 0)], "from 1.0 to 0.0"),
        ([(0, 0), (1, -1)], "backwards from 0 to 0 s"),
        ([(5, 0.2), (5, 0.1)], "backwards from 5.2 to 5.1 s"),
    ],
)
def test_time_that_does_not_go_forward_is_refused(points: list[tuple[float, float]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        Warp(points)


def test_a_manifest_keeps_it(tmp_path: Path) -> None:
    points = [(2.0, 0.0), (2.0, 0.5)]
    clock = Warped(Grid(0.25, 50, 400), Warp(points))
    streams = {"regular": Stream.of(np.zeros((400, 1)), rate=50).on(clock)}
    streams["listed"] = Stream.of(np.zeros((400, 1)), times=clock.times)
    with CorpusWriter(tmp_path) as out:
        out.add("a", streams)
    found = Corpus(tmp_path / "manifest.jsonl")["a"].streams
    assert found["regular"].clock == clock
    assert found["listed"].clock == Ticks(clock.times)
    assert len(found["regular"].cut(1.0, 3.0)) == 75
    bent = StreamEntry(path="x", origin=100.0, offset=1.0, drift_ppm=100.0, warp=points)
    np.testing.assert_allclose(bent.correct(Ticks([100.0, 200.0])).times, [1.0, 101.51])


def test_a_warp_that_runs_backwards_is_named_with_its_line(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((10, 1)))
    line = '{"id": "a", "streams": {"x": {"path": "x.npy", "rate": 5, "warp": [[1, 0], [1, -2]]}}}'
    (tmp_path / "m.jsonl").write_text(line)
    with pytest.raises(DataError, match=r"m.jsonl:1 'x': warp: from 1.0 to 1.0 s"):
        Corpus(tmp_path / "m.jsonl")["a"].streams["x"]
