"""The mel scale: power of sound in perceptual frequency bands; shared by `LogMel` and `Mfcc`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.features.checks import above_zero
from plait.features.sound import Spectrum, Wave

__all__ = ["MelFront", "cosine_basis", "mel_filters"]


def _to_mel(hz: NDArray[np.float64], htk: bool) -> NDArray[np.float64]:
    if htk:
        return 2595.0 * np.log10(1.0 + hz / 700.0)
    log_part = 15.0 + np.log(np.maximum(hz, 1000.0) / 1000.0) * (27.0 / math.log(6.4))
    out: NDArray[np.float64] = np.where(hz < 1000.0, hz * 3.0 / 200.0, log_part)
    return out


def _to_hz(mel: NDArray[np.float64], htk: bool) -> NDArray[np.float64]:
    if htk:
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    log_part = 1000.0 * np.exp((np.maximum(mel, 15.0) - 15.0) * (math.log(6.4) / 27.0))
    out: NDArray[np.float64] = np.where(mel < 15.0, mel * 200.0 / 3.0, log_part)
    return out


@lru_cache(maxsize=16)
def mel_filters(rate: int, fft: int, mels: int, low: float, high: float, htk: bool) -> Wave:
    """Triangular filters of equal area on the mel scale, [1 + fft / 2, mels].

    Slaney's scale (linear to 1 kHz, then logarithmic; Auditory Toolbox, 1998) or HTK's (Young et al.,
    The HTK Book, 2006, eq. 5.13), each filter divided by its width, as ``librosa.filters.mel``.

    Raises:
        ConfigError: a filter so narrow that no bin of the spectrum falls in it.

    >>> mel_filters(16000, 512, 40, 0.0, 8000.0, False).shape
    (257, 40)
    """
    ends = _to_mel(np.array([low, high]), htk)
    edges = _to_hz(np.linspace(ends[0], ends[1], mels + 2), htk)
    bins = np.arange(1 + fft // 2) * (rate / fft)
    ramps = bins[:, None] - edges
    width = np.diff(edges)
    rising, falling = ramps[:, :-2] / width[:-1], -ramps[:, 2:] / width[1:]
    filters = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (edges[2:] - edges[:-2]))
    empty = np.flatnonzero(filters.max(0) == 0)
    if len(empty):
        raise ConfigError(
            f"mels: {len(empty)} of {mels} bands are narrower than the spectrum's {rate / fft:.0f} Hz "
            "and would always be empty. Ask for fewer mels or a longer window."
        )
    out: Wave = filters.astype(np.float32)
    # Cached and shared: a caller that wrote into it would change every later result.
    out.setflags(write=False)
    return out


def cosine_basis(size: int, count: int) -> NDArray[np.float64]:
    """The first rows of the orthonormal discrete cosine transform (DCT-II), [count, size].

    >>> bool(np.allclose(cosine_basis(4, 4) @ cosine_basis(4, 4).T, np.eye(4)))
    True
    """
    angle = np.pi / size * np.arange(count)[:, None] * (np.arange(size) + 0.5)
    basis: NDArray[np.float64] = np.cos(angle) * math.sqrt(2.0 / size)
    basis[:1] /= math.sqrt(2.0)
    return basis


@dataclass(frozen=True)
class MelFront(Spectrum):
    """Mel power in windows; shared by `LogMel` and `Mfcc`.

    Raises:
        ConfigError: as `plait.features.sound.Windows`; or bands outside 0..rate / 2, or empty bands.
    """

    mels: int
    low: float
    high: float | None
    htk: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        above_zero("sound", mels=self.mels)
        if not 0 <= self.low < self.top <= self.rate / 2:
            raise ConfigError(f"low, high: got {self.low}, {self.top}; expected 0 <= low < high <= rate / 2.")
        mel_filters(self.rate, self.fft, self.mels, self.low, self.top, self.htk)

    @property
    def top(self) -> float:
        return self.rate / 2 if self.high is None else self.high

    def mel(self, windows: Wave) -> Wave:
        """Mel power of windows, [windows, mels]."""
        filters = mel_filters(self.rate, self.fft, self.mels, self.low, self.top, self.htk)
        out: Wave = self.power(windows) @ filters
        return out
