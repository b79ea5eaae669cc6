"""Resampling against naive loops; gaps stay gaps; causal means causal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.align.resample import How, resample
from plait.core.errors import DataError
from plait.streams.clock import Grid, Spans, Ticks


def naive(values: np.ndarray, times: np.ndarray, at: float, how: str, gap: float) -> float:
    """NaN where unknown."""
    seen = np.flatnonzero(np.isfinite(values))
    values, times = values[seen], times[seen]
    if how == "nearest":
        i = min(range(len(times)), key=lambda k: (abs(times[k] - at), times[k]))
        return values[i] if abs(times[i] - at) <= gap / 2 else np.nan
    before = [k for k in range(len(times)) if times[k] <= at]
    if how == "hold":
        return values[before[-1]] if before and at - times[before[-1]] <= gap else np.nan
    after = [k for k in range(len(times)) if times[k] >= at]
    if not before or not after:
        return np.nan
    i, j = before[-1], after[0]
    if times[i] == times[j]:
        return values[i]
    share = (at - times[i]) / (times[j] - times[i])
    return values[i] * (1 - share) + values[j] * share if times[j] - times[i] <= gap else np.nan


@settings(max_examples=80)
@given(st.integers(0, 10**6), st.sampled_from(["nearest", "linear", "hold"]))
def test_equals_a_naive_loop(seed: int, how: How) -> None:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.integers(1, 9, 20)) / 8.0
    values = np.where(rng.random(20) < 0.2, np.nan, rng.normal(size=20))
    values[0] = 1.0
    grid = Grid(-0.5, 7, 90)
    got, known = resample(values, Ticks(times), grid, how, longest_gap=0.8)
    want = np.array([naive(values, times, t, how, 0.8) for t in grid.times])
    assert np.array_equal(known, np.isfinite(want))
    np.testing.assert_allclose(got[known], want[known], atol=1e-6)
    assert not got[~known].any()


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.booleans())
def test_mean_equals_the_integral_on_a_fine_grid(seed: int, causal: bool) -> None:
    rng = np.random.default_rng(seed)
    clock, grid = Grid(0, 50, 200), Grid(0.5, 5, 15)
    values = rng.normal(size=200)
    got, known = resample(values, clock, grid, "mean", causal=causal)
    fine = np.arange(0, 2000) / 2000
    for t, value in zip(grid.times, got):
        lo = t - 0.2 if causal else t - 0.1
        inside = lo + 0.2 * (fine + 1 / 4000)
        line = values[np.floor(inside * 50 + 1e-09).astype(int)] if causal else np.interp(inside, clock.times, values)
        assert abs(value - line.mean()) < 2e-3
    assert known.all()


def test_mean_lets_no_alias_through() -> None:
    t = np.arange(2000) / 200
    fast = np.sin(2 * np.pi * 10 * t)
    smooth, _ = resample(fast, Grid(0, 200, 2000), Grid(0.5, 10, 80), "mean")
    picked, _ = resample(fast + 0, Grid(0, 200, 2000), Grid(0.525, 10, 80), "nearest")
    assert np.abs(smooth).max() < 1e-3
    assert np.abs(picked).min() > 0.9


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from(["hold", "mean"]), st.booleans())
def test_causal_means_that_the_future_changes_nothing(seed: int, how: How, regular: bool) -> None:
    rng = np.random.default_rng(seed)
    times = np.arange(30) / 8 if regular else np.cumsum(rng.uniform(0.02, 0.5, 30))
    clock = Grid(0, 8, 30) if regular else Ticks(times)
    values = np.where(rng.random(30) < 0.2, np.nan, rng.normal(size=30))
    grid, cut = Grid(0, 5, 40), float(rng.uniform(0.5, 3))
    changed = np.where(times > cut, np.where(rng.random(30) < 0.5, np.nan, 99.0), values)
    for a, b in zip(resample(values, clock, grid, how, causal=True), resample(changed, clock, grid, how, causal=True)):
        past = grid.times <= cut
        np.testing.assert_allclose(a[past], b[past], atol=1e-9)


def test_spans_hold_until_they_stop_and_each_number_has_its_own_mask() -> None:
    values = [[1.0, np.nan], [2.0, 5.0]]
    got, known = resample(values, Spans([0.0, 2.0], [1.0, 3.0]), Grid(0, 2, 8), "hold")
    assert known[:, 0].tolist() == [True, True, False, False, True, True, False, False]
    assert known[:, 1].tolist() == [False] * 4 + [True, True, False, False]
    assert got[4].tolist() == [2.0, 5.0]


def test_what_cannot_be_is_refused() -> None:
    clock = Grid(0, 1, 3)
    with pytest.raises(DataError, match="clock of 3"):
        resample([1.0, 2.0], clock, clock)
    with pytest.raises(DataError, match="how='cubic'"):
        resample([1.0, 2.0, 3.0], clock, clock, "cubic")  # type: ignore[arg-type]
    for how in ("nearest", "linear"):
        with pytest.raises(DataError, match="later observations"):
            resample([1.0, 2.0, 3.0], clock, clock, how, causal=True)
    with pytest.raises(DataError, match="longest_gap"):
        resample([1.0, 2.0, 3.0], clock, clock, longest_gap=0)


def test_nothing_observed_is_all_unknown() -> None:
    for how in ("nearest", "linear", "hold", "mean"):
        got, known = resample([np.nan] * 3, Grid(0, 1, 3), Grid(0, 2, 5), how)
        assert not known.any()
        assert not got.any()
