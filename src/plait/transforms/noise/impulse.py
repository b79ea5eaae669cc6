"""Impulse noise: single extreme values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.streams.stream import Stream, Values
from plait.transforms.noise import BLOCK, Noise, generator
from plait.transforms.noise.pictures import Picture, PictureSource
from plait.transforms.noise.power import Power, as_table

__all__ = ["Impulse"]

Floats = NDArray[np.float64]


class Impulse(Noise):
    """Replaces a share of the values by extremes, half of them high.

    Salt and pepper in pictures (whole pixels, black or white), spikes in other streams. The level is the share, exact
    in each picture, and in each channel over the view.

    Args:
        size: size of a spike, in standard deviations from the channel's mean (for a waveform: over all channels).
    """

    kinds = ("waveform", "series", "pose", "frames")
    axis = "share of values that are extreme"
    levels = (0.01, 0.03, 0.1)

    def __init__(self, *, size: float = 10.0) -> None:
        if not size > 0:
            raise ConfigError(f"impulse.size: got {size}; expected a number above 0.")
        self.size = size

    def apply(self, stream: Stream, level: float, seed: int, others: Sequence[Stream]) -> Stream:
        if stream.kind == "frames":
            return replace(stream, source=_Peppered(stream.source, seed, level))
        return replace(stream, source=_Spiked(stream, seed, level, self.size))


class _Peppered(PictureSource):
    def one(self, picture: Picture, number: int) -> Picture:
        rng, pixels = generator(self.seed, number), picture.shape[0] * picture.shape[1]
        where = rng.choice(pixels, round(self.level * pixels), replace=False)
        out = np.array(picture)
        flat = out.reshape(pixels, -1)
        flat[where[::2]] = np.iinfo(out.dtype).max if out.dtype.kind in "iu" else 1
        flat[where[1::2]] = 0
        return out


class _Spiked:
    """Spikes, drawn per block from the view's first observation on; their size needs one pass over the view."""

    def __init__(self, stream: Stream, seed: int, share: float, size: float) -> None:
        self.stream, self.seed, self.share, self.size = stream, seed, share, size
        self.shape = stream.source.shape

    @cached_property
    def extremes(self) -> tuple[Floats, Floats]:
        """The low and the high value per channel."""
        power = Power(centred=True)
        for block in self.stream.blocks(16 * BLOCK):
            power.add(as_table(block.read()))
        height = self.size * np.sqrt(power.powers(self.stream.kind == "waveform"))
        return power.mean - height, power.mean + height

    def read(self, lo: int, hi: int) -> Values:
        values = self.stream.source.read(lo, hi)
        table, start = as_table(values).copy(), lo - self.stream.first
        for number in range(start // BLOCK, -(-(start + len(values)) // BLOCK)):
            self._spoil(table, number, start)
        kind = values.dtype if values.dtype.kind == "f" else np.dtype(np.float32)
        return table.reshape(values.shape).astype(kind)

    def _spoil(self, table: Floats, number: int, start: int) -> None:
        begin, end = number * BLOCK, min((number + 1) * BLOCK, len(self.stream))
        # Differences of rounded totals: blocks together hold exactly the share.
        count = round(self.share * end) - round(self.share * begin)
        rng, (low, high) = generator(self.seed, number), self.extremes
        for channel in range(table.shape[1]):
            where = begin + rng.permutation(max(end - begin, 0))[:count] - start
            for rows, extreme in ((where[::2], high), (where[1::2], low)):
                rows = rows[(rows >= 0) & (rows < len(table))]
                rows = rows[np.isfinite(table[rows, channel])]
                table[rows, channel] = extreme[channel]
