"""Motion of wearables and robots: acceleration without gravity, its size, jerk and rotation; and vibration spectra."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.features import Feature
from plait.features.checks import above_zero, as_float32, flat_numbers, place_of
from plait.features.smooth import low_pass, low_pass_receptive_field, regular
from plait.streams.clock import Clock, Grid, rational
from plait.streams.stream import Stream

__all__ = ["BandPower", "Inertial"]

Values = NDArray[np.float64]


class Inertial(Feature):
    """Acceleration split into gravity and movement, [n, 8] and with a gyroscope [n, 12].

    Columns: linear acceleration x, y, z (the unit of the stream); the direction of gravity x, y, z (a unit vector: the
    orientation of the sensor); the magnitude of the linear acceleration; its jerk, the magnitude of its change per
    second; then, with a gyroscope, its x, y, z and magnitude. Magnitudes do not depend on the sensor's orientation.

    Gravity is the part below ``cutoff``: 0.3 Hz after Anguita et al., "A public domain dataset for human activity
    recognition using smartphones", ESANN 2013 (there by a Butterworth filter; here by a finite, NaN-aware filter, see
    `plait.features.smooth.low_pass`).

    Args:
        acceleration: columns of the accelerometer's x, y, z.
        gyroscope: columns of the gyroscope's x, y, z, or null for none; ``auto``: columns 3 to 5 if there are six or
            more.
        cutoff: Hz.
        past: gravity from the past alone, which lags; else from both sides.
        rate: rate of the grid, Hz; null: the stream's own.
        gap: longest pause, in seconds, that is interpolated and over which the jerk is taken.

    Raises:
        DataError: the stream lacks these columns.

    >>> still = Stream.of(np.tile([0.0, 0.0, 9.81], (500, 1)), rate=50)
    >>> Inertial()(still)[0][250, 3:].round(3).tolist()
    [0.0, 0.0, 1.0, 0.0, 0.0]
    """

    kinds = ("series",)

    def __init__(
        self,
        *,
        acceleration: Sequence[int] = (0, 1, 2),
        gyroscope: Sequence[int] | str | None = "auto",
        cutoff: float = 0.3,
        past: bool = False,
        rate: float | str | None = None,
        gap: float = 1.0,
    ) -> None:
        above_zero("inertial", cutoff=cutoff, gap=gap)
        self._acceleration = _columns("acceleration", acceleration)
        self._gyroscope = None if gyroscope is None or gyroscope == "auto" else _columns("gyroscope", gyroscope)
        self._auto = gyroscope == "auto"
        self._cutoff, self._past, self._rate, self._gap = cutoff, past, rate, gap
        self._lost = 0

    @property
    def rate(self) -> Fraction | None:
        return None if self._rate is None else rational(self._rate)

    @property
    def receptive_field(self) -> float:
        return low_pass_receptive_field(self._cutoff) + 2 * self._gap

    def dim(self, shape: tuple[int, ...]) -> int:
        return 12 if self._turning(int(np.prod(shape))) else 8

    def groups(self, dim: int) -> list[int]:
        return [0, 0, 0, 1, 1, 1, 2, 3, 4, 4, 4, 5][:dim]

    def notes(self) -> dict[str, int]:
        return {"instants without acceleration": self._lost} if self._lost else {}

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        values = flat_numbers(stream)
        turning = self._turning(values.shape[1])
        _refuse_missing(stream, (*self._acceleration, *(turning or ())), values.shape[1])
        values, clock = regular(values, stream.clock, self._rate, self._gap)
        rate = float(clock.rate)
        raw = values[:, self._acceleration]
        gravity = low_pass(raw, rate, self._cutoff, causal=self._past)
        linear = raw - gravity
        columns = [linear, _unit(gravity), _size(linear), _jerk(linear, rate, self._gap)]
        if turning:
            gyro = values[:, turning]
            columns += [gyro, _size(gyro)]
        self._lost = int(np.isnan(raw).any(1).sum())
        return as_float32(np.concatenate(columns, 1), stream), clock

    def _turning(self, width: int) -> tuple[int, ...] | None:
        return ((3, 4, 5) if width >= 6 else None) if self._auto else self._gyroscope


def _columns(option: str, given: Sequence[int] | str) -> tuple[int, ...]:
    good = isinstance(given, Sequence) and not isinstance(given, str) and len(given) == 3
    if not good or not all(isinstance(i, int) and i >= 0 for i in given):
        raise ConfigError(f"inertial.{option}: got {given!r}; expected three columns, counted from 0.")
    return tuple(int(i) for i in given)


def _refuse_missing(stream: Stream, wanted: Sequence[int], width: int) -> None:
    if max(wanted) >= width:
        raise DataError(
            f"{place_of(stream)}: has {width} columns, but column {max(wanted)} is asked for (counted from 0). "
            "Name the accelerometer's and the gyroscope's columns in the feature's options."
        )


def _size(values: Values) -> Values:
    out: Values = np.sqrt((values**2).sum(1, keepdims=True))
    return out


def _unit(values: Values) -> Values:
    size = _size(values)
    return np.where(size > 0, values / np.where(size > 0, size, 1.0), values * 0.0)


def _jerk(linear: Values, rate: float, gap: float) -> Values:
    """Magnitude of the change since the last observation, per second; 0 where that is unknown."""
    change = np.zeros((len(linear), 1))
    if len(linear) > 1 and 1 / rate <= gap:
        change[1:] = np.nan_to_num(_size(np.diff(linear, axis=0)) * rate)
    return np.where(np.isnan(linear).any(1, keepdims=True), np.nan, change)


class BandPower(Feature):
    """Spectrum of each channel in windows: strength, frequency and regularity, [n, channels * (bands + 3)].

    For each channel: the logarithm of the power in each band (Hann window, without the mean, density summed over the
    band), the frequency of the strongest component and the spectral centroid (Hz), and the spectral entropy (0: one
    tone; 1: white noise). Gaps up to ``gap`` seconds are interpolated; a window with more than a tenth unknown is NaN.

    Source: Welch, "The use of fast Fourier transform for the estimation of power spectra", IEEE Trans. Audio
    Electroacoustics 15(2), 1967 (one segment a window); spectral entropy: Inouye et al., EEG Clin. Neurophys. 79, 1991.

    Args:
        window: seconds; hop: seconds from window to window.
        bands: edges in Hz, rising; n edges make n - 1 bands. Edges above half the rate are refused.
        rate: rate of the grid, Hz; null: the stream's own.
        gap: longest gap that is interpolated, seconds.

    >>> shake = Stream.of(np.sin(2 * np.pi * 3 * np.arange(1000) / 50), rate=50)
    >>> values, clock = BandPower()(shake)
    >>> values[0, -3:-1].round(1).tolist(), clock.times[:2].tolist()
    ([3.0, 3.0], [2.0, 3.0])
    """

    kinds = ("series",)

    def __init__(
        self,
        *,
        window: float = 4.0,
        hop: float = 1.0,
        bands: Sequence[float] = (0.3, 1, 2, 4, 8, 15),
        rate: float | str | None = None,
        gap: float = 1.0,
    ) -> None:
        above_zero("band_power", window=window, hop=hop, gap=gap)
        if len(bands) < 2 or any(b <= a for a, b in pairwise(bands)) or bands[0] < 0:
            raise ConfigError(f"band_power.bands: got {list(bands)}; expected two or more rising frequencies in Hz.")
        self._window, self._hop, self._bands = window, hop, np.asarray(bands, np.float64)
        self._rate, self._gap, self._empty = rate, gap, 0

    @property
    def rate(self) -> Fraction:
        return 1 / Fraction(str(self._hop))

    @property
    def receptive_field(self) -> float:
        return self._window / 2 + self._gap

    def dim(self, shape: tuple[int, ...]) -> int:
        return int(np.prod(shape)) * (len(self._bands) + 2)

    def notes(self) -> dict[str, int]:
        return {"windows of which too little is known": self._empty} if self._empty else {}

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        values, clock = regular(flat_numbers(stream), stream.clock, self._rate, self._gap)
        rate = float(clock.rate)
        size = round(self._window * rate)
        if len(values) and (self._bands[-1] > rate / 2 * (1 + 1e-9) or size < 8):
            raise DataError(
                f"{place_of(stream)}: {rate:g} observations per second cannot show {self._bands[-1]:g} Hz in windows "
                f"of {self._window:g} s. Lower the bands to half the rate, or lengthen the window."
            )
        hop = Fraction(str(self._hop))
        count = max(int((Fraction(len(values)) / clock.rate - Fraction(size) / clock.rate) / hop) + 1, 0)
        starts = np.round(np.arange(count) * float(hop) * rate).astype(int)
        starts = starts[starts + size <= len(values)]
        columns = [_spectra(values[:, c], starts, size, rate, self._bands) for c in range(values.shape[1])]
        out = np.concatenate([np.zeros((len(starts), 0)), *columns], 1)
        self._empty = int(np.isnan(out).any(1).sum())
        middle = clock.start_exact + Fraction(size, 2) / clock.rate
        return as_float32(out, stream), Grid(middle, 1 / hop, len(out))


def _spectra(values: Values, starts: NDArray[np.int64], size: int, rate: float, bands: Values) -> Values:
    """Spectral features of windows of one channel, [windows, bands - 1 + 3]."""
    if not len(starts):
        return np.zeros((0, len(bands) + 2))
    own = np.lib.stride_tricks.sliding_window_view(values, size)[starts]
    unknown = np.isnan(own)
    count = np.maximum((~unknown).sum(1, keepdims=True), 1)
    mean = np.where(unknown, 0.0, own).sum(1, keepdims=True) / count
    # Periodic, as spectra of windows need it.
    window = np.hanning(size + 1)[:-1]
    power = np.abs(np.fft.rfft(np.where(unknown, 0.0, own - mean) * window, axis=1)) ** 2
    # A one-sided density: half of the power is at negative frequencies.
    power *= 2 / (rate * (window**2).sum())
    frequency = np.fft.rfftfreq(size, 1 / rate)
    width = rate / size
    inside = (frequency >= bands[:-1, None]) & (frequency < bands[1:, None])
    density = power @ inside.T * width
    within = power * (frequency >= bands[0]) * (frequency < bands[-1])
    total = within.sum(1, keepdims=True)
    share = within / np.where(total > 0, total, 1.0)
    entropy = -(share * np.log(np.where(share > 0, share, 1.0))).sum(1) / np.log(max(inside.sum(), 2))
    strongest = frequency[np.argmax(within, axis=1)]
    facts = np.stack([strongest, share @ frequency, entropy], 1)
    out: Values = np.concatenate([np.log(density + 1e-12), facts], 1)
    out[unknown.mean(1) > 0.1] = np.nan
    return out
