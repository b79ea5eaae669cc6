"""Helpers of methods that use patterns: tilting a pattern to meet both ends, and finding a period."""

from __future__ import annotations

import numpy as np

from plait.transforms.imputation import Array

__all__ = ["period_of", "tilted"]


def tilted(pattern: Array, before: float, after: float) -> Array:
    """The inner part of a pattern [1 + n + 1] plus the straight line that makes its ends meet the observations.

    If one end is NaN, in the pattern or the observations, the other decides; if both are, the pattern is unchanged.

    >>> tilted(np.array([0.0, 5.0, 0.0]), 1.0, 3.0).tolist()
    [7.0]
    """
    ends = np.array([before - pattern[0], after - pattern[-1]])
    known = np.isfinite(ends)
    if not known.any():
        return pattern[1:-1]
    ends = np.where(known, ends, ends[known][0])
    return pattern[1:-1] + np.linspace(ends[0], ends[1], len(pattern))[1:-1]


def period_of(values: Array, longest: int, *, least: float = 0.3) -> float | None:
    """The period of [n] values, in observations (with fractions, by a parabola), or None if there is none.

    It is the first peak of the autocorrelation, after its first fall below zero, that has at least 0.9 of the highest
    peak and is at least ``least``. NaN is left out: the correlation at each lag is over pairs that were both observed.

    >>> round(period_of(np.sin(np.arange(200) / 3), 60), 1)
    18.9
    """
    seen = np.isfinite(values)
    if seen.sum() < 8:
        return None
    x = np.where(seen, values - values[seen].mean(), 0.0)
    # Twice the length, so that the circular correlation does not wrap.
    size = 1 << (2 * len(x) - 1).bit_length()
    spectrum = [np.fft.rfft(part, size) for part in (x, x**2, seen.astype(np.float64))]
    lags = np.arange(min(longest + 2, len(x)))

    def pairs(a: int, b: int) -> Array:
        product: Array = np.fft.irfft(np.conj(spectrum[a]) * spectrum[b], size)[lags]
        return product

    power = np.sqrt(np.maximum(pairs(1, 2), 0) * np.maximum(pairs(2, 1), 0))
    enough = np.rint(pairs(2, 2)) >= max(8, seen.sum() / 8)
    r = np.where(enough & (power > 1e-12 * power[0]), pairs(0, 0) / np.maximum(power, 1e-300), 0.0)
    below = np.flatnonzero(r < 0)
    inner = np.arange(max(int(below[0]) if len(below) else len(r), 2), len(r) - 1)
    peaks = inner[(r[inner] >= r[inner - 1]) & (r[inner] > r[inner + 1]) & (r[inner] >= least)]
    if not len(peaks):
        return None
    left, top, right = r[peaks - 1], r[peaks], r[peaks + 1]
    beside = 0.5 * (left - right) / (left - 2 * top + right)
    height = top - 0.25 * (left - right) * beside
    first = int(np.flatnonzero(height >= 0.9 * height.max())[0])
    return float(peaks[first] + beside[first])
