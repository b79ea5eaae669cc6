"""The Hampel filter: against a loop, in pieces as at once, and counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from plait.core.errors import ConfigError, DataError
from plait.streams.stream import Stream
from plait.transforms import apply_steps
from plait.transforms.hampel import Hampel
from plait.transforms.noise import add_noise


def spoilt(n: int = 600) -> Stream:
    rng = np.random.default_rng(0)
    x = np.sin(np.arange(n) / 20)[:, None] + 0.1 * rng.normal(size=(n, 2))
    x[rng.random(x.shape) < 0.05] = np.nan
    return add_noise(Stream.of(x, rate=20, start=5), "impulse", 0.02, 1)


def by_loop(x: Any, side: int, threshold: float) -> Any:
    out = np.zeros(x.shape, bool)
    for i in range(len(x)):
        for c in range(x.shape[1]):
            near = x[max(i - side, 0) : i + side + 1, c]
            near = near[np.isfinite(near)]
            if len(near) and np.isfinite(x[i, c]):
                middle = np.median(near)
                scale = 1.4826 * np.median(np.abs(near - middle))
                out[i, c] = scale > 0 and abs(x[i, c] - middle) > threshold * scale
    return out


@pytest.mark.parametrize(("window", "threshold"), [(0.25, 3.0), (0.5, 4.0)])
def test_against_a_loop_and_in_pieces(window: float, threshold: float) -> None:
    stream = spoilt()
    step = Hampel(window=window, threshold=threshold)
    made = step(stream)
    values, clean = made.read(), stream.read()
    odd = by_loop(clean, round(window * 20), threshold)
    assert np.array_equal(np.isnan(values), odd | np.isnan(clean))
    assert np.array_equal(values[~np.isnan(values)], clean[~np.isnan(values)])
    assert np.array_equal(np.concatenate([b.read() for b in made.blocks(31)]), values, equal_nan=True)
    assert step.notes() == {"outliers taken out": int(odd.sum())}
    assert odd.sum() >= 24


def test_filled_again_it_is_nearly_what_it_was() -> None:
    x = np.sin(np.arange(3000) / 20)[:, None]
    noisy = add_noise(Stream.of(x, rate=20), "impulse", 0.02, 1)
    made = apply_steps(noisy, ["hampel", {"name": "impute", "method": "linear"}]).read()
    assert np.abs(noisy.read() - x).max() > 5
    assert np.abs(made - x).max() < 0.1
    median = apply_steps(noisy, [{"name": "hampel", "to": "median"}]).read()
    assert np.abs(median - x).max() < 0.5


def test_a_coarse_sensor_at_rest_keeps_its_values() -> None:
    x = np.zeros((200, 1))
    x[::17] = 1
    assert np.isfinite(Hampel()(Stream.of(x, rate=20)).read()).all()
    assert Hampel()(Stream.of(x[:0], rate=20)).read().shape == (0, 1)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ConfigError) as caught:
        Hampel(window=0, threshold=-1, to="zero")
    assert len(caught.value.problems) == 3
    with pytest.raises(DataError, match="longer window"):
        Hampel()(Stream.of(np.zeros((5, 1)), rate=1))
    with pytest.raises(DataError, match="even steps"):
        Hampel()(Stream.of(np.zeros((3, 1)), times=[0, 1, 9]))
