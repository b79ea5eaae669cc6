"""HRV, EDA and movement: planted beats, responses and shakes are found; real wrists agree with their device."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import periodogram
from scipy.spatial.transform import Rotation

from plait.core.errors import ConfigError, DataError
from plait.features.eda import Eda, responses
from plait.features.hrv import Hrv, beats, good_intervals
from plait.features.inertial import BandPower, Inertial
from plait.features.smooth import low_pass
from plait.readers import open_streams
from plait.streams.stream import Stream


def pulse_of(times: np.ndarray, seconds: float, rate: float) -> np.ndarray:
    """A wave that peaks at each of the times, with a second, lower bump after it as an artery has."""
    t = np.arange(0, seconds, 1 / rate)
    main = np.exp(-(((t[:, None] - times) / 0.08) ** 2)).sum(1)
    return main + 0.3 * np.exp(-(((t[:, None] - times - 0.3) / 0.08) ** 2)).sum(1)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.floats(0.5, 1.1))
def test_planted_beats_are_found_between_observations(seed: int, mean: float) -> None:
    rng = np.random.default_rng(seed)
    planted = 1 + np.cumsum(mean * (1 + 0.05 * rng.uniform(-1, 1, 40)))
    wave = pulse_of(planted, planted[-1] + 1, 64.0) + 0.01 * rng.normal(size=int(np.ceil((planted[-1] + 1) * 64)))
    found = beats(wave, 64.0)
    assert len(found) == len(planted)
    assert np.abs(found - planted).max() < 0.012  # an observation is 0.0156 s


def test_rate_and_variability_of_planted_beats() -> None:
    rng = np.random.default_rng(3)
    planted = np.cumsum(0.8 + 0.04 * rng.normal(size=150))
    own = np.diff(planted)
    values, _ = Hrv(window=100, hop=10)(Stream.of(pulse_of(planted, 120, 64), rate=64))
    inside = own[(planted[1:] > 0) & (planted[1:] <= 100)]
    rate, sdnn, rmssd, pnn50, share = values[0]
    assert rate == pytest.approx(60 / inside.mean(), rel=0.005)
    assert sdnn == pytest.approx(inside.std(ddof=1), rel=0.1)
    assert rmssd == pytest.approx(np.sqrt((np.diff(inside) ** 2).mean()), rel=0.1)
    assert pnn50 == pytest.approx((np.abs(np.diff(inside)) > 0.05).mean(), abs=0.06)
    assert share > 0.97


def test_intervals_give_what_the_pulse_gives() -> None:
    planted = np.cumsum(0.8 + 0.04 * np.random.default_rng(3).normal(size=150))
    wave, _ = Hrv(window=60)(Stream.of(pulse_of(planted, 118, 64), rate=64))
    times = planted[1:][planted[1:] < 118]
    given_intervals, _ = Hrv(of="intervals", window=60)(Stream.of(np.diff(planted)[: len(times)], times=times))
    np.testing.assert_allclose(given_intervals[0, 0], wave[0, 0], rtol=0.01)


def test_the_spectrum_of_breathing_is_in_the_high_band() -> None:
    beat = np.cumsum(0.8 + 0.05 * np.sin(2 * np.pi * 0.25 * 0.8 * np.arange(300)))
    values, _ = Hrv(window=150, spectrum=True)(Stream.of(pulse_of(beat, 230, 64), rate=64))
    low, high, ratio = values[0, 5:]
    assert high > low + 2
    assert ratio == pytest.approx(low - high, abs=1e-5)


def test_a_lost_pulse_is_not_a_number_and_is_counted() -> None:
    wave = pulse_of(np.arange(0.5, 120, 0.8), 120, 64)
    wave[30 * 64 : 90 * 64] = np.nan
    feature = Hrv(window=20, hop=10)
    values, clock = feature(Stream.of(wave, rate=64))
    lost = (clock.times > 45) & (clock.times < 75)
    assert np.isnan(values[lost, 0]).all()
    assert (values[lost, 4] < 0.1).all()
    assert feature.notes()["windows with too few beats"] >= lost.sum()


def test_a_doubled_beat_is_left_out() -> None:
    times = np.array([0.8, 1.6, 2.4, 3.2, 3.5, 4.0, 4.8, 5.6, 6.4])
    assert good_intervals(times[1:], np.diff(times)).tolist() == [True] * 3 + [False] * 2 + [True] * 3


def test_a_slow_stream_is_no_pulse_wave() -> None:
    with pytest.raises(DataError, match="too few for a pulse wave"):
        Hrv()(Stream.of(np.zeros(100), rate=4))


def test_the_wristbands_own_intervals(real_data: Path) -> None:
    """The E4 gives intervals where it is sure of them; there the rates agree."""
    session = open_streams(real_data / "stress_predict/Raw_data/S13")
    values, clock = Hrv(window=20)(session["bvp"])
    theirs, later = Hrv(of="intervals", window=20)(session["ibi"])
    sure = theirs[:, 4] > 0.8
    row = np.clip(np.round((later.times - clock.start) / 5).astype(int), 0, len(values) - 1)
    off = np.abs(values[row[sure], 0] - theirs[sure, 0])
    assert sure.sum() > 100
    assert np.isfinite(off).mean() > 0.95
    assert np.nanmedian(off) < 1  # beats a minute
    assert np.nanmedian(off) < 0.2 * np.median(np.abs(theirs[sure, 0] - np.median(theirs[sure, 0])))


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_planted_responses_are_found(seed: int) -> None:
    rng = np.random.default_rng(seed)
    t = np.arange(0, 300, 0.25)
    at = np.cumsum(rng.uniform(12, 30, 10))
    size = rng.uniform(0.1, 0.8, 10)
    rise = [s * np.where(t < a, np.exp(-(((t - a) / 1.0) ** 2)), np.exp(-(t - a) / 4)) for a, s in zip(at, size)]
    found, height = responses(5 + np.sum(rise, 0), 4.0, 0.05)
    kept = at < 298
    assert len(found) == kept.sum()
    assert np.abs(found / 4 - at[kept]).max() <= 0.51
    assert np.abs(height - size[kept]).max() < 0.1


def test_tonic_and_phasic_add_up_and_follow_a_ramp() -> None:
    t = np.arange(0, 400, 0.25)
    eda = 2 + 0.002 * t + 0.3 * np.exp(-(((t % 40) - 20) ** 2))
    values, _ = Eda()(Stream.of(eda, rate=4))
    np.testing.assert_allclose(values[:, 0] + values[:, 1], eda, atol=1e-5)
    middle = slice(200, -200)
    assert np.abs(values[middle, 0] - (2 + 0.002 * t[middle])).max() < 0.12
    assert values[1000, 2] == pytest.approx(1.5, abs=0.51)  # one every 40 s


def test_gravity_is_taken_out_however_the_sensor_is_held() -> None:
    t = np.arange(0, 30, 0.02)
    shake = 0.5 * np.sin(2 * np.pi * 3 * t)[:, None] * np.array([1.0, 0, 0])
    turned = Rotation.from_euler("xyz", [0.4, 1.1, -0.7])
    flat, _ = Inertial()(Stream.of(shake + [0, 0, 1], rate=50))
    tilted, _ = Inertial()(Stream.of(turned.apply(shake + [0, 0, 1]), rate=50))
    middle = slice(300, -300)
    np.testing.assert_allclose(flat[middle, :3], shake[middle], atol=0.01)
    np.testing.assert_allclose(tilted[:, 6:8], flat[:, 6:8], atol=1e-4)
    np.testing.assert_allclose(tilted[middle, 3:6], np.tile(turned.apply([0, 0, 1]), (len(t) - 600, 1)), atol=0.02)


def test_a_gap_does_not_bend_gravity() -> None:
    values = np.tile([0.0, 0.0, 9.81], (1000, 1))
    values[400:600] = np.nan
    out, _ = Inertial()(Stream.of(values, rate=50))
    assert np.isnan(out[400:600, :3]).all()
    np.testing.assert_allclose(out[390:400, :3], 0, atol=1e-5)


def test_columns_that_are_not_there() -> None:
    with pytest.raises(DataError, match="has 2 columns, but column 2 is asked for"):
        Inertial()(Stream.of(np.zeros((100, 2)), rate=50))
    with pytest.raises(ConfigError, match="expected three columns"):
        Inertial(acceleration=[0, 1])
    with pytest.raises(ConfigError, match="rising frequencies"):
        BandPower(bands=[3, 1])
    with pytest.raises(DataError, match="cannot show 15 Hz"):
        BandPower()(Stream.of(np.zeros((100, 2)), rate=10))


def test_band_power_is_scipys_periodogram() -> None:
    x = np.random.default_rng(0).normal(size=(500, 2))
    edges = [0.3, 1, 2, 4, 8, 15]
    values, _ = BandPower(window=4, hop=1, bands=edges)(Stream.of(x, rate=50))
    for row, channel in ((0, 0), (3, 1)):
        frequency, power = periodogram(x[row * 50 : row * 50 + 200, channel], 50, "hann", detrend="constant")
        bands = [power[(frequency >= a) & (frequency < b)].sum() * frequency[1] for a, b in pairwise(edges)]
        own = values[row, channel * 8 : channel * 8 + 8]
        np.testing.assert_allclose(own[:5], np.log(bands), atol=1e-4)
        inside = (frequency >= 0.3) & (frequency < 15)
        assert own[5] == pytest.approx(frequency[inside][np.argmax(power[inside])])
        assert own[6] == pytest.approx((frequency * power)[inside].sum() / power[inside].sum(), rel=1e-4)


def test_low_pass_takes_out_what_is_quick() -> None:
    t = np.arange(0, 60, 0.02)[:, None]
    slow, quick = np.sin(2 * np.pi * 0.05 * t), np.sin(2 * np.pi * 2 * t)
    out = low_pass(slow + quick, 50.0, 0.3)
    assert np.abs(out - slow)[250:-250].max() < 0.03
