"""Chroma: power of each of the twelve pitch classes, over all octaves."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from plait.features.checks import above_zero, one_of
from plait.features.sound import OfWindows, Spectrum, Wave
from plait.streams.clock import Clock
from plait.streams.stream import Stream

__all__ = ["Chroma", "chroma_filters"]

CENTRE, SPREAD = 5.0, 2.0
"""Octave above 27.5 Hz with the largest weight, and the standard deviation, in octaves, of the Gaussian about it."""


@lru_cache(maxsize=16)
def chroma_filters(rate: int, fft: int, tones: int = 12, tuning: float = 0.0) -> Wave:
    """Weights from the bins of a spectrum to pitch classes, C first, [1 + fft / 2, tones]; as
    ``librosa.filters.chroma``.

    Each bin contributes to nearby tones by a Gaussian half a tone wide (or a bin, where bins are wider). The weights of
    a bin have norm 1, and octaves far from the fifth count less (Ellis, "Chroma feature analysis and synthesis", 2007).

    Args:
        tones: tones per octave.
        tuning: offset of the A from 440 Hz, as a fraction of a tone.

    >>> chroma_filters(16000, 2048)[round(440 * 2048 / 16000)].argmax() == 9
    np.True_
    """
    hz = np.arange(1, fft) * (rate / fft)
    place = tones * np.log2(hz / (440.0 * 2.0 ** (tuning / tones) / 16.0))
    # Bin 0 has no logarithm; it stands one and a half octaves below bin 1, as in librosa.
    place = np.concatenate([[place[0] - 1.5 * tones], place])
    width = np.concatenate([np.maximum(np.diff(place), 1.0), [1.0]])
    half = np.round(tones / 2)
    away = np.remainder(place[:, None] - np.arange(tones) + half + 10 * tones, tones) - half
    weights = np.exp(-0.5 * (2 * away / width[:, None]) ** 2)
    weights /= np.sqrt((weights**2).sum(1, keepdims=True))
    weights *= np.exp(-0.5 * ((place / tones - CENTRE) / SPREAD) ** 2)[:, None]
    # Places count from A; rolled by three semitones, C comes first.
    out: Wave = np.roll(weights, -3 * (tones // 12), axis=1)[: 1 + fft // 2].astype(np.float32)
    # Cached and shared: a caller that wrote into it would change every later result.
    out.setflags(write=False)
    return out


class Chroma(OfWindows):
    """Power in each pitch class, C first, [n, tones]: harmony and melody without the octave.

    Equals ``librosa.feature.chroma_stft(center=False)`` for a given ``tuning``; by default librosa estimates it from
    the whole recording. Times and gaps are those of `LogMel`; windows are longer, to resolve neighbouring tones.

    Args:
        tones: tones per octave.
        tuning: offset of the A from 440 Hz, as a fraction of a tone.
        scale: ``max``: divide each window by its loudest tone (silence stays 0); ``none``: no scaling.
        rate: Hz at which the sound is analysed; window, hop: seconds.

    >>> a = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000).astype(np.float32)
    >>> values, clock = Chroma()(Stream.of(a, rate=16000, kind="waveform"))
    >>> values.shape, int(values[0].argmax()), clock.rate
    ((44, 12), 9, Fraction(50, 1))
    """

    def __init__(
        self,
        *,
        tones: int = 12,
        tuning: float = 0.0,
        scale: str = "max",
        rate: int = 16000,
        window: float = 0.128,
        hop: float = 0.02,
    ) -> None:
        above_zero("chroma", tones=tones)
        one_of("chroma.scale", scale, ("max", "none"))
        self._front, self._tones = Spectrum(rate, window, hop), tones
        super().__init__(self._front)
        self._filters = chroma_filters(rate, self._front.fft, tones, float(tuning))
        self._to_max = scale == "max"

    def dim(self, shape: tuple[int, ...]) -> int:
        return self._tones

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        return self._over(stream, self._tones, self._power)

    def _power(self, windows: Wave) -> Wave:
        power: Wave = self._front.power(windows) @ self._filters
        if self._to_max:
            top = power.max(1, keepdims=True)
            # librosa's threshold of silence.
            power /= np.where(top < np.finfo(np.float32).tiny, 1, top)
        return power
