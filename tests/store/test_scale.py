from __future__ import annotations

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.errors import DataError
from plait.store.scale import Moments, fit_scale, normalized


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 50), min_size=1, max_size=6), st.floats(0, 0.9))
def test_in_parts_equals_at_once(seed: int, lengths: list[int], missing: float) -> None:
    rng = np.random.default_rng(seed)
    parts = [rng.normal(1e4, 0.5, (n, 3)) for n in lengths]
    for part in parts:
        part[rng.random(part.shape) < missing] = np.nan
    whole = np.concatenate(parts)
    moments = Moments()
    for part in parts:
        moments.add(part)
    for column in range(3):
        seen = whole[~np.isnan(whole[:, column]), column]
        assert moments.count[column] == len(seen)
        if len(seen):
            assert moments.mean[column] == pytest.approx(seen.mean(), rel=1e-12)
            assert moments.spread[column] == pytest.approx(seen.std(), rel=1e-6, abs=1e-9)


def test_large_offset_keeps_its_digits() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(1e6, 1.5, (50_000, 1))
    mean, std = fit_scale(np.array_split(x, 7))
    assert mean[0] == pytest.approx(x.mean(), rel=1e-14)
    assert std[0] == pytest.approx(x.std(), rel=1e-9)


def test_constant_and_empty_columns_become_zero_and_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    x = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    x[:, 1], x[:, 2] = 0.1, np.nan
    with caplog.at_level(logging.INFO, "plait"):
        mean, std = fit_scale([x])
    assert std[1:].tolist() == [1, 1]
    assert mean[1] == pytest.approx(0.1)
    assert mean[2] == 0
    assert "2 of 3 feature columns are constant" in caplog.text


def test_refused() -> None:
    with pytest.raises(DataError, match="no features"):
        fit_scale([])
    with pytest.raises(DataError, match="width 2 after some of width 3"):
        fit_scale([np.zeros((2, 3)), np.zeros((2, 2))])
    with pytest.raises(DataError, match="infinite"):
        fit_scale([np.array([[np.inf]])])


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.3]), st.sampled_from([0.0, 1e6]))
def test_running_normalization_is_that_of_the_rows_until_then(seed: int, gone: float, level: float) -> None:
    rng = np.random.default_rng(seed)
    values = (rng.normal(size=(20, 3)) + level).astype(np.float32)
    values[:, 2] = level
    values[rng.random(values.shape) < gone] = np.nan
    found = normalized(values, "running")
    for row in range(20):
        until = values[: row + 1].astype(np.float64)
        for column in range(3):
            own = until[:, column][np.isfinite(until[:, column])]
            if not np.isfinite(values[row, column]):
                assert np.isnan(found[row, column])
                continue
            spread = own.std() if own.std() > 1e-6 * abs(own.mean()) else 1.0
            assert found[row, column] == pytest.approx((values[row, column] - own.mean()) / spread, abs=2e-3)
