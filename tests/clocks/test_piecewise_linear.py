"""Piecewise linear curves, and fitting them: bends and change points are found where they are, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.clocks.drift import Curve
from plait.clocks.offset import Lags
from plait.clocks.piecewise_linear import fit_piecewise_linear

T = np.arange(1.0, 600.0, 4.0)


def fitted(lags: np.ndarray, noise: float, **more: object) -> Curve:
    found = [Lags(T, lags, np.ones(len(T)))]
    options = {"pivot": 300.0, "span": (0.0, 600.0), "floors": [noise / 2], "least": 3 * noise, **more}
    return fit_piecewise_linear(found, **options)  # type: ignore[arg-type]


@pytest.mark.slow
@settings(max_examples=15)
@given(
    bend=st.floats(100, 500),
    change=st.floats(80e-6, 300e-6),
    drift=st.floats(-2e-4, 2e-4),
    seed=st.integers(0, 2**31),
    size=st.sampled_from([0.0, 0.02, -0.5, 3.0]),
)
def test_a_bend_or_a_jump_is_found(bend: float, change: float, drift: float, seed: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    clean = 2 + drift * T + (size * (bend <= T) if size else change * np.maximum(T - bend, 0))
    curve = fitted(clean + rng.normal(0, 1e-4, len(T)), 1e-4)
    away = np.abs(T - bend) > 8
    assert np.abs(curve.at(T) - clean)[away].max() < 1.5e-3
    assert len(curve.change_points) == bool(size)
    for at, found in curve.change_points:
        assert abs(at - bend) <= 4
        assert found == pytest.approx(size, abs=1e-3)
    assert len(curve.knots) >= 3


@pytest.mark.parametrize("wild", [0.0, 0.1])
def test_noise_alone_is_not_cut(wild: float) -> None:
    cut = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        lags = 1e-4 * T + rng.normal(0, 1e-3, len(T))
        lags += np.where(rng.random(len(T)) < wild, rng.uniform(-0.04, 0.04, len(T)), 0)
        curve = fitted(lags, 1e-3)
        cut += bool(curve.knots)
        assert np.abs(curve.at(T) - 1e-4 * T).max() < 5e-3
    assert cut <= 1


def test_a_wandering_clock_is_followed() -> None:
    """A crystal that warms up: no straight line is within 6 ms of it, the pieces are."""
    clean = 0.02 * np.exp(-T / 150)
    curve = fitted(clean + np.random.default_rng(0).normal(0, 5e-5, len(T)), 5e-5)
    line = np.polyval(np.polyfit(T, clean, 1), T)
    assert np.abs(line - clean).max() > 4e-3
    assert np.abs(curve.at(T) - clean).max() < 1e-3
    assert not curve.change_points


def test_a_jump_that_is_known_is_placed_by_the_signals() -> None:
    lags = np.where(T < 300, 1.0, 1.25)
    asked: list[tuple[float, ...]] = []

    def place(*at: float) -> float:
        asked.append(at)
        return 298.5

    curve = fitted(lags, 1e-3, change_points=[302.0], place=place)
    assert curve.change_points == ((298.5, pytest.approx(0.25, abs=1e-3)),)
    assert asked[0] == pytest.approx((297.0, 301.0, 1.0, 1.25), abs=1e-3)


knots = st.lists(
    st.tuples(st.floats(1, 50), st.floats(-5e-4, 5e-4), st.sampled_from([0.0, 0.4, -0.4])), min_size=1, max_size=5
)


@given(knots, st.floats(-5, 5))
def test_turned_is_the_inverse(pieces: list[tuple[float, float, float]], offset: float) -> None:
    """Also across jumps up (the time line has a hole) and down (it stands still)."""
    points, change_points, t, lag = [(0.0, offset)], [], 0.0, offset
    for length, slope, size in pieces:
        t, lag = t + length, lag + slope * length
        points.append((t, lag))
        if size:
            change_points.append((t, size))
            t, lag = (t, lag + size) if size > 0 else (t - size, lag + size)
            points.append((t, lag))
    points.append((t + 10, lag))
    flat = Curve(offset, 0.0, 0.0, np.zeros((2, 2)), 0.0, 1.0, 9)
    curve = Curve(
        **{**vars(flat), "knots": tuple(points), "change_points": tuple(change_points), "errors": (0.01,) * len(points)}
    )
    other = curve.turned()
    at = np.linspace(-5, t + 15, 400)
    there = at + curve.at(at)
    assert (np.diff(there) > -1e-9).all()
    apart = np.min([np.abs(there - a) for a, _ in other.knots], axis=0) > 1e-6
    steady = np.concatenate([[False], np.diff(there) > 0.5 * (at[1] - at[0])]) & apart
    np.testing.assert_allclose((there + other.at(there))[steady], at[steady], atol=1e-6)
    again = other.turned()
    np.testing.assert_allclose(again.knots, curve.knots, atol=1e-9)
    np.testing.assert_allclose([s for _, s in other.change_points], [-s for _, s in change_points])
    assert curve.steepest <= max(abs(s) for _, s, _ in pieces) + 1e-9
    assert (curve.error_at(at) >= 0).all()
