"""Planted clocks are recovered; what has nothing in common is left alone; the fit is robust."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.clocks.drift import fit_line
from plait.clocks.estimate import ClockFix, solve
from plait.clocks.link import Limits
from plait.core.errors import DataError
from plait.streams.stream import Stream

SECONDS = 60.0


def worst(fix: ClockFix, offset: float, drift_ppm: float, seconds: float = SECONDS) -> float:
    ends = np.array([0.0, seconds])
    return float(np.abs(fix.offset - offset + (fix.drift_ppm - drift_ppm) * 1e-6 * ends).max())


def own(at: np.ndarray, offset: float, drift_ppm: float) -> np.ndarray:
    """Reference seconds read by a clock with ``reference = own * (1 + drift) + offset``."""
    return (at - offset) / (1 + drift_ppm * 1e-6)


@pytest.mark.slow
@settings(max_examples=12)
@given(
    offset=st.floats(-9.5, 9.5),
    drift=st.floats(-900, 900),
    seed=st.integers(0, 2**31),
    kinds=st.sampled_from([("waveform", "series"), ("series", "words"), ("pose", "series"), ("waveform", "words")]),
)
def test_planted_clocks_are_recovered_within_10_ms(
    offset: float, drift: float, seed: int, kinds: tuple[str, str], strokes: Any, seen_by: Any
) -> None:
    rng = np.random.default_rng(seed)
    at = strokes(rng, SECONDS + 24) - 12
    a = seen_by(kinds[0], at, SECONDS, rng)
    b = seen_by(kinds[1], own(at, offset, drift), SECONDS, rng)
    (fix,) = solve("r", {"a": {"x": a}, "b": {"y": b}}, "a", Limits())
    assert fix.applied or fix.flagged
    if fix.applied and not fix.flagged:
        assert worst(fix, offset, drift) < 0.010
    assert fix.applied, fix.reason


@pytest.mark.parametrize("sign", [-1, 1])
def test_at_the_border_of_the_range_it_is_found_and_beyond_it_is_left(sign: int, strokes: Any, seen_by: Any) -> None:
    rng = np.random.default_rng(1)
    at = strokes(rng, SECONDS + 40) - 20
    a = seen_by("series", at, SECONDS, rng)
    for offset, there in ((sign * 9.9, True), (sign * 11.0, False)):
        b = seen_by("words", own(at, offset, sign * 950.0), SECONDS, rng)
        (fix,) = solve("r", {"a": {"x": a}, "b": {"y": b}}, "a", Limits(10.0, 1000.0, tolerance=0.025))
        assert fix.applied is there
        assert fix.flagged is not there
        if there:
            assert worst(fix, offset, sign * 950.0) < 0.010


@pytest.mark.parametrize("seed", range(8))
def test_streams_with_nothing_in_common_are_flagged_and_left(seed: int, strokes: Any, seen_by: Any) -> None:
    rng = np.random.default_rng(seed)
    a = seen_by("waveform", strokes(rng, SECONDS), SECONDS, rng)
    for kind, at in (("series", strokes(rng, SECONDS)), ("words", strokes(rng, SECONDS)), ("series", np.zeros(0))):
        (fix,) = solve("r", {"a": {"x": a}, "b": {"y": seen_by(kind, at, SECONDS, rng)}}, "a", Limits())
        assert not fix.applied
        assert "no common events" in fix.reason


def test_an_even_beat_is_ambiguous_and_so_flagged(seen_by: Any) -> None:
    rng = np.random.default_rng(0)
    at = np.arange(0.4, SECONDS, 0.5)
    devices = {"a": {"x": seen_by("series", at, SECONDS, rng)}, "b": {"y": seen_by("words", at, SECONDS, rng)}}
    (fix,) = solve("r", devices, "a", Limits())
    assert not fix.applied


def test_a_device_is_placed_through_another(strokes: Any, seen_by: Any) -> None:
    """The words share nothing with the reference, but the sensor in between shares something with each."""
    rng = np.random.default_rng(2)
    mine, yours = strokes(rng, SECONDS), strokes(rng, SECONDS)
    both = np.sort(np.concatenate([mine, yours]))
    devices = {
        "camera": {"sound": seen_by("waveform", mine, SECONDS, rng)},
        "imu": {"imu": seen_by("series", own(both, 1.2, 150.0), SECONDS, rng)},
        "text": {"words": seen_by("words", own(yours, -0.7, -90.0), SECONDS, rng)},
    }
    imu, words = solve("r", devices, "camera", Limits())
    assert imu.applied
    assert worst(imu, 1.2, 150.0) < 0.010
    assert words.applied
    assert "through imu" in words.method
    assert worst(words, -0.7, -90.0) < 0.010


def test_too_short_to_tell_the_drift_leaves_it_near_zero(strokes: Any, seen_by: Any) -> None:
    rng = np.random.default_rng(4)
    at = strokes(rng, 40.0) - 5
    a, b = seen_by("series", at, 20.0, rng), seen_by("words", own(at, 0.5, 0.0), 20.0, rng)
    (fix,) = solve("r", {"a": {"x": a}, "b": {"y": b}}, "a", Limits())
    assert fix.applied
    assert abs(fix.drift_ppm) < 400
    assert worst(fix, 0.5, 0.0, 20.0) < 0.010


def test_a_stream_that_never_changes_is_named_in_the_reason(strokes: Any, seen_by: Any) -> None:
    rng = np.random.default_rng(0)
    a = seen_by("series", strokes(rng, SECONDS), SECONDS, rng)
    flat = Stream.of(np.zeros((50, 8, 8, 3), np.uint8), rate=25)
    (fix,) = solve("r", {"a": {"x": a}, "b": {"still": flat}}, "a", Limits())
    assert not fix.applied
    assert "still" in fix.reason
    assert "nothing ever changes" in fix.reason


def test_the_line_withstands_a_quarter_of_wild_lags() -> None:
    rng = np.random.default_rng(0)
    t = np.linspace(0, 600, 80)
    lags = 2.0 + 150e-6 * (t - 300) + rng.normal(0, 0.002, 80)
    lags[rng.permutation(80)[:20]] += rng.uniform(-0.04, 0.04, 20)
    line = fit_line(t, lags, np.ones(80), np.zeros(80, np.int64), pivot=300.0)
    assert np.abs(line.at(t) - 2.0 - 150e-6 * (t - 300)).max() < 0.003
    assert 0.7 < line.inliers < 1
    assert line.error_at(0.0) > line.error_at(300.0)


@pytest.mark.slow
def test_stated_uncertainty_covers_the_error() -> None:
    """Over many noisy lines the error at the end stays within two standard errors about 19 times in 20."""
    rng, inside = np.random.default_rng(0), 0
    t = np.linspace(0, 60, 15)
    for _ in range(300):
        drift = rng.uniform(-200e-6, 200e-6)
        lags = drift * (t - 30) + rng.normal(0, 0.004, 15)
        line = fit_line(t, lags, np.ones(15), np.zeros(15, np.int64), pivot=30.0)
        inside += abs(float(line.at(60.0)) - drift * 30) < 2 * float(line.error_at(60.0))
    assert inside / 300 > 0.85


@pytest.mark.parametrize("wrong", [{"max_offset": 0}, {"tolerance": -1}, {"max_drift_ppm": -5}])
def test_limits_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(DataError, match="expected max_offset"):
        Limits(**wrong)
