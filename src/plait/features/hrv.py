"""Heart rate variability (HRV): beats in a pulse wave (photoplethysmogram), their rate and its variability."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError
from plait.features import Feature
from plait.features.checks import above_zero, as_float32, flat_numbers, one_of, place_of
from plait.features.smooth import regular
from plait.streams.clock import Clock, Grid
from plait.streams.stream import Stream

__all__ = ["Hrv", "beats", "good_intervals"]

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]

PEAK, BEAT = 0.111, 0.667
"""Seconds: typical duration of a systolic peak and of a beat (Elgendi et al. 2013)."""

LOCAL = 10.0
"""Seconds over which the threshold adapts to the amplitude of the pulse."""

APART = 0.3
"""Least seconds between two beats: 200 per minute."""

SHORTEST, LONGEST = 0.3, 2.0
"""Least and most seconds of a plausible interval between beats."""

BAND = (0.5, 8.0)
"""Frequency band of a pulse wave, Hz (Elgendi et al. 2013)."""

SLOW, FAST, TACHOGRAM = (0.04, 0.15), (0.15, 0.4), 4.0
"""Hz: the low and the high band of variability (Task Force 1996), and the rate at which intervals are resampled."""


def beats(pulse: Values, rate: float) -> Values:
    """Times of heart beats, seconds from the first observation, from the peaks of a pulse wave (photoplethysmogram).

    A beat is a maximum of the band-passed wave where a short moving average of its square exceeds a long one. A
    parabola places it between observations.

    Source: Elgendi, Norton, Brearley, Abbott, Schuurmans, "Systolic peak detection in acceleration
    photoplethysmograms measured from emergency responders in tropical conditions", PLoS ONE 8(10), 2013. Departures:
    the band-pass filter has finite length, and the threshold adapts over 10 s of the wave, not over all of it.

    Args:
        pulse: [n], NaN where not observed (no beats there).
        rate: Hz, 16 or more.

    >>> t = np.arange(0, 20, 1 / 64)
    >>> found = beats(np.exp(8 * np.cos(2 * np.pi * 1.25 * t)), 64.0)
    >>> round(float(np.diff(found).mean()), 3), len(found)
    (0.8, 24)
    """
    from scipy.ndimage import maximum_filter1d, uniform_filter1d

    seen = ~np.isnan(pulse)
    if seen.sum() < rate:
        return np.zeros(0)
    # Filters need numbers everywhere; beats in the bridged gaps are dropped by `seen` below.
    bridged = np.interp(np.arange(len(pulse)), np.flatnonzero(seen), pulse[seen])
    wave = _band_passed(bridged, rate)
    power = np.maximum(wave, 0.0) ** 2
    sizes = [max(round(s * rate), 1) | 1 for s in (PEAK, BEAT, LOCAL)]
    peak, beat, level = (uniform_filter1d(power, size, mode="constant") for size in sizes)
    high = maximum_filter1d(wave, 2 * round(APART * rate) + 1, mode="constant")
    # 0.02 of the mean power is Elgendi's offset (beta): it keeps ripples of a quiet stretch out.
    top = np.flatnonzero((wave == high) & (wave > 0) & seen & (peak > beat + 0.02 * level))
    top = top[(top > 0) & (top < len(wave) - 1)]
    left, middle, right = wave[top - 1], wave[top], wave[top + 1]
    bend = left - 2 * middle + right
    shift = np.where(bend < 0, 0.5 * (left - right) / np.where(bend < 0, bend, 1.0), 0.0)
    return np.asarray((top + shift) / rate)


def _band_passed(wave: Values, rate: float) -> Values:
    """The wave minus its mean over a period of the lower edge, then smoothed; symmetric in time, and finite."""
    from scipy.ndimage import convolve1d, uniform_filter1d
    from scipy.signal import firwin

    level = wave - uniform_filter1d(wave, round(rate / BAND[0]) | 1, mode="nearest")
    kernel = firwin(2 * round(0.15 * rate) + 1, min(BAND[1], 0.45 * rate), fs=rate)
    return np.asarray(convolve1d(level, kernel, mode="nearest"))


def good_intervals(times: Values, intervals: Values) -> Mask:
    """Which intervals between beats, ending at ``times`` s, are plausible: 0.3 to 2 s long and within a quarter of the
    median of the five about them (which a missed or doubled beat is not).

    >>> good_intervals(np.array([0.8, 1.6, 2.4, 4.0, 4.8]), np.array([0.8, 0.8, 0.8, 1.6, 0.8])).tolist()
    [True, True, True, False, True]
    """
    if not len(intervals):
        return np.zeros(0, np.bool_)
    padded = np.pad(intervals.astype(np.float64), 2, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 5)
    # Neighbours beyond a gap say nothing about this interval.
    near = np.abs(np.lib.stride_tricks.sliding_window_view(np.pad(times, 2, mode="edge"), 5) - times[:, None]) <= 5.0
    median = np.nanmedian(np.where(near, windows, np.nan), axis=1)
    within = np.abs(intervals - median) <= 0.25 * median
    return np.asarray((intervals >= SHORTEST) & (intervals <= LONGEST) & within)


class Hrv(Feature):
    """Heart rate and its variability (HRV) in windows, [n, 5] or, with the spectrum, [n, 8].

    Columns: beats per minute; SDNN, the standard deviation of the intervals between beats, and RMSSD, the root mean
    square of their successive differences, in seconds; pNN50, the share of successive differences above 50 ms; the
    share of the window covered by good intervals. With ``spectrum``: logarithms of the power of the intervals in 0.04
    to 0.15 Hz and in 0.15 to 0.4 Hz (s^2), and their difference. A window with fewer than three good intervals, or with
    less than half of it covered by them, is NaN (its share remains).

    Source: Task Force of the ESC and NASPE, "Heart rate variability", Circulation 93(5), 1996; beats by `beats`, good
    intervals by `good_intervals`.

    Args:
        of: ``pulse``: the stream is a pulse wave (its first column) with 16 observations per second or more;
            ``intervals``: the stream is the intervals between beats in seconds, each at the end of its interval.
        window: seconds; hop: seconds from window to window.
        spectrum: add the spectrum, which needs a window of about 120 s.

    >>> t = np.arange(0, 90, 1 / 64)
    >>> values, clock = Hrv()(Stream.of(np.exp(8 * np.cos(2 * np.pi * 1.25 * t)), rate=64))
    >>> values[2, 0].round(1).item(), clock.times[:2].tolist()
    (75.0, [15.0, 20.0])
    """

    kinds = ("series",)

    def __init__(self, *, of: str = "pulse", window: float = 30.0, hop: float = 5.0, spectrum: bool = False) -> None:
        one_of("hrv.of", of, ("pulse", "intervals"))
        above_zero("hrv", window=window, hop=hop)
        self._pulse, self._window, self._hop, self._spectrum = of == "pulse", window, hop, spectrum
        self._doubtful = self._empty = 0

    @property
    def rate(self) -> Fraction:
        return 1 / Fraction(str(self._hop))

    @property
    def receptive_field(self) -> float:
        # Beats at the edges depend on the filter, the local level and the median of their neighbours.
        return self._window / 2 + (2.0 + LOCAL / 2 + 1.0 if self._pulse else 0.0) + LONGEST + 5.0

    def dim(self, shape: tuple[int, ...]) -> int:
        return 8 if self._spectrum else 5

    def notes(self) -> dict[str, int]:
        counts = {"intervals between beats left out": self._doubtful, "windows with too few beats": self._empty}
        return {name: n for name, n in counts.items() if n}

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        times, intervals = self._intervals(stream)
        good = good_intervals(times, intervals)
        self._doubtful = int((~good).sum())
        start, stop = stream.clock.start, stream.clock.stop
        hop, half = Fraction(str(self._hop)), Fraction(str(self._window)) / 2
        count = max(int((stop - start - self._window) / self._hop + 1e-9) + 1, 0) if len(stream) else 0
        begin = stream.clock.start_exact if isinstance(stream.clock, Grid) else Fraction(start)
        clock = Grid(begin + half, 1 / hop, count)
        edges = clock.times[:, None] + np.array([-1, 1]) * self._window / 2
        bounds = np.searchsorted(times, edges, side="right")
        rows = [self._row(times[a:b], intervals[a:b], good[a:b]) for a, b in bounds]
        out = np.array(rows).reshape(-1, self.dim(()))
        self._empty = int(np.isnan(out[:, 0]).sum())
        return as_float32(out, stream), clock

    def _intervals(self, stream: Stream) -> tuple[Values, Values]:
        """Ends of the intervals between beats, and their lengths, seconds."""
        values = flat_numbers(stream)[:, 0]
        if not len(values):
            return np.zeros(0), np.zeros(0)
        if not self._pulse:
            seen = ~np.isnan(values)
            return stream.clock.times[seen], values[seen]
        laid, clock = regular(values[:, None], stream.clock, None, 0.25)
        rate = float(clock.rate)
        if rate < 16:
            raise DataError(
                f"{place_of(stream)}: {rate:g} observations per second are too few for a pulse wave; expected 16 or "
                "more. If the values are intervals between beats, set of: intervals."
            )
        found = beats(laid[:, 0], rate) + clock.start
        return found[1:], np.diff(found)

    def _row(self, times: Values, intervals: Values, good: Mask) -> list[float]:
        """One window's columns."""
        covered = min(float(intervals[good].sum()) / self._window, 1.0)
        if good.sum() < 3 or covered < 0.5:
            return [*[np.nan] * 4, covered, *[np.nan] * (3 if self._spectrum else 0)]
        own = intervals[good]
        # Only between neighbours that are both good: across a missed beat there is no successive difference.
        change = np.diff(intervals)[good[1:] & good[:-1]]
        rmssd = float(np.sqrt((change**2).mean())) if len(change) else np.nan
        pnn50 = float((np.abs(change) > 0.05).mean()) if len(change) else np.nan
        row = [60 / float(own.mean()), float(own.std(ddof=1)), rmssd, pnn50, covered]
        return row + (_bands(times[good], own, self._window) if self._spectrum else [])


def _bands(times: Values, intervals: Values, window: float) -> list[float]:
    """Log power of the linearly interpolated intervals in the low and the high band, and the difference."""
    from scipy.signal import detrend, periodogram

    at = np.arange(times[0], times[-1], 1 / TACHOGRAM)
    if len(at) < window * TACHOGRAM / 2:
        return [np.nan] * 3
    laid = detrend(np.interp(at, times, intervals))
    frequency, power = periodogram(laid, TACHOGRAM, window="hann", detrend=False)
    inside = [(frequency >= a) & (frequency < b) for a, b in (SLOW, FAST)]
    low, high = (float(np.log(power[own].sum() * frequency[1] + 1e-12)) for own in inside)
    return [low, high, low - high]
