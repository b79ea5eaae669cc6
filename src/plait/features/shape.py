"""Shape of a sound's spectrum: centre, width, noisiness and contrast, a few numbers per window."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.features.sound import OfWindows, Spectrum, Wave
from plait.streams.clock import Clock
from plait.streams.stream import Stream

__all__ = ["SpectralShape", "contrast_bands"]

PLAIN = ("centroid", "bandwidth", "rolloff", "flatness", "zero_crossings")
LEAST = np.float32(1e-10)
"""Least power, as librosa's ``amin``."""

LOWEST = 200.0
"""Upper edge, Hz, of the lowest band of the contrast; each band above is an octave."""

QUANTILE = 0.02
"""Share of a band's bins that form its peak and its valley (at least one bin)."""


def contrast_bands(hz: NDArray[np.float64], octaves: int) -> list[tuple[slice, int]]:
    """Bins of each band of the spectral contrast, and the number of bins of its peak, as in librosa.

    All bands but the last leave their uppermost bin to the next band; all but the first begin one bin early.

    Raises:
        ConfigError: a band begins above the highest frequency, or has no bin.

    >>> contrast_bands(np.arange(257) * 31.25, 2)
    [(slice(0, 6, None), 1), (slice(6, 12, None), 1), (slice(12, 257, None), 5)]
    """
    edges = [0.0, *(LOWEST * 2.0**k for k in range(octaves + 1))]
    found = []
    for k, (low, high) in enumerate(pairwise(edges)):
        inside = np.flatnonzero((hz >= low) & (hz <= high))
        if low >= hz[-1] or not len(inside):
            raise ConfigError(
                f"spectral_shape.contrast: {octaves} octaves above {LOWEST:g} Hz, but the band of {low:g} to {high:g} "
                f"Hz has no bin. Ask for fewer, a higher rate or a longer window."
            )
        last = k == octaves
        first = int(inside[0]) - (k > 0)
        stop = len(hz) if last else int(inside[-1]) + 1
        found.append((slice(first, stop if last else stop - 1), max(int(np.rint(QUANTILE * (stop - first))), 1)))
    return found


class SpectralShape(OfWindows):
    """Centroid, bandwidth, rolloff (Hz), flatness, zero-crossing rate and contrast (dB), [n, 6 + contrast].

    Each equals librosa's function of the same name with ``center=False`` (``spectral_contrast`` without its
    ``top_db``, which would make every window depend on the loudest one): the mean frequency weighted by magnitude;
    the standard deviation about it; the frequency below which 85 % of the magnitude lies; the ratio of the geometric
    to the arithmetic mean of the power (1: noise); the share of samples at which the sign changes; peak over valley in
    the band up to 200 Hz and in octaves above (Jiang et al., "Music type classification by spectral contrast
    feature", ICME 2002). Silence has 0, 0, 0, 1, 0 and contrast 0. Times and gaps are those of `LogMel`.

    Args:
        contrast: number of octaves above 200 Hz with a contrast; 0: no contrast at all.
        rate: Hz at which the sound is analysed; window, hop: seconds.

    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32)
    >>> values, _ = SpectralShape()(Stream.of(tone, rate=16000, kind="waveform"))
    >>> values.shape, round(float(values[0, 0]), -1)
    ((98, 11), 1000.0)
    """

    def __init__(self, *, contrast: int = 5, rate: int = 16000, window: float = 0.025, hop: float = 0.01) -> None:
        self._front = Spectrum(rate, window, hop)
        super().__init__(self._front)
        hz = self._front.frequencies
        self._bands = contrast_bands(hz, contrast) if contrast else []
        self._hz = hz.astype(np.float32)

    def dim(self, shape: tuple[int, ...]) -> int:
        return len(PLAIN) + len(self._bands)

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        return self._over(stream, self.dim(()), self._shape)

    def _shape(self, windows: Wave) -> Wave:
        power = self._front.power(windows)
        size, hz = np.sqrt(power), self._hz
        share = size / np.maximum(size.sum(1, keepdims=True), np.finfo(np.float32).tiny)
        centroid = share @ hz
        bandwidth = np.sqrt(np.einsum("wf,wf->w", share, (hz - centroid[:, None]) ** 2))
        total = np.cumsum(size, 1, dtype=np.float32)
        rolloff = hz[np.argmax(total >= np.float32(0.85) * total[:, -1:], 1)]
        loud = np.maximum(power, LEAST)
        flatness = np.exp(np.log(loud).mean(1)) / loud.mean(1)
        # librosa's threshold: smaller values count as 0, and 0 as positive.
        below = windows < -1e-10
        crossings = (below[:, 1:] != below[:, :-1]).mean(1) * ((windows.shape[1] - 1) / windows.shape[1])
        plain = np.stack([centroid, bandwidth, rolloff, flatness, crossings.astype(np.float32)], 1)
        return np.concatenate([plain, self._contrast(size)], 1)

    def _contrast(self, size: Wave) -> Wave:
        columns = [np.zeros((len(size), 0), np.float32)]
        for band, count in self._bands:
            ordered = np.sort(size[:, band], axis=1)
            peak, valley = ordered[:, -count:].mean(1), ordered[:, :count].mean(1)
            ratio = np.log10(np.maximum(peak, LEAST)) - np.log10(np.maximum(valley, LEAST))
            # 10 although these are magnitudes, as librosa does.
            columns.append(np.float32(10) * ratio[:, None])
        return np.concatenate(columns, 1)
