"""Sound in windows: one channel at one rate, in constant memory, with gaps marked; shared by all features of sound."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.features import Feature
from plait.features.checks import above_zero, place_of, refuse_infinite
from plait.streams.clock import Grid
from plait.streams.stream import Stream

__all__ = ["OfWindows", "Spectrum", "Wave", "Windows"]

Wave = NDArray[np.float32]

BLOCK = 1 << 18
"""Samples read at a time."""

TOGETHER = 64
"""Windows per batch. The number is fixed so that results do not depend on `BLOCK`: matrix products round differently
by the number of rows. This many spectra fit into the processor's cache."""

USUAL_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 192000)
SLOWEST = 4000
RINGING = 100
"""Half-width of soxr's filter, in samples of the slower rate, down to 1e-6 of its peak (measured: 92)."""


def _nominal(rate: Fraction) -> Fraction:
    """The nominal rate of a device that is up to 1000 ppm off, so that a corrected clock changes no number."""
    for usual in USUAL_RATES:
        if abs(rate / usual - 1) < Fraction(1, 1000):
            return Fraction(usual)
    return rate


@dataclass(frozen=True)
class Windows:
    """Windows of ``window`` seconds every ``hop`` seconds of sound at ``rate`` Hz, wholly within the sound.

    Both are rounded to whole samples: `size` and `step`.

    Raises:
        ConfigError: a number that is not above 0, or windows that leave sound out.
    """

    rate: int
    window: float
    hop: float

    def __post_init__(self) -> None:
        above_zero("sound", rate=self.rate, window=self.window, hop=self.hop)
        if self.hop > self.window:
            raise ConfigError(f"hop: {self.hop} s is longer than window {self.window} s; sound would be skipped.")
        if round(self.hop * self.rate) < 1:
            raise ConfigError(f"hop: {self.hop} s is less than one sample at rate {self.rate}.")

    @property
    def size(self) -> int:
        return round(self.window * self.rate)

    @property
    def step(self) -> int:
        return round(self.hop * self.rate)

    @property
    def a_second(self) -> Fraction:
        """Windows per second."""
        return Fraction(self.rate, self.step)

    @property
    def receptive_field(self) -> float:
        return self.size / self.rate / 2 + RINGING / min(self.rate, SLOWEST)

    def over(self, stream: Stream, width: int, work: Callable[[Wave], Wave]) -> tuple[Wave, Grid, int]:
        """``work`` on the windows of a stream: rows [n, width], their clock, and the number of rows in a gap (NaN).

        Args:
            work: from windows [`TOGETHER`, size], a read-only view, to rows [`TOGETHER`, width].

        Raises:
            DataError: the stream is not sound at a regular rate of at least `rate`, or at least `SLOWEST`, Hz.
        """
        gaps: list[tuple[int, int]] = []
        samples = len(stream) * self.rate / self._rates(stream)[0] + 1  # soxr gives that many, or one less
        # Allocated once: rows of hours would be in memory twice while parts are joined.
        values = np.empty((max(math.ceil((samples - self.size) / self.step) + 1, 0), width), np.float32)
        done = 0
        for rows in self._rows(self.sound(stream, gaps), work):
            values[done : done + len(rows)] = rows
            done += len(rows)
        return self.placed(values[:done], stream, gaps)

    def sound(self, stream: Stream, gaps: list[tuple[int, int]]) -> Iterator[Wave]:
        """One channel at `rate`, in blocks; missing samples are silent, and listed in ``gaps``.

        Raises:
            DataError: see `over`.
        """
        return _resampled(stream, self._rates(stream)[0], self.rate, gaps)

    def placed(self, values: Wave, stream: Stream, gaps: list[tuple[int, int]]) -> tuple[Wave, Grid, int]:
        """Rows [n, width] of all windows, NaN where a window touches a gap; their clock; and the number of these."""
        nominal, real = self._rates(stream)
        lost = self._blank(values, gaps, nominal / self.rate)
        own = real * self.rate / nominal
        start = stream.clock.start_exact if isinstance(stream.clock, Grid) else Fraction(0)
        return values, Grid(start + self.size / (2 * own), own / self.step, len(values)), lost

    def _rates(self, stream: Stream) -> tuple[Fraction, Fraction]:
        if not isinstance(stream.clock, Grid):
            raise DataError(f"{place_of(stream)}: sound with irregular times; expected a regular rate. Give rate=.")
        real = stream.clock.rate
        if real < min(self.rate, SLOWEST):
            raise DataError(
                f"{place_of(stream)}: sound at {float(real):g} Hz, to be analysed at {self.rate} Hz. "
                f"Set the feature's rate to {math.floor(real)} or less."
            )
        return _nominal(real), real

    def _rows(self, pieces: Iterator[Wave], work: Callable[[Wave], Wave]) -> Iterator[Wave]:
        rest = np.zeros(0, np.float32)
        for piece in pieces:
            wave = np.concatenate([rest, piece])
            windows = self._cut(wave)
            done = len(windows) // TOGETHER * TOGETHER
            for lo in range(0, done, TOGETHER):
                yield work(windows[lo : lo + TOGETHER])
            rest = wave[done * self.step :]
        count = len(self._cut(rest))
        if count:
            # The last batch is padded to the fixed number of windows, see `TOGETHER`.
            missing = (TOGETHER - 1) * self.step + self.size - len(rest)
            yield work(self._cut(np.pad(rest, (0, max(missing, 0))))[:TOGETHER])[:count]

    def _cut(self, wave: Wave) -> Wave:
        """All windows within a stretch of sound, [windows, size], a view."""
        if len(wave) < self.size:
            return np.zeros((0, self.size), np.float32)
        return np.lib.stride_tricks.sliding_window_view(wave, self.size)[:: self.step]

    def _blank(self, values: Wave, gaps: list[tuple[int, int]], ratio: Fraction) -> int:
        """Write NaN where a window touches samples that were not observed (indices at the stream's rate)."""
        lost = np.zeros(len(values), bool)
        for lo, hi in gaps:
            first = math.floor((lo / ratio - self.size) / self.step) + 1
            lost[max(first, 0) : max(math.ceil(hi / ratio / self.step), 0)] = True
        values[lost] = np.nan
        return int(lost.sum())


class OfWindows(Feature):
    """Common base of features computed window by window.

    Args:
        front: the windows; their rate is the feature's, and their receptive field.
    """

    kinds = ("waveform",)
    together = TOGETHER

    def __init__(self, front: Windows) -> None:
        self._windows, self._lost = front, 0

    @property
    def receptive_field(self) -> float:
        return self._windows.receptive_field

    @property
    def rate(self) -> Fraction | None:
        return self._windows.a_second

    def notes(self) -> dict[str, int]:
        return {"windows in a gap": self._lost} if self._lost else {}

    def _over(self, stream: Stream, width: int, work: Callable[[Wave], Wave]) -> tuple[Wave, Grid]:
        values, clock, self._lost = self._windows.over(stream, width, work)
        return values, clock


@dataclass(frozen=True)
class Spectrum(Windows):
    """Windows and their spectra: a periodic Hann window, zeros appended up to `fft` samples, a power of two."""

    @property
    def fft(self) -> int:
        return 1 << max(self.size - 1, 1).bit_length()

    @property
    def bins(self) -> int:
        return 1 + self.fft // 2

    @property
    def frequencies(self) -> NDArray[np.float64]:
        """Hz of each bin."""
        return np.arange(self.bins, dtype=np.float64) * (self.rate / self.fft)

    @cached_property
    def taper(self) -> NDArray[np.float64]:
        out: NDArray[np.float64] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.size) / self.size)
        return out

    def power(self, windows: Wave) -> Wave:
        """Squared magnitudes, [windows, bins], in single precision."""
        # Transformed in double, as in librosa: in single, loud bands leave a floor of rounding in nearly empty ones.
        padded = np.zeros((len(windows), self.fft))
        np.multiply(windows, self.taper, out=padded[:, : self.size])
        squares = np.fft.rfft(padded).astype(np.complex64).view(np.float32)
        np.square(squares, out=squares)
        out: Wave = squares[:, ::2] + squares[:, 1::2]
        return out


def _mono(block: Stream, first: int) -> tuple[Wave, bool]:
    """One channel, and whether some of it was not observed."""
    values = block.read()
    if values.dtype.kind == "i":
        values = values / np.float32(-float(np.iinfo(values.dtype).min))
    elif values.dtype.kind != "f":
        raise DataError(f"{place_of(block)}: sound of type {values.dtype}; expected float or signed integers.")
    channels = values.reshape(len(values), -1)
    mono = channels[:, 0] if channels.shape[1] == 1 else channels.mean(1, dtype=np.float32)
    wave: Wave = np.ascontiguousarray(mono, np.float32)
    if math.isfinite(float(wave.sum())):  # the usual case in one pass: NaN and infinity survive a sum
        return wave, False
    refuse_infinite(values, block, first)
    return wave, bool(np.isnan(wave).any())


def _resampled(stream: Stream, nominal: Fraction, rate: int, gaps: list[tuple[int, int]]) -> Iterator[Wave]:
    """Mono blocks at ``rate``; gaps are filled with silence and listed as (first, past the last) sample."""
    resampler = None
    if nominal != rate:
        import soxr

        # A stream keeps the filter's state between blocks; resampling each block alone would click at the edges.
        resampler = soxr.ResampleStream(float(nominal), float(rate), 1, dtype="float32", quality="HQ")
    done = 0
    for block in stream.blocks(BLOCK):
        wave, holes = _mono(block, done)
        if holes:
            missing = np.isnan(wave)
            edges = np.flatnonzero(np.diff(missing, prepend=False, append=False))
            gaps += [(done + int(a), done + int(b)) for a, b in edges.reshape(-1, 2)]
            wave = np.where(missing, np.float32(0), wave)
        done += len(wave)
        yield wave if resampler is None else resampler.resample_chunk(wave, last=done == len(stream))
