"""The step that reduces steady background noise in sound."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.streams.clock import Grid
from plait.streams.stream import Stream, Values
from plait.transforms import Step
from plait.transforms._gains import TINY, DriftingGate, Gain, OmLsa, SteadyGate, Wiener

__all__ = ["Denoise"]

METHODS = ("om_lsa", "wiener", "gate", "drifting_gate")

CHUNK = 10.0
"""Seconds per chunk; each chunk is computed from itself and the context that the method needs."""

Floats = NDArray[np.float64]


class Denoise(Step):
    """Reduce the background noise of sound, each channel separately; gaps (NaN) stay gaps.

    - ``om_lsa``: log-spectral amplitude estimator with tracked noise, the best of these: Cohen & Berdugo 2001, Ephraim
      & Malah 1985, noise after Gerkmann & Hendriks 2012.
    - ``wiener``: decision-directed Wiener filter with the same noise.
    - ``gate``: spectral gating with thresholds from the whole sound, or from ``noise``: Sainburg, Thielk & Gentner
      2020 (PLoS Comput. Biol. 16(10)), as ``noisereduce(stationary=True)``. It uses the whole stream: not causal.
    - ``drifting_gate``: the same with a threshold that follows the sound, as ``noisereduce(stationary=False)``.

    The gates depart from the package in one point: at the lowest and highest frequencies their smoothing window is cut
    off, not filled with zeros. Sound is computed in chunks of 10 s, each started 2 s early (``drifting_gate``: 10 s),
    so that reading in pieces gives the same samples and memory does not grow.

    Args:
        method: see above.
        floor: lowest gain of the background, dB.
        noise: (from, to), seconds that hold only noise; for ``gate``.
        window: length of the analysis window, seconds; None: 0.032, for gates 0.064.

    >>> rng = np.random.default_rng(0)
    >>> hiss = Stream.of(rng.normal(0, 0.01, 16000).astype(np.float32), rate=16000, kind="waveform")
    >>> bool(Denoise()(hiss).read().std() < 0.1 * hiss.read().std())
    True
    """

    kinds = ("waveform",)

    def __init__(
        self,
        *,
        method: str = "om_lsa",
        floor: float = -30.0,
        noise: tuple[float, float] | None = None,
        window: float | None = None,
    ) -> None:
        problems = []
        if method not in METHODS:
            problems.append(f"denoise.method: got {method!r}; expected one of {', '.join(METHODS)}.")
        if not floor < 0:
            problems.append(f"denoise.floor: got {floor} dB; expected below 0.")
        if noise is not None and (method != "gate" or len(noise) != 2 or not noise[1] > noise[0]):
            problems.append(f"denoise.noise: got {noise}; expected [from, to] in seconds, and method: gate.")
        if window is not None and not window > 0:
            problems.append(f"denoise.window: got {window} s; expected above 0.")
        if problems:
            raise ConfigError(problems)
        self.method, self.noise, self.floor = method, noise, 10 ** (floor / 20)
        self.gated = "gate" in method
        self.window = window or (0.064 if self.gated else 0.032)
        self.causal = method != "gate" or noise is not None

    @property
    def receptive_field(self) -> float:
        around = {"gate": SteadyGate.before, "drifting_gate": DriftingGate.before}.get(self.method, Gain.before)
        return CHUNK + around + 2 * self.window

    def apply(self, stream: Stream) -> Stream:
        clock = stream.clock
        if not isinstance(clock, Grid):
            raise DataError(f"{stream.where or 'stream'}: sound with irregular times; expected a regular rate.")
        samples = float(clock.rate) * self.window
        if samples < 16:
            raise DataError(
                f"{stream.where or 'stream'}: a window of {self.window:g} s holds {samples:.0f} samples; expected 16 "
                "or more. Give a longer window."
            )
        return replace(stream, source=_Denoised(stream, self), first=0)


class _Denoised:
    """A view without its noise; the index is the view's own."""

    def __init__(self, stream: Stream, step: Denoise) -> None:
        self.stream, self.step = stream, step
        self.shape = stream.source.shape
        rate = float(stream.clock.rate) if isinstance(stream.clock, Grid) else 1.0
        self.spectra = _Spectra.of(rate, step.window, overlap=4 if step.gated else 2)
        # A whole number of hops, so that windows stand on the same samples in every chunk.
        self.chunk = math.ceil(CHUNK * rate / self.spectra.hop) * self.spectra.hop
        self._last: tuple[int, NDArray[np.generic]] | None = None

    def read(self, lo: int, hi: int) -> Values:
        parts = [self._at(n)[max(lo - n * self.chunk, 0) : hi - n * self.chunk] for n in self._numbers(lo, hi)]
        return np.concatenate(parts) if parts else np.zeros((0, *self.shape), np.float32)

    def _numbers(self, lo: int, hi: int) -> range:
        return range(lo // self.chunk, -(-hi // self.chunk)) if hi > lo else range(0)

    def _at(self, number: int) -> Values:
        # The last chunk is kept, because blocks are usually read in order and are shorter than a chunk.
        if self._last is None or self._last[0] != number:
            self._last = (number, self._make(number * self.chunk, min((number + 1) * self.chunk, len(self.stream))))
        return self._last[1]

    def _make(self, lo: int, hi: int) -> NDArray[np.generic]:
        spectra, rate = self.spectra, self.spectra.rate
        hop = spectra.hop
        gain_of = [self._gain(c) for c in range(self._raw(0, 0).shape[1])]
        sides = (gain_of[0].before, gain_of[0].after)
        before, after = (math.ceil((s + self.step.window) * rate / hop) * hop for s in sides)
        begin, end = max(lo - before, 0), min(hi + after, len(self.stream))
        values = self._raw(begin, end)
        made = [spectra.changed(np.nan_to_num(column), gain) for column, gain in zip(values.T, gain_of)]
        # Gaps are silent for the filter, and gaps again afterwards.
        out = np.where(np.isnan(values), np.nan, np.stack(made, 1))[lo - begin : hi - begin]
        return out.reshape(hi - lo, *self.shape).astype(np.float32)

    def _raw(self, lo: int, hi: int) -> Floats:
        """Samples [n, channels]; integers are scaled to -1..1."""
        values = self.stream[lo:hi].read()
        scale = -float(np.iinfo(values.dtype).min) if values.dtype.kind == "i" else 1.0
        table = np.asarray(values, np.float64).reshape(len(values), int(np.prod(self.shape, dtype=int))) / scale
        if np.isinf(table).any():
            raise DataError(f"{self.stream.where or 'stream'}: infinite values; correct them, or write NaN.")
        return table

    def _gain(self, channel: int) -> Gain:
        step, facts = self.step, (self.spectra.rate / self.spectra.hop, self.spectra.bin, self.step.floor)
        if step.method == "gate":
            return SteadyGate(*facts, threshold=self.thresholds[channel])
        if step.method == "drifting_gate":
            return DriftingGate(*facts)
        return Wiener(*facts) if step.method == "wiener" else OmLsa(*facts)

    @cached_property
    def thresholds(self) -> Floats:
        """Mean plus 1.5 standard deviations of each bin's level in dB, [channels, bins]; levels more than 80 dB below a
        bin's maximum are raised to that."""
        # Two passes over the sound, because the maximum is not known in the first.
        part = self.stream if self.step.noise is None else self.stream.cut(*self.step.noise)
        if not len(part):
            raise DataError(f"{self.stream.where or 'stream'}: denoise.noise {self.step.noise} lies outside the sound.")
        highest: Floats = np.max([block.max(1) for block in self._levels(part)], axis=0)
        total, square, count = 0.0, 0.0, 0
        for block in self._levels(part):
            level = np.maximum(block, highest[:, None] - 80) - highest[:, None]
            # Relative to the maximum: sums of squares of numbers near 0 keep their digits.
            total, square, count = total + level.sum(1), square + (level**2).sum(1), count + level.shape[1]
        mean = total / count
        return np.asarray(mean + 1.5 * np.sqrt(np.maximum(square / count - mean**2, 0)) + highest)

    def _levels(self, part: Stream) -> Iterator[Floats]:
        """Level in dB of every whole window of the part, [channels, windows, bins], a chunk at a time."""
        size, hop = self.spectra.size, self.spectra.hop
        first = part.first - self.stream.first
        last = first + max(len(part), size)
        for lo in range(first, last - size + 1, self.chunk):
            values = np.nan_to_num(self._raw(lo, min(lo + self.chunk + size - hop, last, len(self.stream))))
            values = np.pad(values, [(0, max(size - len(values), 0)), (0, 0)])
            windows = np.lib.stride_tricks.sliding_window_view(values, size, axis=0)[::hop].swapaxes(0, 1)
            yield 10 * np.log10(np.abs(np.fft.rfft(windows * self.spectra.taper)) ** 2 + TINY)


@dataclass(frozen=True)
class _Spectra:
    """Short-time spectra of windows centred on every ``hop``-th sample, and their inverse."""

    rate: float
    size: int
    hop: int
    taper: Floats

    @classmethod
    def of(cls, rate: float, window: float, overlap: int) -> _Spectra:
        """Hann windows, or their square root at an overlap of one half, so that the inverse is exact."""
        hop = max(round(window * rate / overlap / 2) * 2, 4)
        size = hop * overlap
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
        return cls(rate, size, hop, hann if overlap > 2 else np.sqrt(hann))

    @property
    def bin(self) -> float:
        return self.rate / self.size

    def of_sound(self, x: Floats) -> NDArray[np.complex128]:
        """Spectra [windows, bins]; the sound is padded with zeros at both ends."""
        count = -(-len(x) // self.hop) + 1
        padded = np.zeros((count - 1) * self.hop + self.size)
        padded[self.size // 2 : self.size // 2 + len(x)] = x
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.size)[:: self.hop]
        return np.fft.rfft(windows * self.taper)

    def changed(self, x: Floats, gain: Gain) -> Floats:
        """The sound with each window's spectrum multiplied by its gains."""
        spectra = self.of_sound(x)
        windows = np.fft.irfft(spectra * gain(np.abs(spectra) ** 2), self.size) * self.taper
        total = np.zeros((len(windows) - 1) * self.hop + self.size)
        weight = np.zeros(len(total))
        for part in range(self.size // self.hop):
            piece = slice(part * self.hop, (part + 1) * self.hop)
            place = slice(part * self.hop, part * self.hop + len(windows) * self.hop)
            total[place] += windows[:, piece].ravel()
            weight[place] += np.tile(self.taper[piece] ** 2, len(windows))
        out: Floats = (total / np.maximum(weight, 1e-12))[self.size // 2 : self.size // 2 + len(x)]
        return out
