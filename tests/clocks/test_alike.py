"""Two kinds of stream are compared by what they share, and the bound holds what they need not share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from plait.clocks import compare
from plait.clocks.local import Run, pooled
from plait.clocks.rates import rates
from plait.clocks.wander import wander
from plait.streams.stream import Stream

SECONDS = 90.0


def _position(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Where something is that is moved now and then, at 1000 Hz from -10 s on, and the instants."""
    t = np.arange(-10, SECONDS + 10, 0.001)
    place = np.cumsum(np.where(rng.random(len(t)) < 0.0015, rng.standard_normal(len(t)), 0.0))
    return t, gaussian_filter1d(place - gaussian_filter1d(place, 300), 40)


def _table(t: np.ndarray, values: np.ndarray, offset: float, rng: np.random.Generator, rate: float = 60.0) -> Stream:
    own = np.arange(0, SECONDS, 1 / rate)
    seen = np.interp(own + offset, t, values)
    return Stream.of(seen + 0.05 * seen.std() * rng.standard_normal(len(own)), times=own)


def _body(t: np.ndarray, values: np.ndarray, rng: np.random.Generator) -> Stream:
    own = np.arange(0, SECONDS, 1 / 25)
    points = 0.002 * rng.standard_normal((len(own), 3, 3))
    points[:, :, 1] += np.interp(own, t, values)[:, None]
    return Stream.of(points, rate=25, kind="pose")


@pytest.mark.parametrize("seed", range(4))
def test_a_position_is_not_taken_for_a_speed(seed: int) -> None:
    """A body's speed against a table of where it is: a quarter of a cycle apart, and found together all the same."""
    rng = np.random.default_rng(seed)
    t, place = _position(rng)
    found = compare(_body(t, place, rng), _table(t, place, 1.7, rng))
    off = float(np.abs(found.seconds([0.0, SECONDS]) - np.array([0.0, SECONDS]) - 1.7).max())
    assert found.confidence > 0.95
    assert off <= found.uncertainty_s
    assert off < 0.02


@pytest.mark.parametrize("seed", range(4))
def test_the_loudness_of_a_sound_is_placed_by_what_is_heard(seed: int) -> None:
    rng = np.random.default_rng(seed)
    t = np.arange(-10, SECONDS + 10, 1 / 8000)
    starts = np.flatnonzero(rng.random(len(t)) < 1.2 / 8000)
    loud = np.zeros(len(t))
    for i in starts:
        loud[i : i + 2400] += np.hanning(2400)[: len(loud) - i] * rng.uniform(0.3, 1)
    sound = (loud + 0.01) * rng.standard_normal(len(t))
    inside = (t >= 0) & (t < SECONDS)
    x = Stream.of(sound[inside][:, None].astype(np.float32), rate=8000, kind="waveform")
    found = compare(x, _table(t, loud, -0.8, rng))
    off = float(np.abs(found.seconds([0.0, SECONDS]) - np.array([0.0, SECONDS]) + 0.8).max())
    assert found.confidence > 0.95
    assert off <= found.uncertainty_s
    assert found.uncertainty_s < 0.03


def test_rates_of_a_ramp_with_gaps_and_still_channels() -> None:
    t = np.concatenate([np.arange(0, 2, 0.01), np.arange(3, 5, 0.01)])
    values = np.column_stack([np.clip(t - 1, 0, 0.5), np.zeros(len(t)), np.where(t < 4, t, np.nan) * 0])
    found = rates(t, values)
    assert {name: each.shape for name, each in found.items()} == dict.fromkeys(
        ("speed", "rise", "fall", "heard"), t.shape
    )
    ramp = (t > 1.05) & (t < 1.45)
    up, down = sorted((found["rise"], found["fall"]), key=lambda each: -each.sum())
    assert up[ramp].min() > 10 * up[~ramp & (t > 1.6) & (t < 1.9)].max()
    assert down.max() < 0.1 * up.max()
    assert rates(t[:5], values[:5]) == {}
    assert rates(t, np.ones((len(t), 2))) == {}


def test_a_correlation_with_two_peaks_is_not_even_about_either(strokes: Any) -> None:
    rng = np.random.default_rng(0)
    noise = gaussian_filter1d(rng.standard_normal(8000), 3)
    everything = np.ones(8000, bool)
    x, same = Run(0, 200, noise, everything), Run(0, 200, noise, everything)
    split = Run(0, 200, np.roll(noise, 8) + np.roll(noise, -8), everything)
    assert pooled(x, same, lambda t: 0 * t, 0.15).even > 0.9
    assert pooled(x, split, lambda t: 0 * t, 0.15).even < 0.7


def test_a_clock_is_less_certain_where_no_lag_tells() -> None:
    at, error = wander(np.linspace(0, 100, 40), np.full(40, 1000.0), (0.0, 400.0))
    assert (np.diff(error[at > 110]) > 0).all()
    assert error[at < 90].max() < 0.001
    sparse = wander(np.linspace(0, 100, 4), np.full(4, 1000.0), (0.0, 400.0))[1]
    assert (sparse >= error - 1e-9).all()
