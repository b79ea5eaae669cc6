"""Additive noise at a level in decibels: the source that scales it, and the measured power."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from plait.streams.stream import Stream, Values
from plait.transforms.noise import BLOCK, Noise

__all__ = ["Added", "Maker", "Power", "as_table"]

Floats = NDArray[np.float64]


class Maker(ABC):
    """Unlimited noise of any power by index, [hi - lo, width or 1]."""

    @abstractmethod
    def at(self, lo: int, hi: int) -> Floats:
        """Noise for the observations lo..hi."""


class Added(Noise):
    """Additive noise; the level is the signal-to-noise ratio, 10 log10 (signal power / noise power).

    The ratio is exact over the view to which the noise is added: for a waveform over all its channels together (mean
    square), for series and poses in each channel relative to its variance. A silent waveform or a constant channel has
    no ratio, and stays unchanged.
    """

    kinds: ClassVar[tuple[str, ...]] = ("waveform", "series", "pose")
    axis = "signal over noise, dB"
    bounds = (-np.inf, np.inf)
    levels: ClassVar[tuple[float, ...]] = (20.0, 10.0, 0.0)
    rising = False

    @abstractmethod
    def maker(self, stream: Stream, seed: int, others: Sequence[Stream]) -> Maker:
        """The source of the noise for this stream."""

    def apply(self, stream: Stream, level: float, seed: int, others: Sequence[Stream]) -> Stream:
        return replace(stream, source=_Noisy(stream, self.maker(stream, seed, others), level))


def as_table(values: NDArray[np.generic]) -> Floats:
    """Values as [n, everything else], float64."""
    return np.asarray(values, np.float64).reshape(len(values), int(np.prod(values.shape[1:], dtype=int)))


class _Noisy:
    """A source with noise added; the gains need one pass over the view, on the first read."""

    def __init__(self, stream: Stream, noise: Maker, level_db: float) -> None:
        self.stream, self.noise, self.level_db = stream, noise, level_db
        self.shape = stream.source.shape

    @cached_property
    def gains(self) -> Floats:
        """Factor of the noise, per channel ([width]) or for all ([1])."""
        together = self.stream.kind == "waveform"
        signal, noise = Power(centred=not together), Power(centred=False)
        for lo, block in self._blocks():
            values = as_table(block)
            made = np.broadcast_to(self.noise.at(lo, lo + len(values)), values.shape)
            signal.add(values)
            # Noise that falls on gaps is never heard, so it must not count.
            noise.add(np.where(np.isfinite(values), made, np.nan))
        wanted, got = signal.powers(together) * 10 ** (-self.level_db / 10), noise.powers(together)
        return np.sqrt(np.divide(wanted, got, out=np.zeros_like(got), where=got > 0))

    def _blocks(self) -> Iterator[tuple[int, NDArray[np.generic]]]:
        for view in self.stream.blocks(16 * BLOCK):
            yield view.first, view.read()

    def read(self, lo: int, hi: int) -> Values:
        values = self.stream.source.read(lo, hi)
        kind = values.dtype if values.dtype.kind == "f" else np.dtype(np.float32)
        noisy = as_table(values) + self.gains * self.noise.at(lo, hi)[: len(values)]
        return noisy.reshape(values.shape).astype(kind)


class Power:
    """Mean square (or variance) per channel, updated block by block without cancellation (Chan et al. 1983)."""

    def __init__(self, *, centred: bool) -> None:
        self.centred = centred
        self.count, self.mean, self.total = np.zeros(1), np.zeros(1), np.zeros(1)

    def add(self, values: Floats) -> None:
        """Add values [n, width]; values that are not finite are left out."""
        good = np.isfinite(values)
        count = good.sum(0).astype(np.float64)
        clean = np.where(good, values, 0.0)
        mean = clean.sum(0) / np.maximum(count, 1) if self.centred else np.zeros(values.shape[1])
        total = (np.where(good, clean - mean, 0.0) ** 2).sum(0)
        both = np.maximum(self.count + count, 1)
        step = mean - self.mean
        self.total = self.total + total + step**2 * self.count * count / both
        self.mean = self.mean + step * count / both
        self.count = self.count + count

    def powers(self, together: bool) -> Floats:
        """Power [width], or [1] over all channels together."""
        if together:
            return np.atleast_1d(self.total.sum() / max(float(self.count.sum()), 1.0))
        return self.total / np.maximum(self.count, 1)
