"""How loud a sound is: its level, weighted as ears are or not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from plait.features.checks import one_of
from plait.features.sound import OfWindows, Spectrum, Wave
from plait.streams.clock import Clock
from plait.streams.stream import Stream

__all__ = ["Energy", "a_weights", "k_weights"]

SHELF = ((1.53512485958697, -2.69169618940638, 1.19839281085285), (1.0, -1.69065929318241, 0.73248077421585))
HIGH_PASS = ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621))
"""Numerators and denominators of the two filters of ITU-R BS.1770-4, tables 1 and 2, at 48 kHz."""

K_OFFSET = -0.691
"""Decibels, so that 997 Hz counts as much as it is; ITU-R BS.1770-4, eq. 2."""


def a_weights(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gain of power at each frequency by the A curve of IEC 61672-1 (annex E, eq. E.6), 1 at 1 kHz.

    >>> np.round(10 * np.log10(a_weights(np.array([100.0, 1000.0, 4000.0]))), 1).tolist()
    [-19.1, 0.0, 1.0]
    """
    f2 = hz**2
    poles = (f2 + 20.598997**2) ** 2 * (f2 + 107.65265**2) * (f2 + 737.86223**2) * (f2 + 12194.217**2) ** 2
    out: NDArray[np.float64] = (12194.217**2 * f2**2) ** 2 / poles * 10 ** (2.0 / 10)
    return out


def k_weights(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gain of power at each frequency by the K curve of ITU-R BS.1770-4: a shelf above 1.5 kHz, a cut below 60 Hz.

    >>> np.round(10 * np.log10(k_weights(np.array([20.0, 997.0, 8000.0]))), 1).tolist()
    [-13.3, 0.7, 4.0]
    """
    z = np.exp(-2j * np.pi * np.minimum(hz, 24000.0) / 48000.0)
    gain = np.ones(len(hz), np.complex128)
    for above, below in (SHELF, HIGH_PASS):
        gain *= (above[0] + above[1] * z + above[2] * z**2) / (below[0] + below[1] * z + below[2] * z**2)
    out: NDArray[np.float64] = np.abs(gain) ** 2
    return out


class Energy(OfWindows):
    """Level of the sound in each window, [n, 1].

    ``none``: the root mean square of the samples, as ``librosa.feature.rms(center=False)``. ``a``: the power spectrum
    under a Hann window, weighted by IEC 61672's A curve. ``k``: the same with the curve of ITU-R BS.1770-4, which with
    a window of 0.4 s and a hop of 0.1 s gives its momentary loudness in LUFS. Departure: the weights apply to the
    spectrum, not to the samples, so that a window depends on nothing outside it. Times and gaps are those of `LogMel`.

    Args:
        weighting: ``none``, ``a`` or ``k``.
        unit: ``db``: decibels re full scale (``k``: LUFS, for one channel); ``rms``: the root mean square itself.
        floor: least level in decibels, so that silence has one.
        rate: Hz at which the sound is analysed; window, hop: seconds.

    >>> tone = np.sin(2 * np.pi * 997 * np.arange(48000) / 48000).astype(np.float32)
    >>> lufs, _ = Energy(weighting="k", window=0.4, hop=0.1, rate=48000)(Stream.of(tone, rate=48000, kind="waveform"))
    >>> round(float(lufs[0, 0]), 1)
    -3.0
    """

    def __init__(
        self,
        *,
        weighting: str = "none",
        unit: str = "db",
        floor: float = -100.0,
        rate: int = 16000,
        window: float = 0.025,
        hop: float = 0.01,
    ) -> None:
        one_of("energy.weighting", weighting, ("none", "a", "k"))
        one_of("energy.unit", unit, ("db", "rms"))
        self._front, self._in_db = Spectrum(rate, window, hop), unit == "db"
        super().__init__(self._front)
        self._offset = K_OFFSET if weighting == "k" and self._in_db else 0.0
        self._floor, self._weights = float(floor), None
        if weighting != "none":
            self._weights = self._of_bins(a_weights if weighting == "a" else k_weights)

    def _of_bins(self, curve: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> Wave:
        front = self._front
        twice = np.full(front.bins, 2.0)
        twice[[0, -1]] = 1.0  # the other bins stand for two frequencies
        gain = curve(front.frequencies)
        weights: Wave = (gain * twice / (front.fft * (front.taper**2).sum())).astype(np.float32)
        return weights

    def dim(self, shape: tuple[int, ...]) -> int:
        return 1

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        power, clock = self._over(stream, 1, self._power)
        if not self._in_db:
            return np.sqrt(power), clock
        level = np.log10(np.maximum(power, np.finfo(np.float32).tiny)) * np.float32(10)
        return np.maximum(level + np.float32(self._offset), np.float32(self._floor)), clock

    def _power(self, windows: Wave) -> Wave:
        if self._weights is not None:
            return (self._front.power(windows) @ self._weights)[:, None]
        out: Wave = np.einsum("ws,ws->w", windows, windows)[:, None] / np.float32(self._front.size)
        return out
