"""Babble: the sum of other voices (interferers) at equal power."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError
from plait.streams.clock import Grid
from plait.streams.stream import Stream
from plait.streams.warp import Warped
from plait.transforms.noise import BLOCK, generator
from plait.transforms.noise.power import Added, Maker, as_table

__all__ = ["Babble"]

Floats = NDArray[np.float64]


class Babble(Added):
    """Several other waveforms at equal power, each looped from a random place.

    Other rates are interpolated, channels are mixed down.
    """

    kinds = ("waveform",)
    interferers = True

    def maker(self, stream: Stream, seed: int, others: Sequence[Stream]) -> Maker:
        return _Interferers(stream, seed, others)


class _Interferers(Maker):
    def __init__(self, stream: Stream, seed: int, others: Sequence[Stream]) -> None:
        wrong = [o.where or f"interferer {i}" for i, o in enumerate(others) if o.kind != "waveform" or not len(o)]
        if wrong or not others:
            raise DataError(
                f"{stream.where or 'stream'}: babble needs one or more other waveforms that are not empty; "
                f"got {', '.join(wrong) or 'none'}. Give others=."
            )
        self.where = stream.where or "stream"
        places = generator(seed, 0).random(len(others))
        self._interferers = [_Interferer(o, _ratio(o, stream), float(p)) for o, p in zip(others, places)]

    @cached_property
    def interferers(self) -> list[tuple[_Interferer, float]]:
        """The interferers that are not silent, and the gain that scales each to power 1."""
        loud = [(v, p) for v in self._interferers if (p := v.power) > 0]
        if not loud:
            raise DataError(
                f"{self.where}: all {len(self._interferers)} interferers of the babble are silent. Give others."
            )
        return [(v, float(p**-0.5)) for v, p in loud]

    def at(self, lo: int, hi: int) -> Floats:
        total: Floats = np.sum([gain * one.at(lo, hi) for one, gain in self.interferers], axis=0)
        return total[:, None]


def _ratio(other: Stream, stream: Stream) -> float:
    """Observations of the other stream per observation of the stream."""
    a, b = other.clock, stream.clock
    return float(a.rate / b.rate) if isinstance(a, Grid | Warped) and isinstance(b, Grid | Warped) else 1.0


@dataclass(frozen=True)
class _Interferer:
    """A waveform mixed down to one channel, looped from a place in 0..1 of its length."""

    stream: Stream
    ratio: float
    place: float

    @cached_property
    def power(self) -> float:
        return float(sum((mono**2).sum() for mono in map(_mono, self.stream.blocks(16 * BLOCK))) / len(self.stream))

    @cached_property
    def held(self) -> Floats | None:
        """The whole waveform if it is short (4 million samples), because it is read repeatedly."""
        return _mono(self.stream) if len(self.stream) <= 2**22 else None

    def at(self, lo: int, hi: int) -> Floats:
        n = len(self.stream)
        first = int(self.place * n)
        if self.ratio == 1.0:
            return self._pick((first + np.arange(lo, hi)) % n)
        exact = np.arange(lo, hi) * self.ratio
        whole = np.floor(exact).astype(np.int64)
        left, right = self._pick((first + whole) % n), self._pick((first + whole + 1) % n)
        share: Floats = exact - whole
        return left + share * (right - left)

    def _pick(self, index: NDArray[np.int64]) -> Floats:
        if self.held is not None:
            return np.asarray(self.held[index], np.float64)
        # Where the loop starts again; between such places the waveform is read in order.
        breaks = np.flatnonzero(np.diff(index) < 0) + 1
        pieces = np.split(index, breaks)
        return np.concatenate([_mono(self.stream[int(r[0]) : int(r[-1]) + 1])[r - r[0]] for r in pieces if len(r)])


def _mono(stream: Stream) -> Floats:
    values = as_table(stream.read())
    return np.asarray(np.nan_to_num(values.mean(1)), np.float64)
