"""Sound: log-mel energies and cepstral coefficients, of our own in numpy."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from plait.errors import ConfigError
from plait.features import Feature
from plait.features.checks import above_zero
from plait.features.mel import MelFront, cosine_basis
from plait.streams.clock import Clock
from plait.streams.stream import Stream

__all__ = ["LogMel", "Mfcc"]


class LogMel(Feature):
    """Natural logarithm of mel power, [n, mels]; the default for sound.

    Equals ``log(max(floor, librosa.feature.melspectrogram(center=False)))`` with a periodic Hann window
    and a spectrum of the next power of two (zeros are appended to the window; librosa puts it in the
    middle, which moves no number). Sound is resampled to ``rate`` by soxr (high quality), channels are
    averaged. Each row stands at the middle of its window on the stream's own clock; windows lie wholly
    within the sound, so one shorter than a window gives no rows. A window that touches NaN is NaN.

    Args:
        rate: Hz at which the sound is analysed.
        window: seconds; hop: seconds between windows (both rounded to whole samples).
        mels: number of bands between ``low`` and ``high`` Hz (None: half the rate).
        floor: least power, so that silence has a logarithm.
        htk: HTK's mel scale rather than Slaney's.

    >>> values, clock = LogMel()(Stream.of(np.zeros(16000, np.float32), rate=16000, kind="waveform"))
    >>> values.shape, float(clock.times[0]), clock.rate
    ((98, 40), 0.0125, Fraction(100, 1))
    """

    kinds = ("waveform",)
    default_for: ClassVar[tuple[str, ...]] = ("waveform",)

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
        self._floor, self._lost = np.float32(floor), 0

    @property
    def reach(self) -> float:
        return self._front.reach

    @property
    def rate(self) -> Fraction | None:
        return self._front.rate_out

    def dim(self, shape: tuple[int, ...]) -> int:
        return self._front.mels

    def notes(self) -> dict[str, int]:
        return {"windows in a gap": self._lost} if self._lost else {}

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        power, clock, self._lost = self._front.power(stream)
        return np.log(np.maximum(power, self._floor)), clock


WIDTH = 4
"""Frames to each side that a delta looks at."""


def _deltas(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Slope of the regression line over 2 * WIDTH + 1 frames (HTK Book, eq. 5.16), edges repeated."""
    if not len(values):
        return values
    padded = np.pad(values, ((WIDTH, WIDTH), (0, 0)), mode="edge")
    n = len(values)
    total = np.zeros_like(values)
    for k in range(1, WIDTH + 1):
        total += k * (padded[WIDTH + k : WIDTH + k + n] - padded[WIDTH - k : WIDTH - k + n])
    return total / np.float32(2 * sum(k * k for k in range(1, WIDTH + 1)))


class Mfcc(Feature):
    """Mel-frequency cepstral coefficients, [n, n_coefficients] (twice as many with deltas).

    The orthonormal DCT-II of mel power in decibels (at least 1e-10), as ``librosa.feature.mfcc`` without
    its ``top_db``, which would make every row depend on the loudest one. Deltas equal
    ``librosa.feature.delta`` (9 frames) but at the four first and last rows, where the edge is repeated.
    Options, times and gaps are those of `LogMel`.

    Raises:
        ConfigError: more coefficients than bands.

    >>> Mfcc(n=13, deltas=True).dim((1,))
    26
    """

    kinds = ("waveform",)

    def __init__(
        self,
        *,
        n: int = 13,
        deltas: bool = False,
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
        self._front = MelFront(rate, window, hop, mels, low, high)
        self._basis = (cosine_basis(mels, n).T * (10.0 / math.log(10.0))).astype(np.float32)
        self._twice, self._lost = deltas, 0

    @property
    def reach(self) -> float:
        return self._front.reach + (WIDTH * self._front.step / self._front.rate if self._twice else 0.0)

    @property
    def rate(self) -> Fraction | None:
        return self._front.rate_out

    def dim(self, shape: tuple[int, ...]) -> int:
        return int(self._basis.shape[1]) * (2 if self._twice else 1)

    def notes(self) -> dict[str, int]:
        return {"windows in a gap": self._lost} if self._lost else {}

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        power, clock, self._lost = self._front.power(stream)
        values = np.log(np.maximum(power, np.float32(1e-10))) @ self._basis
        return (np.concatenate([values, _deltas(values)], 1) if self._twice else values), clock
