"""Gains for the spectrum of noisy sound: spectral gates, and estimators that track noise and speech power."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["DriftingGate", "Gain", "OmLsa", "SteadyGate", "Wiener"]

Floats = NDArray[np.float64]

TINY = 1e-12


@dataclass(frozen=True)
class Gain(ABC):
    """Power spectra of successive windows -> the factor of each bin.

    Attributes:
        rate: windows per second.
        bin: distance of bins, Hz.
        floor: the least gain.
    """

    rate: float
    bin: float
    floor: float

    before, after = 2.0, 0.0
    """Seconds of sound to each side that a window's gain depends on (the rest has less than 1 % of the weight)."""

    @abstractmethod
    def __call__(self, power: Floats) -> Floats:
        """Gains [windows, bins] of powers [windows, bins]."""


@dataclass(frozen=True)
class _Gate(Gain):
    """A mask, smoothed over 500 Hz and 50 ms by triangular windows, which are cut and renormalised at the borders."""

    def smooth(self, mask: Floats) -> Floats:
        for axis, count in ((0, int(0.05 * self.rate)), (1, int(500 / self.bin / 2))):
            taps = np.concatenate([np.arange(1, count + 1), np.arange(count + 1, 0, -1)]) / (count + 1) ** 2
            mask = _convolved(mask, taps, axis) / _convolved(np.ones(mask.shape), taps, axis)
        out: Floats = self.floor + (1 - self.floor) * mask
        return out


@dataclass(frozen=True)
class SteadyGate(_Gate):
    """Open where a bin is louder than its threshold [bins], dB."""

    threshold: Floats

    before = after = 0.05

    def __call__(self, power: Floats) -> Floats:
        return self.smooth((10 * np.log10(power + TINY) > self.threshold).astype(np.float64))


@dataclass(frozen=True)
class DriftingGate(_Gate):
    """Open where a bin is about three times (sigmoid) as loud as its average over some seconds to both sides."""

    seconds: float = 2.0

    before = after = 10.0

    def __call__(self, power: Floats) -> Floats:
        from scipy.signal import lfilter

        level = np.sqrt(power) + TINY
        count = self.seconds * self.rate
        b = (np.sqrt(1 + 4 * count**2) - 1) / (2 * count**2)
        silence = np.zeros((int(self.after * self.rate), level.shape[1]))  # before the sound and after it
        once = lfilter([b], [1, b - 1], np.concatenate([level, silence]), axis=0)
        usual = lfilter([b], [1, b - 1], once[::-1], axis=0)[::-1][: len(level)]
        over = (level - usual) / np.maximum(usual, TINY)
        return self.smooth(1 / (1 + np.exp(np.clip(-10 * (over - 2), -50, 50))))


@dataclass(frozen=True)
class _Tracked(Gain):
    """Gains from signal-to-noise ratios, window by window.

    Noise power: Gerkmann & Hendriks 2012, "Unbiased MMSE-based noise power estimation with low complexity and low
    tracking delay" (IEEE TASLP 20(4)), started from a quantile of the first 1.5 s. A priori ratio: decision-directed,
    Ephraim & Malah 1984 (IEEE Trans. ASSP 32(6), eq. 51), smoothing 0.95, at least -25 dB.
    """

    @abstractmethod
    def gain(self, prior: Floats, post: Floats) -> Floats:
        """Gain of a bin that holds speech, from its a priori and a posteriori signal-to-noise ratios."""

    def final(self, gain: Floats, prior: Floats, post: Floats, state: Floats) -> Floats:
        """The factor of the spectrum; ``state`` [bins] is kept from window to window."""
        return gain

    def __call__(self, power: Floats) -> Floats:
        out, state = np.empty(power.shape), np.zeros(power.shape[1])
        clean = np.zeros(power.shape[1])
        for i, (row, noise) in enumerate(zip(power, self.noise(power))):
            post = np.minimum(row / noise, 1e4)
            prior = np.maximum(0.95 * clean / noise + 0.05 * np.maximum(post - 1, 0), 10**-2.5)
            gain = self.gain(prior, post)
            clean = gain**2 * row
            out[i] = np.maximum(self.final(gain, prior, post, state), self.floor)
        return out

    def noise(self, power: Floats) -> Floats:
        """Power of the noise, [windows, bins]."""
        power = power + TINY
        out, likely = np.empty(power.shape), np.full(power.shape[1], 0.5)
        # A low quantile, as speech may start at once; noise power is exponential, whose 0.2-quantile is -log(0.8)
        # means.
        now = np.quantile(power[: max(int(1.5 * self.rate), 1)], 0.2, axis=0) / -np.log(0.8)
        # Speech is assumed to be 15 dB above noise, as in the paper.
        ratio = 10**1.5
        for i, row in enumerate(power):
            speech = 1 / (1 + (1 + ratio) * np.exp(-np.minimum(row / now * ratio / (1 + ratio), 200.0)))
            likely = 0.9 * likely + 0.1 * speech
            # The paper's safeguard: else noise that rises for good would count as speech for ever.
            speech = np.where(likely > 0.99, np.minimum(speech, 0.99), speech)
            now = 0.8 * now + 0.2 * (speech * now + (1 - speech) * row)
            out[i] = now
        return out


@dataclass(frozen=True)
class Wiener(_Tracked):
    """Prior / (1 + prior): Scalart & Filho 1996 (ICASSP)."""

    def gain(self, prior: Floats, post: Floats) -> Floats:
        return prior / (1 + prior)


@dataclass(frozen=True)
class OmLsa(_Tracked):
    """Optimally modified log-spectral amplitude: Cohen & Berdugo 2001, "Speech enhancement for non-stationary noise
    environments" (Signal Processing 81), based on Ephraim & Malah 1985 (log-MMSE). Speech is less likely in a bin if
    the bin and its neighbours (3 and 31 bins of 31 Hz) have been weak. The paper's third, whole-frame, factor is left
    out."""

    def gain(self, prior: Floats, post: Floats) -> Floats:
        from scipy.special import exp1

        share = prior / (1 + prior)
        # exp1 is infinite at 0.
        return np.minimum(share * np.exp(0.5 * exp1(np.maximum(share * post, 1e-8))), 1.0)

    def final(self, gain: Floats, prior: Floats, post: Floats, state: Floats) -> Floats:
        state[:] = 0.7 * state + 0.3 * prior
        # At most 0.95, as in the paper: no bin is ever certainly without speech.
        absent = np.minimum(1 - _presence(state, 1) * _presence(state, 15), 0.95)
        odds = absent / (1 - absent) * (1 + prior) * np.exp(-np.minimum(prior / (1 + prior) * post, 200.0))
        speech = 1 / (1 + odds)
        out: Floats = gain**speech * max(self.floor, 1e-6) ** (1 - speech)
        return out


def _presence(state: Floats, half_width: int) -> Floats:
    """Presence of speech: 0 to 1 as the mean a priori ratio of a bin and its neighbours goes from -10 to -5 dB."""
    taps = np.hanning(2 * half_width + 3)[1:-1]
    mean = np.convolve(np.pad(state, half_width, "edge"), taps / taps.sum(), "valid")
    out: Floats = np.clip((10 * np.log10(mean + TINY) + 10) / 5, 0, 1)
    return out


def _convolved(values: Floats, taps: Floats, axis: int) -> Floats:
    from scipy.ndimage import convolve1d

    out: Floats = convolve1d(values, taps, axis=axis, mode="constant")
    return out
