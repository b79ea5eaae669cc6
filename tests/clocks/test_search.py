"""Whitened views, the search among all lags, change points: chance looks like chance, what is planted is found."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.clocks.change_points import _viterbi, best_path
from plait.clocks.offset import best_line, correlations, edges_of
from plait.clocks.views import COARSE, View, main_shapes, view


def noise_view(rng: np.random.Generator, seconds: float, name: str = "noise") -> View:
    walk = np.cumsum(rng.standard_normal(round(seconds * COARSE)))
    found = view(name, np.arange(len(walk)) / COARSE, walk)
    assert found is not None
    return found


def shifted(one: View, lags: np.ndarray, rng: np.random.Generator, noise: float) -> View:
    """What a second device shows of the first at second t plus lag, with noise of its own."""
    at = np.arange(len(one.white)) / COARSE
    seen = np.interp(at + lags, at, one.white, left=0, right=0) + noise * rng.standard_normal(len(at))
    return View("shifted", 0, seen / seen.std(), seen, np.ones(len(at), bool))


def test_a_view_is_flat_and_nothing_moves_in_time() -> None:
    rng = np.random.default_rng(0)
    t = np.arange(0, 120, 1 / 32)
    slow = np.convolve(rng.standard_normal(len(t) + 40), np.hanning(9), "same")[20:-20]
    found = view("slow", t, slow)
    assert found is not None
    assert abs(np.corrcoef(found.white[1:], found.white[:-1])[0, 1]) < abs(
        np.corrcoef(found.plain[1:], found.plain[:-1])[0, 1]
    )
    both = np.correlate(found.white, found.plain[50:-50], "valid")
    assert int(np.argmax(both)) == 50
    assert found.white.std() == pytest.approx(1)


def test_gaps_are_unknown_and_a_constant_has_no_view() -> None:
    t = np.concatenate([np.arange(0, 20, 0.02), np.arange(30, 50, 0.02)])
    found = view("gap", t, np.random.default_rng(0).standard_normal(len(t)))
    assert found is not None
    inside = slice(round(20.5 * COARSE), round(29.5 * COARSE))
    assert not found.known[inside].any()
    assert not found.white[inside].any()
    assert view("flat", t, np.ones(len(t))) is None


def test_shapes_are_those_of_a_singular_value_decomposition() -> None:
    pictures = np.random.default_rng(0).standard_normal((50, 6)).astype(np.float32)
    u, s, _ = np.linalg.svd(pictures - pictures.mean(axis=0), full_matrices=False)
    for i, shape in enumerate(main_shapes(pictures)):
        np.testing.assert_allclose(np.abs(shape), np.abs(u[:, i] * s[i]), atol=1e-4)


def test_correlations_are_those_of_a_naive_loop() -> None:
    rng = np.random.default_rng(1)
    xs, ys = [noise_view(rng, 12, a) for a in "ab"], [noise_view(rng, 10, a) for a in "cd"]
    edges = edges_of(0, 10, 1.0, 4)
    found = correlations(xs, ys, edges, 1.0)
    for p, (x, y) in enumerate(product(xs, ys)):
        for w, lag in ((0, -7), (1, 50), (2, 13)):
            want = sum(
                x.white[i + lag] * y.white[i] for i in range(edges[w], edges[w + 1]) if 0 <= i + lag < len(x.white)
            )
            assert found.product[p, w, found.max_lag + lag] == pytest.approx(want, abs=1e-3)


def test_scores_of_unrelated_views_are_those_of_chance() -> None:
    rng = np.random.default_rng(2)
    tops = []
    for _ in range(12):
        found = correlations([noise_view(rng, 60)], [noise_view(rng, 60)], edges_of(0, 60, 5.0, 1), 5.0)
        peak = best_line([found], 5.0, 5e-4, 30.0)
        tops.append(abs(float(peak.scores[0][0])))
        assert peak.confidence < 0.5
    assert 2.5 < np.median(tops) < 4.5


@settings(max_examples=15)
@given(offset=st.floats(-4, 4), drift=st.floats(-4e-4, 4e-4), seed=st.integers(0, 2**31))
def test_a_planted_line_is_found(offset: float, drift: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = noise_view(rng, 120)
    at = np.arange(len(one.white)) / COARSE
    other = shifted(one, offset + drift * (at - 60), rng, 2.0)
    peak = best_line([correlations([one], [other], edges_of(0, 120, 5.2, 1), 5.2)], 5.0, 5e-4, 60.0)
    assert peak.confidence > 0.99
    assert abs(float(peak.at(60.0)) - offset) < 0.03
    assert abs(float(peak.at(110.0)) - offset - 50 * drift) < 0.06


def test_windows_grow_with_the_search_so_that_memory_does_not() -> None:
    few, many = edges_of(0, 7200, 10, 10), edges_of(0, 7200, 600, 10)
    for edges, max_lag in ((few, 10), (many, 600)):
        assert 2 * 10 * (len(edges) - 1) * (2 * max_lag + 10) * COARSE < 6e7 or len(edges) - 1 == 6
    assert len(many) < len(few)


def test_the_best_path_is_that_of_trying_all() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        gains, price = rng.normal(0, 4, (5, 4)), 5.0

        def value(path: tuple[int, ...], gains: np.ndarray = gains) -> float:
            steps = [0.0 if a == b else min(4.0 if abs(a - b) == 1 else 99, 5.0) for a, b in pairwise(path)]
            return float(sum(gains[i, c] for i, c in enumerate(path)) - sum(steps))

        best = max(product(range(4), repeat=5), key=value)
        assert value(tuple(_viterbi(gains, price))) == pytest.approx(value(best))


@pytest.mark.parametrize("size", [0.0, 0.3, -1.7])
def test_a_change_point_is_found_where_there_is_one_only(size: float) -> None:
    rng = np.random.default_rng(3)
    one = noise_view(rng, 200)
    at = np.arange(len(one.white)) / COARSE
    other = shifted(one, np.where(at < 90, 1.0, 1.0 + size), rng, 1.5)
    path = best_path([correlations([one], [other], edges_of(0, 200, 6.0, 1), 6.0)], 5.0, 2e-4, 100.0)
    assert path.peak.confidence > 0.99
    assert len(path.change_points) == bool(size)
    assert not path.unsure
    for early, late, found in path.change_points:
        assert early - 6 < 90 < late + 6
        assert found == pytest.approx(size, abs=0.05)
    assert np.abs(path.at(np.array([20.0, 180.0])) - [1.0, 1.0 + size]).max() < 0.05
