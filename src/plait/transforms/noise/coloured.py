"""Noise by its spectrum: white, power that falls or rises with frequency, and mains hum."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.core.options import Few
from plait.streams.clock import Grid
from plait.streams.stream import Stream
from plait.transforms.noise import BLOCK, generator
from plait.transforms.noise.pictures import NoisyPictures
from plait.transforms.noise.power import Added, Maker

__all__ = ["Brown", "Coloured", "Hum", "Pink", "White"]

Floats = NDArray[np.float64]


def _width(stream: Stream) -> int:
    return int(np.prod(stream.source.shape, dtype=int))


class _Blocks(Maker):
    """Noise that is made in whole blocks, so that any way of reading gives the same bits."""

    def __init__(self, seed: int, width: int) -> None:
        self.seed, self.width = seed, width

    @abstractmethod
    def block(self, number: int) -> Floats:
        """[BLOCK, width]."""

    def at(self, lo: int, hi: int) -> Floats:
        # At least one block, so that an empty read has its width too.
        numbers = range(lo // BLOCK, max(-(-hi // BLOCK), lo // BLOCK + 1))
        start = numbers[0] * BLOCK
        return np.concatenate([self.block(b) for b in numbers])[lo - start : hi - start]


class _Gaussian(_Blocks):
    def block(self, number: int) -> Floats:
        return generator(self.seed, number).standard_normal((BLOCK, self.width))


class _PowerLaw(_Gaussian):
    """White noise through a filter with power 1 / f ** exponent (Kasdin 1995, eq. 104)."""

    def __init__(self, seed: int, width: int, exponent: float) -> None:
        super().__init__(seed, width)
        self.exponent = exponent

    @cached_property
    def taps(self) -> Floats:
        k = np.arange(1, BLOCK)
        return np.concatenate([[1.0], np.cumprod((k - 1 + self.exponent / 2) / k)])[:, None]

    def block(self, number: int) -> Floats:
        from scipy.signal import oaconvolve

        # As many taps as a block has observations: the block before is all the past that a filter needs.
        both = np.concatenate([super().block(number - 1), super().block(number)])
        made: Floats = oaconvolve(both, self.taps, axes=0)[BLOCK : 2 * BLOCK]
        return made


class White(Added):
    """Gaussian, independent in every value.

    In frames on every pixel: the ratio then holds for each picture, relative to the variance of its pixels, before
    rounding and clipping to whole numbers.
    """

    kinds = ("waveform", "series", "pose", "frames")

    def maker(self, stream: Stream, seed: int, others: Sequence[Stream]) -> Maker:
        return _Gaussian(seed, _width(stream))

    def apply(self, stream: Stream, level: float, seed: int, others: Sequence[Stream]) -> Stream:
        if stream.kind == "frames":
            return replace(stream, source=NoisyPictures(stream.source, seed, level))
        return super().apply(stream, level, seed, others)


class Coloured(Added):
    """Gaussian, power falling as 1 / f ** exponent.

    Kasdin 1995, "Discrete simulation of colored noise and stochastic processes and 1/f^alpha power law noise
    generation", Proc. IEEE 83(5), eq. 104, with 4096 taps, so that it is flat below a 4096th of the rate.

    Args:
        exponent: -2 to 2; 0 is white, 1 pink, 2 brown (red), -1 blue, -2 violet.
    """

    levels: ClassVar[tuple[float, ...]] = ()  # as white, pink and brown

    def __init__(self, *, exponent: float = 1.0) -> None:
        if not -2 <= exponent <= 2:
            raise ConfigError(f"coloured.exponent: got {exponent}; expected a number from -2 to 2.")
        self.exponent = exponent

    def maker(self, stream: Stream, seed: int, others: Sequence[Stream]) -> Maker:
        return _PowerLaw(seed, _width(stream), self.exponent)


class Pink(Added):
    """`Coloured` with exponent 1: equal power in every octave."""

    def maker(self, stream: Stream, seed: int, others: Sequence[Stream]) -> Maker:
        return _PowerLaw(seed, _width(stream), 1.0)


class Brown(Added):
    """`Coloured` with exponent 2: the drift of a random walk."""

    def maker(self, stream: Stream, seed: int, others: Sequence[Stream]) -> Maker:
        return _PowerLaw(seed, _width(stream), 2.0)


class Hum(Added):
    """Mains hum: a tone and its harmonics, each with a random phase, with amplitudes falling as 1 / number.

    Args:
        frequency: Hz, 50 or 60.
        harmonics: number of tones in all; those above half the stream's rate are left out.
    """

    kinds = ("waveform", "series")

    def __init__(self, *, frequency: float = 50.0, harmonics: Few = 5) -> None:
        if not (frequency > 0 and harmonics >= 1):
            raise ConfigError(f"hum: frequency {frequency}, harmonics {harmonics}; expected above 0, and 1 or more.")
        self.frequency, self.harmonics = frequency, harmonics

    def maker(self, stream: Stream, seed: int, others: Sequence[Stream]) -> Maker:
        rate = float(stream.clock.rate) if isinstance(stream.clock, Grid) else 0.0
        numbers = [k for k in range(1, self.harmonics + 1) if k * self.frequency < rate / 2]
        if not numbers:
            raise DataError(
                f"{stream.where or 'stream'}: {rate:g} observations per second cannot carry a hum of "
                f"{self.frequency:g} Hz. It takes a regular rate above {2 * self.frequency:g}."
            )
        phases = generator(seed, 0).random(len(numbers))
        return _Tones([(k, k * self.frequency / rate, float(p)) for k, p in zip(numbers, phases)])


@dataclass(frozen=True)
class _Tones(Maker):
    """Sines of (number, turns per observation, phase in turns)."""

    tones: list[tuple[int, float, float]]

    def at(self, lo: int, hi: int) -> Floats:
        index = np.arange(lo, hi)[:, None]
        # Turns modulo 1: the sine of a large angle loses digits.
        total: Floats = np.sum([np.sin(2 * np.pi * (index * turn % 1.0 + p)) / k for k, turn, p in self.tones], axis=0)
        return total
