"""The cosine transform against scipy's, window statistics against numpy's loops."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.features.image import Dct, Frames, zigzag
from plait.features.mel import cosine_basis
from plait.features.series import Statistics, window_statistics
from plait.streams.stream import Stream


@pytest.mark.parametrize("k", [1, 6, 44, 32 * 48])
def test_dct_equals_scipys(k: int) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 1), np.uint8)
    ours, _ = Dct(k=k)(Stream.of(grey, rate=25))
    theirs = scipy.fft.dctn(grey[..., 0] / 255.0, axes=(1, 2), norm="ortho")
    np.testing.assert_allclose(ours, theirs[:, *zigzag(32, 48, k)], atol=1e-4)


def test_zigzag_is_jpegs() -> None:
    rows, columns = zigzag(8, 8, 64)
    order = (rows * 8 + columns).tolist()
    assert order[:15] == [0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4]
    assert order[-3:] == [55, 62, 63]
    assert sorted(order) == list(range(64))


def test_cosine_basis_equals_scipys() -> None:
    x = np.random.default_rng(0).normal(size=(5, 40))
    np.testing.assert_allclose(x @ cosine_basis(40, 13).T, scipy.fft.dct(x, norm="ortho")[:, :13], atol=1e-12)


def test_pixels_are_means_over_areas() -> None:
    grey = np.random.default_rng(1).integers(0, 256, (2, 48, 64, 1), np.uint8)
    ours, _ = Frames(normalise="none")(Stream.of(grey, rate=25))
    means = grey.reshape(2, 24, 2, 32, 2).mean((2, 4)) / 255
    np.testing.assert_allclose(ours, means.reshape(2, -1), atol=0.51 / 255)


def naive(values: np.ndarray, times: np.ndarray, quantiles: tuple[float, ...]) -> list[float]:
    seen = ~np.isnan(values)
    x, t = values[seen], times[seen]
    if not len(x):
        return [np.nan] * (6 + len(quantiles))
    slope = np.polyfit(t - t.mean(), x, 1)[0] if len(x) > 1 else 0.0
    steps = np.abs(np.diff(values))
    steps = steps[~np.isnan(steps)]
    change = steps.mean() if len(steps) else 0.0
    return [x.mean(), x.std(), x.min(), x.max(), slope, change, *np.quantile(x, quantiles)]


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.floats(0, 0.6))
def test_statistics_equal_loops(seed: int, n: int, missing: float) -> None:
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.1, 1.0, n))
    values = np.where(rng.random(n) < missing, np.nan, rng.normal(size=n) * 10)
    lo = rng.integers(0, n, 7)
    bounds = np.stack([lo, np.minimum(lo + rng.integers(0, 20, 7), n)], 1)
    ours = window_statistics(values, times, bounds, (0.1, 0.5))
    theirs = [naive(values[a:b], times[a:b], (0.1, 0.5)) for a, b in bounds]
    np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-7)


def test_windows_of_irregular_beats() -> None:
    times = np.array([0.0, 0.9, 1.7, 2.8, 3.5, 4.4, 9.0, 9.9, 12.0])
    values = np.arange(9.0)[:, None]
    ours, clock = Statistics(window=4, hop=2, quantiles=())(Stream.of(values, times=times))
    np.testing.assert_allclose(clock.times, [2, 4, 6, 8, 10])
    for row, middle in zip(ours, clock.times):
        inside = (times >= middle - 2) & (times < middle + 2)
        np.testing.assert_allclose(row, naive(values[inside, 0], times[inside], ()), rtol=1e-5, atol=1e-6)
