"""Joins against a naive loop over rows, channels and observations on all kinds of clock; and SciPy and pandas."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from plait.align.join import How, Joined, Joining, join
from plait.streams.clock import Clock, Grid, Spans, Ticks
from plait.streams.stream import Stream
from plait.streams.warp import Warp, Warped

INTERVAL = ("mean", "sum", "max", "min", "first", "last", "count")
REDUCE: dict[str, Callable[[list[float]], float]] = {
    "mean": lambda x: math.fsum(x) / len(x),
    "sum": math.fsum,
    "max": max,
    "min": min,
    "first": lambda x: x[0],
    "last": lambda x: x[-1],
}
Rng = np.random.Generator


def a_clock(rng: Rng, n: int, kinds: str = "gtsw") -> Clock:
    """Times on a lattice of eighths of a second: ties, touching and empty intervals, overlaps, pauses."""
    kind = rng.choice(list(kinds))
    if kind == "g":
        return Grid(int(rng.integers(-8, 8)) / 8, int(rng.choice([1, 2, 4, 8])), n)
    if kind == "w":
        jump = int(rng.integers(0, 30)) / 8
        return Warped(Grid(0, 8, n), Warp([(jump, 0.0), (jump, int(rng.choice([1, 40])) / 8)]))
    times = np.cumsum(rng.choice([0, 1, 1, 2, 3, 20], n)) / 8 + int(rng.integers(-8, 8)) / 8
    return Ticks(times) if kind == "t" else Spans(times, times + rng.choice([0, 1, 2, 4, 17], n) / 8)


def a_stream(rng: Rng, n: int, width: int, kinds: str = "gtsw") -> Stream:
    values = rng.normal(size=(n, width))
    values[rng.random(values.shape) < rng.choice([0, 0.3])] = np.nan
    clock = a_clock(rng, n, kinds)
    return Stream.of(values.astype(rng.choice([np.float32, np.float64])), times=np.zeros(n)).on(clock)


def intervals_of(clock: Clock, causal: bool) -> list[tuple[float, float]]:
    if isinstance(clock, Spans):
        return list(zip(clock.starts.tolist(), clock.stops.tolist()))
    t = clock.times.tolist()
    if isinstance(clock, Grid):
        step = 1 / float(clock.rate)
        return [(x - step, x) if causal else (x - step / 2, x + step / 2) for x in t]
    before = [t[max(i - 1, 0)] for i in range(len(t))]
    if causal:
        return list(zip(before, t))
    edges = [(a + b) / 2 for a, b in pairwise(t)]
    if not edges:
        return [(x, x) for x in t]
    return list(zip([2 * t[0] - edges[0], *edges], [*edges, 2 * t[-1] - edges[-1]]))


def instants_of(clock: Clock, at: str) -> list[float]:
    if not isinstance(clock, Spans):
        return clock.times.tolist()
    return {"start": clock.starts, "middle": clock.times, "stop": clock.stops}[at].tolist()


def naive_interval(
    t: list[float], v: list[float], span: tuple[float, float], how: str, causal: bool
) -> tuple[float, list[int]]:
    inside = [i for i, x in enumerate(t) if (span[0] < x <= span[1] if causal else span[0] <= x < span[1])]
    seen = [v[i] for i in inside if math.isfinite(v[i])]
    if how == "count":
        return float(len(seen)), inside
    return (REDUCE[how](seen) if seen else math.nan), inside


def naive_point(t: list[float], v: list[float], x: float, how: str, gap: float) -> tuple[float, list[int]]:
    """The value, and the observations that it comes from."""
    seen = [i for i in range(len(t)) if math.isfinite(v[i])]
    before = [i for i in seen if t[i] <= x]
    after = [i for i in seen if t[i] >= x]
    if how == "hold":
        return (v[before[-1]], before[-1:]) if before and x - t[before[-1]] <= gap else (math.nan, [])
    if before and t[before[-1]] == x:
        return v[before[-1]], before[-1:]
    i, j = (before[-1] if before else None), (after[0] if after else None)
    if how == "nearest":
        near = [k for k in (i, j) if k is not None and abs(t[k] - x) <= gap / 2]
        pick = min(near, key=lambda k: (abs(t[k] - x), t[k]), default=None)
        return (math.nan, []) if pick is None else (v[pick], [pick])
    if i is None or j is None or t[j] - t[i] > gap:
        return math.nan, []
    share = (x - t[i]) / (t[j] - t[i])
    return v[i] * (1 - share) + v[j] * share, [i, j]


def naive_span_hold(clock: Spans, v: list[float], x: float) -> tuple[float, list[int]]:
    """The span that began last and still lasts."""
    on = [i for i in range(len(v)) if clock.starts[i] <= x < clock.stops[i]]
    return (v[on[-1]], on[-1:]) if on and math.isfinite(v[on[-1]]) else (math.nan, [])


class Naive:
    """A join by loops: values, and by how many seconds each row looks ahead."""

    def __init__(self, left: Clock, right: Stream, how: str, gap: float, causal: bool, at: str) -> None:
        clock, values = right.clock, right.read()
        spans = isinstance(clock, Spans)
        stand = "stop" if causal else "middle" if how in ("nearest", "linear") else "start"
        times = np.array(instants_of(clock, stand))
        over = np.array(clock.stops if isinstance(clock, Spans) else clock.times)
        order = np.argsort(times, kind="stable")
        rows = list(zip(intervals_of(left, causal), instants_of(left, at)))
        self.values = np.full((len(rows), values.shape[1]), np.nan)
        self.latest = np.full(len(rows), -np.inf)
        after = causal and not isinstance(left, Spans)
        for k, (interval, x) in enumerate(rows):
            for c in range(values.shape[1]):
                t, v, late = times[order].tolist(), values[order, c].tolist(), over[order]
                if how in INTERVAL:
                    self.values[k, c], used = naive_interval(t, v, interval, how, after)
                elif how == "hold" and spans and not causal:
                    late = over
                    self.values[k, c], used = naive_span_hold(clock, values[:, c].tolist(), x)
                else:
                    self.values[k, c], used = naive_point(t, v, x, how, gap)
                self.latest[k] = max([self.latest[k], *late[used].tolist()])
                if how == "nearest" and used:
                    self.latest[k] = max(self.latest[k], x + abs(t[used[0]] - x))
        known = np.isfinite(self.values).any(1) & np.isfinite(self.latest)
        ahead = np.where(known, self.latest - np.array([x for _, x in rows]), 0.0)
        self.future = max(float(ahead.max(initial=0)), 0.0)
        self.ahead = int((ahead > 0).sum())


def equal(got: Joined, want: np.ndarray, values: np.ndarray) -> None:
    loose = 1e-5 if values.dtype == np.float32 else 1e-9
    assert np.array_equal(got.mask, np.isfinite(want))
    np.testing.assert_allclose(got.values[got.mask], want[got.mask], rtol=loose, atol=loose)
    assert not got.values[~got.mask].any()


def blockwise(left: Clock, right: Stream, how: How, block: int, **options: Any) -> Joined:
    work = Joining(left, right, how, block=block, **options)
    values, mask = work.empty()
    for piece in work:
        values[piece.rows], mask[piece.rows] = piece.values, piece.mask
    return Joined(values, mask, left, work.counter)


@pytest.mark.slow
@settings(max_examples=100)
@given(
    st.integers(0, 2**32),
    st.sampled_from(("nearest", "linear", "hold", *INTERVAL)),
    st.booleans(),
    st.integers(1, 6),
    st.sampled_from(["start", "middle", "stop"]),
)
def test_equals_a_naive_loop_whatever_the_clocks_and_blocks(
    seed: int, how: How, causal: bool, width: int, at: Any
) -> None:
    rng = np.random.default_rng(seed)
    left, right = a_clock(rng, int(rng.integers(0, 25))), a_stream(rng, int(rng.integers(0, 40)), width)
    causal = causal and how not in ("nearest", "linear")
    at = "stop" if causal and how != "hold" else at
    options: dict[str, Any] = {"max_gap": float(rng.choice([0.25, 0.75, 4.0])), "causal": causal, "at": at}
    want = Naive(left, right, how, options["max_gap"], causal, at)
    got = join(left, right, how, **options)
    equal(got, want.values, right.read())
    small = blockwise(left, right, how, int(rng.integers(1, 400)), **options)
    equal(small, want.values, right.read())
    assert small.coverage == got.coverage
    assert got.coverage.future_s == pytest.approx(want.future, abs=1e-6)
    assert got.coverage.ahead == want.ahead
    assert got.coverage.intervals == len(left)
    if causal:
        assert got.coverage.future_s == 0


def why(left: Clock, right: Stream, how: str, gap: float, at: str) -> Counter[str]:
    """The counts of a coverage, row by row."""
    spans = isinstance(right.clock, Spans)
    stand = "start" if how in INTERVAL or how == "hold" else "middle"
    t = sorted(instants_of(right.clock, stand))
    count: Counter[str] = Counter()
    for (start, stop), x in zip(intervals_of(left, False), instants_of(left, at)):
        if how in INTERVAL:
            inside, before = [y for y in t if start <= y < stop], [y for y in t if y < start]
            after = [y for y in t if y >= stop]
            if inside:
                count["met"] += 1
                holes = [b - a for a, b in pairwise(inside) if b - a > gap and not isinstance(right.clock, Grid)]
                steps = [b - a for a, b in pairwise(t) if b > a]
                step = 1 / float(right.clock.rate) if isinstance(right.clock, Grid) else np.median(steps or [math.inf])
                pause = not isinstance(right.clock, Grid)
                early = not before or (pause and inside[0] - before[-1] > gap)
                late = not after or (pause and after[0] - inside[-1] > gap)
                out = (early and inside[0] - start > step) or (late and stop - inside[-1] > step)
                count["partial"] += bool(holes or out)
            elif not before and not (t and start >= t[0]):
                count["before"] += 1
            elif not after and not [y for y in t if y >= start]:
                count["after"] += 1
            else:
                count["gap" if before and after and after[0] - before[-1] > gap else "empty"] += 1
            continue
        if how == "hold" and spans:
            near = any(a <= x < b for a, b in zip(right.clock.starts, right.clock.stops))
            past = x >= right.clock.stops.max()
        else:
            near = math.isfinite(naive_point(t, [0.0] * len(t), x, how, gap)[0])
            past = x > t[-1]
        count["met" if near else "before" if x < t[0] else "after" if past else "gap"] += 1
    return count


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from(("nearest", "linear", "hold", "mean")))
def test_the_coverage_says_why_row_by_row(seed: int, how: How) -> None:
    rng = np.random.default_rng(seed)
    left, right = a_clock(rng, int(rng.integers(1, 25))), a_stream(rng, int(rng.integers(2, 40)), 1)
    gap = float(rng.choice([0.25, 0.75, 4.0]))
    coverage = join(left, right, how, max_gap=gap).coverage
    want = why(left, right, how, gap, "middle")
    got = {name: getattr(coverage, name) for name in ("before", "after", "gap", "empty")}
    assert got == {name: want[name] for name in got}
    assert coverage.matched + coverage.unknown == want["met"]
    assert coverage.matched + coverage.unknown + sum(got.values()) == coverage.intervals
    if not np.isnan(right.read()).any():
        assert coverage.unknown == coverage.cells_unknown == 0
        assert coverage.partial == want["partial"]
    if how == "mean":
        spans = intervals_of(left, False)
        t = instants_of(right.clock, "start")
        times_used = [sum(a <= x < b for a, b in spans) for x in t]
        assert coverage.unused == times_used.count(0)
        assert coverage.repeated == sum(max(n - 1, 0) for n in times_used)
        assert coverage.observations == len(t)


@pytest.mark.slow
@settings(max_examples=20)
@given(st.integers(0, 2**32), st.booleans())
def test_cubic_is_the_spline_of_each_run_between_gaps(seed: int, regular: bool) -> None:
    from scipy.interpolate import CubicSpline

    rng = np.random.default_rng(seed)
    times = np.arange(50) / 8 if regular else np.cumsum(rng.choice([0.1, 0.2, 0.3, 5.0], 50, p=[0.5, 0.3, 0.15, 0.05]))
    values = rng.normal(size=(50, 3))
    values[rng.random(values.shape) < 0.1] = np.nan
    right = Stream.of(values, rate=8) if regular else Stream.of(values, times=times)
    at = np.sort(rng.uniform(-1, times[-1] + 1, 40))
    want = np.full((40, 3), np.nan)
    for c in range(3):
        seen = np.flatnonzero(np.isfinite(values[:, c]))
        for run in np.split(seen, np.flatnonzero(np.diff(times[seen]) > 1.0) + 1):
            inside = (at >= times[run[0]]) & (at <= times[run[-1]])
            if len(run) > 1:
                want[inside, c] = CubicSpline(times[run], values[run, c])(at[inside])
    got = join(Ticks(at), right, "cubic", max_gap=1.0)
    equal(got, want, values)
    equal(blockwise(Ticks(at), right, "cubic", 200, max_gap=1.0), want, values)


def test_a_long_spline_is_that_through_all_points() -> None:
    from scipy.interpolate import CubicSpline

    rng = np.random.default_rng(0)
    times = np.cumsum(rng.choice([0.01, 0.02, 0.2], 3000))
    values, at = rng.normal(size=(3000, 5)), np.sort(rng.uniform(0.1, times[-1], 500))
    got = blockwise(Ticks(at), Stream.of(values, times=times), "cubic", 40_000, max_gap=1.0)
    np.testing.assert_allclose(got.values, CubicSpline(times, values)(at), atol=1e-6)
    first = np.clip(np.searchsorted(times, at, "right") - 24, 0, 3000 - 48)
    assert got.coverage.future_s == pytest.approx(max(times[first + 47] - at))


def test_equals_pandas_merge_asof() -> None:
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(1)
    times, at = np.cumsum(rng.uniform(0.01, 0.3, 300)), np.sort(rng.uniform(-1, 50, 200))
    values = rng.normal(size=300)
    left, right = pd.DataFrame({"t": at}), pd.DataFrame({"t": times, "v": values})
    for how, direction, gap in (("hold", "backward", 0.2), ("nearest", "nearest", 0.4)):
        want = pd.merge_asof(left, right, on="t", direction=direction, tolerance=0.2)["v"].to_numpy()
        got = join(Ticks(at), Stream.of(values, times=times), how, max_gap=gap)
        equal(got, want[:, None], values)


@settings(max_examples=40)
@given(
    st.integers(0, 2**32),
    st.sampled_from(("nearest", "linear", "cubic", "hold", *INTERVAL)),
    st.booleans(),
    st.sampled_from([0.0, 0.3]),
)
@example(82715, "nearest", False, 0.0)  # a nearer span that is NaN stops after the one that is used
def test_what_lies_beyond_the_reported_future_changes_nothing(seed: int, how: How, causal: bool, field: float) -> None:
    rng = np.random.default_rng(seed)
    left, right = a_clock(rng, 12), a_stream(rng, 30, 2)
    causal = causal and how not in ("nearest", "linear", "cubic")
    got = join(left, right, how, causal=causal, receptive_field=field, max_gap=3.0)
    clock, values = right.clock, right.read()
    known_at = (clock.stops if isinstance(clock, Spans) else clock.times) + field
    for row in rng.permutation(len(left))[:4]:
        x = instants_of(left, "stop" if causal else "middle")[row]
        later = known_at > x + got.coverage.future_s + 1e-6
        changed = np.where(later[:, None], rng.choice([np.nan, 99.0], values.shape), values)
        again = join(
            left,
            Stream.of(changed, times=np.zeros(30)).on(clock),
            how,
            causal=causal,
            receptive_field=field,
            max_gap=3.0,
        )
        known = got.mask[row]
        assert again.mask[row][known].all()
        np.testing.assert_allclose(again.values[row][known], got.values[row][known], atol=1e-9)
        if causal:
            np.testing.assert_array_equal(again.mask[row], known)
    if causal:
        assert got.coverage.future_s == 0
