"""From sound to mel power in windows, in blocks of constant memory; what the features of sound share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from plait.errors import ConfigError, DataError
from plait.features.checks import above_zero, place_of, refuse_infinite
from plait.streams.clock import Grid
from plait.streams.stream import Stream

__all__ = ["MelFront", "cosine_basis", "mel_filters"]

Wave = NDArray[np.float32]

BLOCK = 1 << 18
"""Samples read at a time."""

USUAL_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 192000)
SLOWEST = 4000
RINGING = 100
"""Samples of the slower rate outside which soxr's filter is below 1e-6 of its peak (measured: 92)."""


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


def _nominal(rate: Fraction) -> Fraction:
    """The rate meant by a device that is up to 1000 ppm off, so that a corrected clock changes no number."""
    for usual in USUAL_RATES:
        if abs(rate / usual - 1) < Fraction(1, 1000):
            return Fraction(usual)
    return rate


@dataclass(frozen=True)
class MelFront:
    """Mel power in windows; what `LogMel` and `Mfcc` share."""

    rate: int
    window: float
    hop: float
    mels: int
    low: float
    high: float | None
    htk: bool = False

    def __post_init__(self) -> None:
        above_zero("spectrum", rate=self.rate, window=self.window, hop=self.hop, mels=self.mels)
        problems = []
        if self.hop > self.window:
            problems.append(f"hop: {self.hop} s is longer than window {self.window} s; sound would be skipped.")
        if round(self.hop * self.rate) < 1:
            problems.append(f"hop: {self.hop} s is less than one sample at rate {self.rate}.")
        if not 0 <= self.low < self.top <= self.rate / 2:
            problems.append(f"low, high: got {self.low}, {self.top}; expected 0 <= low < high <= rate / 2.")
        if problems:
            raise ConfigError(problems)
        mel_filters(self.rate, self.fft, self.mels, self.low, self.top, self.htk)

    @property
    def top(self) -> float:
        return self.rate / 2 if self.high is None else self.high

    @property
    def size(self) -> int:
        return round(self.window * self.rate)

    @property
    def step(self) -> int:
        return round(self.hop * self.rate)

    @property
    def fft(self) -> int:
        return 1 << max(self.size - 1, 1).bit_length()

    @property
    def reach(self) -> float:
        return self.size / self.rate / 2 + RINGING / min(self.rate, SLOWEST)

    @property
    def rate_out(self) -> Fraction:
        """Windows a second."""
        return Fraction(self.rate, self.step)

    @cached_property
    def taper(self) -> Wave:
        return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.size) / self.size)).astype(np.float32)

    def power(self, stream: Stream) -> tuple[Wave, Grid, int]:
        """Mel power [n, mels], its clock, and how many windows touch a gap (NaN there)."""
        nominal, real = self._rates(stream)
        gaps: list[tuple[int, int]] = []
        rows = [np.zeros((0, self.mels), np.float32)]
        rows += [self._mel(part) for part in self._windows(_resampled(stream, nominal, self.rate, gaps))]
        values = np.concatenate(rows)
        lost = self._blank(values, gaps, nominal / self.rate)
        own = real * self.rate / nominal
        start = stream.clock.start_exact if isinstance(stream.clock, Grid) else Fraction(0)
        return values, Grid(start + self.size / (2 * own), own / self.step, len(values)), lost

    def _rates(self, stream: Stream) -> tuple[Fraction, Fraction]:
        if not isinstance(stream.clock, Grid):
            raise DataError(f"{place_of(stream)}: sound with listed times; expected a regular rate. Give rate=.")
        real = stream.clock.rate
        if real < min(self.rate, SLOWEST):
            raise DataError(
                f"{place_of(stream)}: sound at {float(real):g} Hz, to be analysed at {self.rate} Hz. "
                f"Set the feature's rate to {math.floor(real)} or less."
            )
        return _nominal(real), real

    def _windows(self, pieces: Iterator[Wave]) -> Iterator[Wave]:
        rest = np.zeros(0, np.float32)
        for piece in pieces:
            wave = np.concatenate([rest, piece])
            n = max(0, 1 + (len(wave) - self.size) // self.step)
            if n:
                yield np.lib.stride_tricks.sliding_window_view(wave, self.size)[:: self.step][:n]
            rest = wave[n * self.step :]

    def _mel(self, windows: Wave) -> Wave:
        spectrum = np.fft.rfft(windows * self.taper, self.fft)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
        filters = mel_filters(self.rate, self.fft, self.mels, self.low, self.top, self.htk)
        mel: Wave = power @ filters
        return mel

    def _blank(self, values: Wave, gaps: list[tuple[int, int]], ratio: Fraction) -> int:
        """Write NaN where a window touches samples that were not observed (indices at the stream's rate)."""
        lost = np.zeros(len(values), bool)
        for lo, hi in gaps:
            first = math.floor((lo / ratio - self.size) / self.step) + 1
            lost[max(first, 0) : max(math.ceil(hi / ratio / self.step), 0)] = True
        values[lost] = np.nan
        return int(lost.sum())


def _mono(block: Stream, first: int) -> Wave:
    values: NDArray[Any] = block.read()
    if values.dtype.kind == "i":
        values = values / np.float32(-float(np.iinfo(values.dtype).min))
    elif values.dtype.kind != "f":
        raise DataError(f"{place_of(block)}: sound of type {values.dtype}; expected float or signed integers.")
    refuse_infinite(values, block, first)
    mono: Wave = values.reshape(len(values), -1).mean(1, dtype=np.float32)
    return mono


def _resampled(stream: Stream, nominal: Fraction, rate: int, gaps: list[tuple[int, int]]) -> Iterator[Wave]:
    """Mono blocks at ``rate``; gaps are filled with silence and listed as (first, past the last) sample."""
    resampler = None
    if nominal != rate:
        resampler = soxr.ResampleStream(float(nominal), float(rate), 1, dtype="float32", quality="HQ")
    done = 0
    for block in stream.blocks(BLOCK):
        wave = _mono(block, done)
        missing = np.isnan(wave)
        if missing.any():
            edges = np.flatnonzero(np.diff(missing, prepend=False, append=False))
            gaps += [(done + int(a), done + int(b)) for a, b in edges.reshape(-1, 2)]
            wave = np.where(missing, np.float32(0), wave)
        done += len(wave)
        yield wave if resampler is None else resampler.resample_chunk(wave, last=done == len(stream))
