from __future__ import annotations

import time
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from plait.core.errors import ConfigError, DataError
from plait.features import Feature
from plait.features import sound as in_windows
from plait.features.chroma import Chroma
from plait.features.energy import Energy
from plait.features.pitch import Pitch
from plait.features.prosody import Prosody
from plait.features.shape import SpectralShape
from plait.features.spectral import LogMel, Mfcc
from plait.streams.clock import Grid
from plait.streams.stream import Stream


def sound(n: int, rate: float | str = 16000, start: float = 0.0) -> Stream:
    wave = 0.1 * np.random.default_rng(0).normal(size=n).astype(np.float32)
    return Stream.of(wave, rate=rate, start=start, kind="waveform")


def click(at: float, rate: int = 16000) -> Stream:
    wave = np.zeros(2 * rate, np.float32)
    wave[round(at * rate)] = 1
    return Stream.of(wave, rate=rate, kind="waveform")


@pytest.mark.parametrize("rate", [16000, 44100, 8000])
def test_a_click_is_loudest_where_it_is(rate: int) -> None:
    values, clock = LogMel()(click(1.0, rate))
    loud = values.sum(1).argmax()
    assert abs(clock.times[loud] - 1.0) <= 0.0051


def test_times_are_middles_on_the_real_clock() -> None:
    values, clock = LogMel()(sound(16000, start=3.5))
    assert isinstance(clock, Grid)
    assert clock.start_exact == Fraction(35, 10) + Fraction(125, 10000)
    assert clock.rate == 100
    assert len(values) == 1 + (16000 - 400) // 160


@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_corrected_clock_changes_times_and_no_number(rate: int) -> None:
    stream = sound(rate * 2, rate)
    values, clock = LogMel()(stream)
    moved, real = LogMel()(stream.on(stream.clock.corrected(offset=1.25, drift_ppm=200)))
    np.testing.assert_array_equal(values, moved)
    np.testing.assert_allclose(real.times, clock.corrected(1.25, 200).times, atol=1e-12)


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize(
    "feature", [LogMel(), Mfcc(deltas=2), Chroma(), SpectralShape(), Energy(weighting="a"), Pitch(), Prosody(span=0.5)]
)
def test_blocks_equal_the_whole_to_the_bit(monkeypatch: pytest.MonkeyPatch, rate: int, feature: Feature) -> None:
    stream = sound(3 * rate, rate)
    values, clock = feature(stream)
    for block in (777, 30000):
        monkeypatch.setattr(in_windows, "BLOCK", block)
        pieces, same = feature(stream)
        np.testing.assert_array_equal(pieces, values)
        assert same == clock


@pytest.mark.parametrize("rate", [16000, 44100])
def test_a_gap_is_nan_where_windows_touch_it_and_nowhere_else(rate: int) -> None:
    stream = sound(2 * rate, rate)
    wave = np.array(stream.read())
    wave[rate // 2 : rate] = np.nan
    feature = LogMel()
    values, clock = feature(replace(stream, source=type(stream.source)(wave)))  # type: ignore[call-arg]
    touched = (clock.times + 0.0125 > 0.5 + 1e-6) & (clock.times - 0.0125 < 1.0 - 1e-6)
    np.testing.assert_array_equal(np.isnan(values).all(1), touched)
    assert np.isfinite(values[~touched]).all()
    assert feature.notes() == {"windows in a gap": int(touched.sum())}


def test_channels_are_averaged_and_integers_scaled() -> None:
    wave = np.random.default_rng(0).integers(-9000, 9000, (8000, 1)).astype(np.int16)
    one, _ = LogMel()(Stream.of(wave, rate=16000, kind="waveform"))
    both = np.repeat(wave.astype(np.float32) / 32768, 2, axis=1) * [0.5, 1.5]
    two, _ = LogMel()(Stream.of(both, rate=16000, kind="waveform"))
    np.testing.assert_allclose(one, two, atol=1e-4)


def test_shorter_than_a_window() -> None:
    values, clock = Mfcc(deltas=True)(sound(399))
    assert values.shape == (0, 26)
    assert len(clock) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mels": 200}, "narrower than the spectrum"),
        ({"hop": 0.05}, "longer than window"),
        ({"high": 9000}, "low < high <= rate / 2"),
        ({"window": -1}, "expected a number above 0"),
    ],
)
def test_wrong_options(options: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LogMel(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mfcc(n=20, mels=13), "20 coefficients of 13 mels"),
        (lambda: Mfcc(deltas=3), "expected 0, 1 .slopes. or 2"),
        (lambda: Chroma(scale="mean"), "expected one of max, none"),
        (lambda: Energy(weighting="c"), "expected one of none, a, k"),
        (lambda: SpectralShape(contrast=7), "the band of 6400 to 12800 Hz|the band of 12800"),
    ],
)
def test_wrong_choices(make: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()  # type: ignore[operator]


def test_weights_are_those_of_the_standards() -> None:
    """Levels that IEC 61672 (table 3) and ITU-R BS.1770 (annex 1, 997 Hz) name; a signal out of band is left out."""
    t = np.arange(48000) / 48000
    for hz, a in ((100, -19.1), (1000, 0.0), (2500, 1.3), (10000, -2.5)):
        tone = Stream.of(np.sin(2 * np.pi * hz * t).astype(np.float32), rate=48000, kind="waveform")
        plain, _ = Energy(rate=48000)(tone)
        weighed, _ = Energy(rate=48000, weighting="a", window=0.1)(tone)
        assert np.median(plain) == pytest.approx(-3.01, abs=0.1)
        assert np.median(weighed) == pytest.approx(-3.01 + a, abs=0.1)
    silent, _ = Energy(floor=-80)(Stream.of(np.zeros(8000, np.float32), rate=16000, kind="waveform"))
    assert (silent == -80).all()


def test_slow_or_irregular_sound_is_refused() -> None:
    with pytest.raises(DataError, match="Set the feature's rate to 1000"):
        LogMel()(sound(1000, 1000))
    listed = Stream.of(np.zeros(5, np.float32), times=np.arange(5.0), kind="waveform")
    with pytest.raises(DataError, match="expected a regular rate"):
        LogMel()(listed)


def test_it_is_fast() -> None:
    stream, feature = sound(48000), LogMel()
    feature(stream)
    took = []
    for _ in range(10):
        begin = time.process_time()
        feature(stream)
        took.append(time.process_time() - begin)
    assert min(took) < 0.02  # 5 ms on an idle core; shared ones are slower
