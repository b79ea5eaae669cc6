"""Imputation: what was observed stays, what is not known is not made up, and each method does what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.errors import ConfigError, DataError
from plait.core.parts import parts
from plait.streams.clock import Clock, Grid, Ticks
from plait.transforms.imputation import Imputer, gaps_of, impute, steady_step
from plait.transforms.imputation.patterns import period_of, tilted

METHODS = sorted(parts(Imputer))


def gappy(n: int, channels: int, share: float, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    x = np.sin(np.arange(n) / 3)[:, None] * rng.uniform(1, 2, channels) + 0.1 * rng.normal(size=(n, channels))
    for channel in range(channels):
        for begin in rng.integers(0, max(n, 1), int(share * n / 4) + 1):
            x[begin : begin + int(rng.integers(1, 8)), channel] = np.nan
    return x


def test_the_methods_of_the_issue_are_there() -> None:
    assert {"hold", "linear", "seasonal", "knn", "low_rank"} <= set(METHODS)


@pytest.mark.parametrize("method", METHODS)
@given(st.integers(0, 120), st.integers(1, 3), st.floats(0, 0.6), st.integers(0, 5), st.booleans())
@settings(max_examples=8)
def test_laws(method: str, n: int, channels: int, share: float, seed: int, edges: bool) -> None:
    x = gappy(n, channels, share, seed)
    clock = Grid(3, 10, n)
    spec = {"name": method, "steps": 5} if method == "low_rank" else method
    filled, observed = impute(x, clock, spec, max_gap=0.7, edges=edges)
    assert np.array_equal(observed, np.isfinite(x))
    assert np.array_equal(filled[observed], x[observed])
    again, same = impute(x, clock, spec, max_gap=0.7, edges=edges)
    assert np.array_equal(filled, again, equal_nan=True)
    assert np.array_equal(observed, same)
    later, _ = impute(x, Grid(1003, 10, n), spec, max_gap=0.7, edges=edges)
    np.testing.assert_allclose(later, filled, atol=1e-6)
    for column, made in zip(x.T, filled.T):
        for first, last in gaps_of(np.isfinite(column)):
            gone = np.isnan(made[first:last])
            if first and last < n and last - first <= 6:
                assert not gone.any(), "a short gap is filled"
            elif first and last < n and method != "hold":
                assert gone.all(), "a long one is not"
            elif not edges and (not first or method != "hold"):
                assert gone.all(), "nothing is made up outside of what was observed"
        if np.isfinite(column).any():
            inside = made[np.isfinite(made)]
            assert np.nanmin(column) - 1e-9 <= inside.min() <= inside.max() <= np.nanmax(column) + 1e-9


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_next_to_nothing_is_no_trouble(method: str, n: int) -> None:
    for x in (np.full((n, 2), np.nan), np.zeros((n, 2)), np.where(np.arange(n)[:, None] == 1, np.nan, 1.0)):
        filled, _ = impute(x, Grid(0, 1, n), method, edges=True)
        assert filled.shape == x.shape
        assert np.array_equal(np.isfinite(filled).any(), np.isfinite(x).any())


@pytest.mark.parametrize("method", METHODS)
def test_a_gap_is_filled_from_its_neighbourhood_alone(method: str) -> None:
    rng = np.random.default_rng(0)
    x = np.sin(np.arange(4000) / 4)[:, None] + 0.2 * rng.normal(size=(4000, 2))
    x[2000:2030] = np.nan
    spec = method if method in ("hold", "linear") else {"name": method, "look": 20.0}
    filled, _ = impute(x, Grid(0, 20, 4000), spec, max_gap=2.0)
    other = x.copy()
    other[np.r_[0:1598, 2433:4000]] = rng.normal(size=(1598 + 1567, 2))
    again, _ = impute(other, Grid(0, 20, 4000), spec, max_gap=2.0)
    np.testing.assert_array_equal(filled[2000:2030], again[2000:2030])


def test_hold_sees_nothing_later() -> None:
    x = gappy(200, 2, 0.3, 1)
    whole, _ = impute(x, Grid(0, 10, 200), "hold", max_gap=0.5)
    for cut in (50, 111, 163):
        part, _ = impute(x[:cut], Grid(0, 10, cut), "hold", max_gap=0.5)
        assert np.array_equal(part, whole[:cut], equal_nan=True)
    filled, _ = impute([1.0, *[np.nan] * 9, 2.0], Grid(0, 1, 11), "hold", max_gap=3)
    assert filled[:5].tolist() == [1, 1, 1, 1, np.nan] or (filled[:4] == 1).all()
    assert np.isnan(filled[4:10]).all()


def test_linear_is_straight_in_time_not_in_number() -> None:
    filled, _ = impute([0.0, np.nan, np.nan, 10.0], Ticks([0, 1, 9, 10]), "linear")
    assert filled.tolist() == [0, 1, 9, 10]
    edge, _ = impute([np.nan, 4.0, np.nan, np.nan], Grid(0, 1, 4), "linear", max_gap=1, edges=True)
    assert edge[:3].tolist() == [4, 4, 4]
    assert np.isnan(edge[3])


def test_a_season_is_found_and_filled() -> None:
    t = np.arange(1500) / 50
    clean = np.sin(2 * np.pi * 1.3 * t) + 0.3 * np.sin(2 * np.pi * 2.6 * t + 1) + 0.05 * t
    x = clean.copy()
    x[700:765] = np.nan
    for spec in ("seasonal", {"name": "seasonal", "period": 1 / 1.3}):
        filled, _ = impute(x, Grid(0, 50, 1500), spec)
        assert np.abs(filled - clean).max() < 0.03
    line, _ = impute(x, Grid(0, 50, 1500), "linear")
    assert np.abs(line - clean).max() > 0.5


@given(st.floats(4, 40), st.integers(0, 9))
@settings(max_examples=25)
def test_periods_are_found_between_observations_despite_gaps(period: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = np.sin(2 * np.pi * np.arange(600) / period) + 0.2 * rng.normal(size=600)
    x[200:260] = np.nan
    found = period_of(x, 100)
    assert found is not None
    assert abs(found - period) < 0.03 * period + 0.1


def test_noise_has_no_period() -> None:
    assert period_of(np.random.default_rng(0).normal(size=2000), 500) is None
    assert period_of(np.full(50, np.nan), 20) is None
    assert period_of(np.ones(50), 20) is None


def test_neighbours_find_what_has_been_before() -> None:
    rng = np.random.default_rng(0)
    shape = rng.normal(size=40).cumsum()
    shape -= np.linspace(shape[0], shape[-1], 40)
    x = 0.1 * rng.normal(size=1000)
    for begin in (100, 300, 420, 700, 850):
        x[begin : begin + 40] += 3 * shape
    clean = x.copy()
    x[715:725] = np.nan
    filled, _ = impute(x, Grid(0, 20, 1000), {"name": "knn", "neighbours": 3})
    line, _ = impute(x, Grid(0, 20, 1000), "linear")
    error, of_line = (float(np.sqrt(((f - clean)[715:725] ** 2).mean())) for f in (filled, line))
    assert error < 0.4 * of_line
    two = np.stack([clean, 2 * clean + 1], 1)
    two[400:600, 0] = np.nan
    instants, _ = impute(two, Grid(0, 20, 1000), {"name": "knn", "around": 0, "neighbours": 1})
    assert np.abs(instants[:, 0] - clean).max() < 0.5


def test_low_rank_completes_what_is_of_low_rank() -> None:
    rng = np.random.default_rng(0)
    clean = rng.normal(size=(200, 2)).cumsum(0) @ rng.normal(size=(2, 12))
    x = np.where(rng.random(clean.shape) < 0.05, np.nan, clean)
    filled, observed = impute(x, Grid(0, 10, 200), {"name": "low_rank", "lags": 0, "shrink": 1e-3, "look": 30})
    line, _ = impute(x, Grid(0, 10, 200), "linear", edges=True)
    gap = ~observed & np.isfinite(filled)
    assert np.abs((filled - clean)[gap]).mean() < 0.3 * np.abs((line - clean)[gap]).mean()


def test_an_autoregressive_signal_is_filled_as_one() -> None:
    t = np.arange(3000)
    clean = np.sin(t / 5) + 0.5 * np.sin(t / 3.1 + 1) + 0.001 * np.random.default_rng(0).normal(size=3000)
    x = clean.copy()
    x[1500:1560] = np.nan
    filled, _ = impute(x, Grid(0, 100, 3000), "autoregressive")
    assert np.abs(filled - clean).max() < 0.05
    ordered, _ = impute(x, Grid(0, 100, 3000), {"name": "autoregressive", "order": 6})
    assert np.abs(ordered - clean).max() < 0.3


@pytest.mark.parametrize("method", ["seasonal", "knn", "low_rank", "autoregressive"])
def test_uneven_steps_are_refused_where_they_matter(method: str) -> None:
    x = np.where(np.arange(50) % 7 == 3, np.nan, 1.0 * np.arange(50))
    uneven: Clock = Ticks(np.cumsum(np.random.default_rng(0).exponential(1, 50)))
    with pytest.raises(DataError, match="needs even steps"):
        impute(x, uneven, method)
    assert np.isfinite(impute(x, uneven, "linear")[0]).all()
    assert steady_step(np.arange(5) * 0.1 + 0.005) == pytest.approx(0.1)


def test_ends_are_met() -> None:
    assert tilted(np.array([1.0, 1, 1, 1]), 0.0, 3.0).tolist() == pytest.approx([1.0, 2.0])
    assert tilted(np.array([1.0, 1, 1, 1]), np.nan, 3.0).tolist() == [3.0, 3.0]
    assert tilted(np.array([np.nan, 1, 1, np.nan]), 0.0, 3.0).tolist() == [1.0, 1.0]


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(DataError, match="expected one"):
        impute(np.zeros(3), Grid(0, 1, 4))
    with pytest.raises(DataError, match="1 infinite"):
        impute([0.0, np.inf], Grid(0, 1, 2))
    with pytest.raises(ConfigError, match=r"no imputer 'lineer'.*'linear'"):
        impute([0.0, np.nan], Grid(0, 1, 2), "lineer")
    with pytest.raises(ConfigError, match="max_gap"):
        impute([0.0, np.nan], Grid(0, 1, 2), max_gap=0)
    for wrong in (
        {"name": "seasonal", "period": 0},
        {"name": "knn", "neighbours": 0},
        {"name": "low_rank", "shrink": 1.0},
        {"name": "autoregressive", "order": 0},
    ):
        with pytest.raises(ConfigError, match=str(wrong["name"])):
            impute([0.0, np.nan], Grid(0, 1, 2), wrong)
