"""The lag of two recordings of one sound to a fraction of a sample, window by window.

Generalised cross-correlation with the phase transform (GCC-PHAT; Knapp and Carter, IEEE Trans. ASSP 1976): each
frequency has the same weight, so that neither rooms nor microphones nor coloured noise widen the peak. A window of x is
first stretched along the rough lag, so that drift does not blur the peak.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from plait.clocks.local import Guess
from plait.clocks.offset import Lags
from plait.streams.stream import Stream

__all__ = ["samples", "waveform_lags"]

Array = NDArray[np.float64]
Sound = NDArray[np.float32]

RATE = 8000.0
"""Highest sampling rate at which sounds are compared, Hz."""

LOWEST = 80.0
"""Frequencies below this are left out, Hz: hum, wind and handling noise."""

CLEAR = 6.0
"""Least height of a window's peak, in standard deviations of the correlation elsewhere."""


def _rate(stream: Stream) -> float:
    return len(stream) / max(stream.clock.stop - stream.clock.start, 1e-9)


def samples(stream: Stream, start: float, n: int, rate: float) -> Sound:
    """n samples from ``start`` seconds on at ``rate`` Hz, mean of all channels; zeros outside the recording.

    At the recording's own rate these are its own samples, from the one nearest to ``start``.

    >>> tone = Stream.of(np.arange(16.0)[:, None], rate=8, kind="waveform")
    >>> samples(tone, 1.0, 4, 8.0).tolist()
    [8.0, 9.0, 10.0, 11.0]
    """
    import soxr

    own = _rate(stream)
    # The resampler's filter needs some samples on either side of what is asked.
    margin = 0 if abs(own / rate - 1) < 1e-9 else 32
    place = (start - stream.clock.start) * own
    lo = int(np.floor(place)) - margin if margin else round(place)
    hi = lo + int(np.ceil(n * own / rate)) + 2 * margin + (1 if margin else 0)
    cut = stream[min(max(lo, 0), len(stream)) : min(max(hi, 0), len(stream))]
    values = np.nan_to_num(cut.read().astype(np.float32, copy=False).mean(axis=1), posinf=0.0, neginf=0.0)
    whole = np.zeros(hi - lo, np.float32)
    begin = max(lo, 0) - lo
    whole[begin : begin + len(values)] = values
    if not margin:
        return whole[:n]
    out = soxr.resample(whole, own, rate, quality="HQ")
    at = (place - lo) * rate / own + np.arange(n)
    return np.asarray(np.interp(at, np.arange(len(out)), out), np.float32)


def waveform_lags(x: Stream, y: Stream, guess: Guess, length: float, count: int, max_lag: float) -> Lags:
    """Lags of at most ``count`` windows of ``length`` seconds of y, spread over all of it, near the guess.

    Args:
        x, y: sounds.
        guess: the lag at seconds of y, to within ``max_lag`` seconds.
        length: length of a window, seconds.
        count: most windows.
        max_lag: how far from the guess to search, seconds.

    >>> rng = np.random.default_rng(0); noise = rng.standard_normal((40000, 1)).astype(np.float32)
    >>> x, y = (Stream.of(v, rate=8000, kind="waveform") for v in (noise, noise[40:]))
    >>> lags = waveform_lags(x, y, lambda t: 0 * t, 0.5, 8, 0.02)
    >>> bool(np.abs(lags.lags - 0.005).max() < 1e-4)
    True
    """
    rate = min(RATE, _rate(x), _rate(y))
    n, span = round(length * rate), round(max_lag * rate)
    size = next_fast_len(n + span + 1, real=True)
    band = np.fft.rfftfreq(size, 1 / rate) >= LOWEST
    # Tapered ends: the phase transform would turn the cut edges into a peak at lag 0.
    taper = np.minimum(1, 10 * np.minimum(np.arange(n) + 0.5, n - np.arange(n) - 0.5) / n).astype(np.float32)
    found = []
    for start in _starts(y, length, count):
        # On a sample of y: `samples` takes the nearest one, so any other start would bias the lag by up to half a step.
        start = y.clock.start + round((start - y.clock.start) * rate) / rate
        times = start + np.arange(n) / rate
        lag = guess(times[[0, -1]])
        one = _stretched(x, times, lag, rate)
        if one is None:
            continue
        cross = rfft(one * taper, size) * np.conj(rfft(samples(y, start, n, rate) * taper, size))
        strength = np.abs(cross)
        # Bins without energy in either sound have an arbitrary phase and must not be raised to full weight.
        cross *= band / np.maximum(strength, 1e-6 * float(strength.mean()) + 1e-30)
        # Negative lags stand at the end of the circular correlation.
        score = irfft(cross, size)
        peak = _clear_peak(np.concatenate([score[-span:], score[: span + 1]]))
        if peak is not None:
            found.append((times[n // 2], float(lag.mean()) + (peak[0] - span) / rate, peak[1] ** 2))
    table = np.array(found).reshape(-1, 3)
    return Lags(table[:, 0], table[:, 1], table[:, 2])


def _starts(y: Stream, length: float, count: int) -> Iterator[float]:
    """Starts of windows at least 0.1 s apart."""
    # No overlap: compressed sound is cheap to read forward and expensive to seek back in.
    first, last = y.clock.start, y.clock.stop - length
    if last >= first:
        n = int(np.clip((last - first) / (length + 0.1) + 1, 1, count))
        yield from np.linspace(first, last, n).tolist()


def _stretched(x: Stream, times: Array, lag: Array, rate: float) -> Sound | None:
    """x at ``times`` plus the lag, which is linear between its two values; None where the window is mostly outside of x
    or the lag jumps."""
    begin, stop = float(times[0] + lag[0]), float(times[-1] + lag[-1])
    length = float(times[-1] - times[0])
    if abs(stop - begin - length) > 0.05 * length:
        return None
    if begin < x.clock.start - 0.2 * length or stop > x.clock.stop + 0.2 * length:
        return None
    first = x.clock.start + np.floor((begin - x.clock.start) * rate) / rate
    place = np.linspace((begin - first) * rate, (stop - first) * rate, len(times))
    values = samples(x, first, int(place[-1]) + 2, rate)
    left = place.astype(np.int64)
    share = (place - left).astype(np.float32)
    return np.asarray(values[left] * (1 - share) + values[left + 1] * share, np.float32)


def _clear_peak(score: NDArray[np.floating]) -> tuple[float, float] | None:
    """Place of the maximum and its height in standard deviations; None if the peak is not clear."""
    i = int(np.argmax(score))
    if i in (0, len(score) - 1):
        return None
    away = np.abs(np.arange(len(score)) - i) > 3
    height = float((score[i] - score[away].mean()) / max(float(score[away].std()), 1e-12))
    left, top, right = (float(v) for v in score[i - 1 : i + 2])
    bend = 2 * top - left - right
    if height < CLEAR or bend <= 0:
        return None
    return i + 0.5 * (right - left) / bend, height
