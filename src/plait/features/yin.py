"""Periods of sound by YIN and probabilistic YIN: candidates for the fundamental frequency, window by window."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.features.sound import Wave, Windows

__all__ = ["LOWEST_TONE", "Candidates", "Yin", "semitones"]

LOWEST_TONE = 27.5
"""Hz of the A from which semitones are counted, as in eGeMAPS (Eyben et al., 2016)."""

THRESHOLDS = 100
"""Number of thresholds of pYIN between 0 and 1."""

WORTH = 0.5
"""Troughs above this are ignored in pYIN: all thresholds there together have a probability of 4e-5."""

KEPT = 8
"""Most troughs kept per window, the shortest periods first."""

NO_TROUGH = 0.01
"""Probability of the deepest trough at thresholds that no trough is below (librosa's `no_trough_prob`)."""

EAGER = 2.0
"""Rate of the Boltzmann distribution that prefers shorter periods among troughs below one threshold."""

Candidates = tuple[Wave, Wave, Wave]
"""Periods in samples, their probabilities and their normalised correlation, each [windows, KEPT]; NaN: none."""


def semitones(hz: NDArray[np.float32]) -> NDArray[np.float32]:
    """Semitones above `LOWEST_TONE`.

    >>> semitones(np.array([55.0, 440.0])).tolist()
    [12.0, 48.0]
    """
    out: NDArray[np.float32] = 12 * np.log2(hz / hz.dtype.type(LOWEST_TONE))
    return out


@dataclass(frozen=True)
class Yin(Windows):
    """Windows as long as ``window`` and the longest period together, and the periods in them.

    de Cheveigne and Kawahara, "YIN, a fundamental frequency estimator for speech and music", JASA 2002: the squared
    difference between the sound and itself a lag later (eq. 6), by Fourier transforms, divided by its mean up to that
    lag (eq. 8), and a parabola through its trough (step 5; here of eq. 8). Departure: each lag averages over all pairs
    of samples in the window, so that every period is measured about the window's middle.

    Args:
        low, high: range of the fundamental frequency, Hz.

    Raises:
        ConfigError: not 0 < low < high <= rate / 4.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.low < self.high <= self.rate / 4:
            raise ConfigError(f"low, high: got {self.low}, {self.high}; expected 0 < low < high <= rate / 4.")

    @property
    def shortest(self) -> int:
        return max(int(self.rate / self.high), 2)

    @property
    def longest(self) -> int:
        return int(np.ceil(self.rate / self.low)) + 1

    @property
    def size(self) -> int:
        return round(self.window * self.rate) + self.longest

    @cached_property
    def _prior(self) -> NDArray[np.float32]:
        """Probability of each threshold: the beta distribution (2, 18), whose mean is 0.1."""
        x = np.linspace(0, 1, THRESHOLDS + 1)
        return np.diff(1 - (1 - x) ** 18 * (1 + 18 * x)).astype(np.float32)

    def difference(self, windows: Wave) -> tuple[Wave, Wave]:
        """YIN's normalised difference (eq. 8), and the correlation with the sound a lag later, [windows, 1 + lags].

        The correlation is 1 for equal stretches and 0 for unrelated ones. Both are computed without the window's mean.
        """
        from scipy.fft import irfft, next_fast_len, rfft

        own = windows - windows.mean(1, keepdims=True)
        lags = self.longest + 1
        size = next_fast_len(self.size + lags, real=True)
        spectrum = rfft(own, size).view(np.float32)
        np.square(spectrum, out=spectrum)
        inner = irfft(spectrum[:, ::2] + spectrum[:, 1::2], size)[:, :lags]
        power = np.zeros((len(own), self.size + 1))
        # In float64: a float32 cumulative sum loses the quiet part after a loud one.
        np.cumsum(np.square(own, dtype=np.float64), 1, out=power[:, 1:])
        # Energies of the head and the tail that a lag compares, both from one cumulative sum.
        both = power[:, : -lags - 1 : -1] + power[:, -1:] - power[:, :lags]
        pairs = self.size - np.arange(lags)
        # Rounding of the transforms may leave it slightly below 0.
        apart = np.maximum(both - 2 * inner, 0) / pairs
        apart[:, 0] = 0
        mean = np.cumsum(apart, 1)[:, 1:] / np.arange(1, lags)
        silent = mean <= 1e-12
        normal = np.ones((len(own), lags), np.float32)
        normal[:, 1:] = np.where(silent, 1, apart[:, 1:] / np.where(silent, 1, mean))
        alike = 2 * inner / np.maximum(both, 1e-12 * pairs)
        return normal, alike.astype(np.float32)

    def plain(self, windows: Wave, threshold: float) -> tuple[Wave, Wave, Wave]:
        """YIN's period in samples, 1 minus its normalised difference, and its correlation, each [windows].

        The period is the first trough below ``threshold`` or, without one, the global minimum.
        """
        normal, alike = self.difference(windows)
        troughs = self._troughs(normal)
        below = troughs & (normal < threshold)
        best = np.where(below.any(1), np.argmax(below, 1), self._deepest(normal))
        period, height, same = _refined(normal, alike, np.arange(len(best)), best)
        return period, 1 - height, same

    def candidates(self, windows: Wave) -> Candidates:
        """Periods that any threshold would choose, and their probabilities over all thresholds.

        Mauch and Dixon, "pYIN: a fundamental frequency estimator using probabilistic threshold distributions",
        ICASSP 2014, sec. 2.1, with the beta distribution of mean 0.1, and librosa's preference for short periods.
        Departures: troughs above 0.5, and all but the eight shortest periods, are left out. Where the difference never
        falls below its mean, as in silence, all periods have probability 0.
        """
        normal, alike = self.difference(windows)
        troughs = self._troughs(normal) & (normal < WORTH)
        deepest = self._deepest(normal)
        everyone = np.arange(len(normal))
        # Without a trough the deepest place is the candidate, as in YIN.
        troughs[everyone, deepest] |= ~troughs.any(1)
        rank = np.cumsum(troughs, 1)
        row, lag = np.nonzero(troughs & (rank <= KEPT))
        column = rank[row, lag] - 1
        period, height, same = (np.full((len(normal), KEPT), np.nan, np.float32) for _ in range(3))
        period[row, column], height[row, column], same[row, column] = _refined(normal, alike, row, lag)
        return period, self._probabilities(height), same

    def _troughs(self, normal: Wave) -> NDArray[np.bool_]:
        """Local minima of the difference within the range of lags."""
        found = np.zeros(normal.shape, bool)
        found[:, 1:-1] = (normal[:, 1:-1] < normal[:, :-2]) & (normal[:, 1:-1] <= normal[:, 2:])
        found[:, : self.shortest] = False
        return found

    def _deepest(self, normal: Wave) -> NDArray[np.intp]:
        at: NDArray[np.intp] = np.argmin(normal[:, self.shortest : -1], 1) + self.shortest
        return at

    def _probabilities(self, height: Wave) -> Wave:
        """Probabilities of troughs of given heights, in order of their lags, [windows, KEPT]; 0 where there is none."""
        steps = np.linspace(0, 1, THRESHOLDS + 1, dtype=np.float32)[1:]
        steps = steps[: round(WORTH * THRESHOLDS)]
        there = ~np.isnan(height)
        below = height[:, :, None] < steps  # NaN is below nothing
        place = np.cumsum(below, 1) - 1
        count = below.sum(1, keepdims=True)
        share = np.exp(-EAGER * place) * ((1 - np.exp(-EAGER)) / (1 - np.exp(-EAGER * np.maximum(count, 1))))
        chosen = np.where(below, share, 0) @ self._prior[: len(steps)]
        lowest = np.nanmin(np.where(there, height, np.inf), 1, keepdims=True)
        beyond = np.where(lowest[:, 0] >= WORTH, self._prior[len(steps) :].sum(), 0)
        unchosen = np.where(lowest[:, 0] < 1, (steps <= lowest) @ self._prior[: len(steps)] + beyond, 0)
        chosen += np.where(there & (height == lowest), NO_TROUGH * unchosen[:, None], 0)
        out: Wave = chosen.astype(np.float32)
        return out


def _refined(normal: Wave, alike: Wave, row: NDArray[np.intp], lag: NDArray[np.intp]) -> tuple[Wave, Wave, Wave]:
    """Lag, height and correlation at the bottom of the parabola through three neighbouring lags."""
    before, here, after = (normal[row, lag + k] for k in (-1, 0, 1))
    bend, slope = before + after - 2 * here, (after - before) / 2
    usable = np.abs(slope) < np.abs(bend)
    move = np.where(usable, -slope / np.where(usable, bend, 1), 0).astype(np.float32)
    height = np.maximum(here + slope * move / 2, 0)
    left, middle, right = (alike[row, lag + k] for k in (-1, 0, 1))
    same = middle + (right - left) / 2 * move + (left + right - 2 * middle) / 2 * move**2
    return (lag + move).astype(np.float32), height, np.clip(same, -1, 1)
