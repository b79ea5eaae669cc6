"""Sound: log-mel energies and cepstral coefficients, in numpy."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.features.checks import above_zero
from plait.features.mel import MelFront, cosine_basis
from plait.features.sound import OfWindows, Wave
from plait.streams.clock import Clock
from plait.streams.stream import Stream

__all__ = ["LogMel", "Mfcc"]


class LogMel(OfWindows):
    """Natural logarithm of mel power, [n, mels]; the default for sound.

    Equals ``log(max(floor, librosa.feature.melspectrogram(center=False)))`` with a periodic Hann window
    and a spectrum of the next power of two (zeros are appended to the window; librosa centres it, which
    changes no number). Sound is resampled to ``rate`` by soxr (high quality), channels are averaged. The
    time of a row is the middle of its window on the stream's own clock. Windows lie wholly within the
    sound, so a sound shorter than a window gives no rows. A window that touches NaN is NaN.

    Args:
        rate: Hz at which the sound is analysed.
        window: seconds; hop: seconds between windows (both rounded to whole samples).
        mels: number of bands between ``low`` and ``high`` Hz (None: half the rate).
        floor: least power, so that silence has a logarithm.
        htk: HTK's mel scale instead of Slaney's.

    >>> values, clock = LogMel()(Stream.of(np.zeros(16000, np.float32), rate=16000, kind="waveform"))
    >>> values.shape, float(clock.times[0]), clock.rate
    ((98, 40), 0.0125, Fraction(100, 1))
    """

    default_for: ClassVar[tuple[str, ...]] = ("waveform",)
    version = 2

    def __init__(
        self,
        *,
        rate: int = 16000,
        window: float = 0.025,
        hop: float = 0.01,
        mels: int = 40,
        low: float = 0.0,
        high: float | None = None,
        floor: float = 1e-7,
        htk: bool = False,
    ) -> None:
        above_zero("log_mel", floor=floor)
        self._front = MelFront(rate, window, hop, mels, low, high, htk)
        super().__init__(self._front)
        self._floor = np.float32(floor)

    def dim(self, shape: tuple[int, ...]) -> int:
        return self._front.mels

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        return self._over(stream, self._front.mels, self._log)

    def _log(self, windows: Wave) -> Wave:
        return np.log(np.maximum(self._front.mel(windows), self._floor))


WIDTH = 4
"""Frames to each side in a delta."""


def _deltas(values: NDArray[np.float32], order: int) -> NDArray[np.float32]:
    """First or second derivative, per frame, of the parabola fitted to 2 * WIDTH + 1 frames; edges repeated.

    Savitzky and Golay, "Smoothing and differentiation of data by simplified least squares procedures", Analytical
    Chemistry 1964; of first order also the HTK Book's regression (eq. 5.16).
    """
    if not len(values):
        return values
    x = np.arange(-WIDTH, WIDTH + 1, dtype=np.float64)
    # The orthogonal polynomial of this degree: its coefficient times the order is the derivative.
    lever = x if order == 1 else x**2 - (x**2).mean()
    taps = order * lever / (lever**2).sum()
    padded = np.pad(values, ((WIDTH, WIDTH), (0, 0)), mode="edge")
    total = np.zeros_like(values)
    for k, tap in enumerate(taps):
        total += np.float32(tap) * padded[k : k + len(values)]
    return total


class Mfcc(OfWindows):
    """Mel-frequency cepstral coefficients, [n, n_coefficients * (1 + deltas)].

    The orthonormal DCT-II of mel power in decibels (at least 1e-10), as ``librosa.feature.mfcc`` without
    its ``top_db``, which would make every row depend on the loudest one. Options, times and gaps are those of
    `LogMel`.

    Args:
        n: coefficients.
        deltas: 1: append their slopes over 9 windows, per window; 2: also their curvatures; as
            ``librosa.feature.delta(order=1 or 2, mode="nearest")``. At the ends of the sound the edge is repeated.

    Raises:
        ConfigError: more coefficients than bands, or deltas that are not 0, 1 or 2.

    >>> Mfcc(n=13, deltas=2).dim((1,))
    39
    """

    version = 2

    def __init__(
        self,
        *,
        n: int = 13,
        deltas: int | bool = 0,
        rate: int = 16000,
        window: float = 0.025,
        hop: float = 0.01,
        mels: int = 40,
        low: float = 0.0,
        high: float | None = None,
    ) -> None:
        above_zero("mfcc", n=n)
        if n > mels:
            raise ConfigError(f"mfcc.n: {n} coefficients of {mels} mels; expected at most as many.")
        if deltas not in (0, 1, 2):
            raise ConfigError(f"mfcc.deltas: got {deltas!r}; expected 0, 1 (slopes) or 2 (and curvatures).")
        self._front = MelFront(rate, window, hop, mels, low, high)
        super().__init__(self._front)
        # Natural logarithms become decibels in the same product.
        self._basis = cosine_basis(mels, n).T * (10.0 / math.log(10.0))
        self._deltas = int(deltas)

    @property
    def receptive_field(self) -> float:
        return super().receptive_field + (WIDTH * self._front.step / self._front.rate if self._deltas else 0.0)

    def dim(self, shape: tuple[int, ...]) -> int:
        return int(self._basis.shape[1]) * (1 + self._deltas)

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        values, clock = self._over(stream, self._basis.shape[1], self._coefficients)
        if self._deltas:
            values = np.concatenate([values, *(_deltas(values, k + 1) for k in range(self._deltas))], 1)
        return values, clock

    def _coefficients(self, windows: Wave) -> Wave:
        level = np.log(np.maximum(self._front.mel(windows), np.float32(1e-10)))
        return (level @ self._basis).astype(np.float32)
