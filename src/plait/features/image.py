"""Pictures: small grey pictures as they are, or their low spatial frequencies."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.features import Feature
from plait.features.checks import above_zero, differences, one_of, place_of, refuse_infinite
from plait.features.mel import cosine_basis
from plait.streams.clock import Clock, Grid, Ticks, rational
from plait.streams.pictures import GreySource, grey_of, read_grey
from plait.streams.stream import Stream, Values

__all__ = ["Dct", "Frames", "Shrink", "subsample", "zigzag"]

BLOCK_BYTES = 1 << 25
"""Most bytes of raw pictures in memory."""


def subsample(clock: Clock, rate: float | str | None) -> tuple[NDArray[np.int64], Clock]:
    """The observations to keep for about ``rate`` per second, and their own times; none is repeated.

    If the clock is a grid at a multiple of ``rate``, the result is a grid; else it is the observations nearest to the
    wanted instants, at their own times.

    >>> subsample(Grid(0, 25, 100), 12.5)[1]
    Grid(start_exact=Fraction(0, 1), rate=Fraction(25, 2), n=50)
    """
    if rate is None or len(clock) == 0:
        return np.arange(len(clock)), clock
    wanted = rational(rate)
    if isinstance(clock, Grid):
        step = clock.rate / wanted
        if step <= 1:
            return np.arange(len(clock)), clock
        if step.denominator == 1:
            kept = np.arange(0, len(clock), int(step))
            return kept, Grid(clock.start_exact, wanted, len(kept))
    times = clock.times
    count = math.floor((float(times[-1]) - float(times[0])) * wanted) + 1
    # Where the stream is slower than `rate`, several instants have the same nearest observation.
    kept = np.unique(clock.nearest(Grid(float(times[0]), wanted, count).times))
    return kept, Ticks(times[kept])


def zigzag(height: int, width: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the first coefficients in JPEG's order (ITU-T T.81, figure A.6), lowest first.

    >>> [list(map(int, i)) for i in zigzag(8, 8, 6)]
    [[0, 0, 1, 2, 1, 0], [0, 1, 0, 0, 1, 2]]
    """
    cells = [(u, v) for u in range(height) for v in range(width)]
    cells.sort(key=lambda c: (c[0] + c[1], c[0] if (c[0] + c[1]) % 2 else c[1]))
    rows, columns = np.array(cells[:count], np.int64).reshape(-1, 2).T
    return rows, columns


@dataclass(frozen=True)
class Shrink:
    """Crop pictures, convert them to grey and resize them by area averages, [m, height, width] or [..., 3], 0..1.

    Attributes:
        crop: left, top, width and height in 0..1 of the picture, or None for all of it.

    Raises:
        ConfigError: a size that is not above 0, or a crop that leaves the picture.
    """

    height: int
    width: int
    grey: bool = True
    crop: Sequence[float] | None = None

    def __post_init__(self) -> None:
        above_zero("pictures", height=self.height, width=self.width)
        if self.crop is None:
            return
        ok = len(self.crop) == 4 and all(0 <= c <= 1 for c in self.crop) and min(self.crop[2:]) > 0
        if not ok or self.crop[0] + self.crop[2] > 1 + 1e-9 or self.crop[1] + self.crop[3] > 1 + 1e-9:
            raise ConfigError(
                f"crop: got {list(self.crop)}; expected [left, top, width, height] in 0..1 of the picture."
            )

    def depth(self, shape: tuple[int, ...]) -> int:
        """Channels of a small picture, given the shape of a raw picture."""
        return 1 if self.grey or len(shape) < 3 or shape[2] == 1 else 3

    def blocks(self, stream: Stream, kept: NDArray[np.int64]) -> Iterator[NDArray[np.float32]]:
        """Small pictures of the observations ``kept`` (sorted), in order, in blocks of `BLOCK_BYTES`.

        Lost pictures (`Stream.mask`) are NaN.

        Raises:
            DataError: pictures are not [height, width, 1, 3 or 4] of numbers.
        """
        shape = stream.source.shape
        if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] not in (1, 3, 4)):
            raise DataError(f"{place_of(stream)}: pictures of shape {shape}; expected [h, w, 1, 3 or 4].")
        size = max(1, BLOCK_BYTES // max(1, 4 * math.prod(shape)))
        for lo in range(0, len(kept), size):
            parts = [self._seen(stream[a:b], a) for a, b in _runs(kept[lo : lo + size])]
            yield parts[0] if len(parts) == 1 else np.concatenate(parts)

    def box(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Top, left, height and width of the crop, pixels; at least 1 x 1.

        >>> Shrink(24, 32, crop=[0.25, 0.5, 0.5, 0.5]).box((40, 80, 3))
        (20, 20, 20, 40)
        """
        high, wide = shape[:2]
        x, y, w, h = self.crop or (0, 0, 1, 1)
        top, left = min(round(y * high), high - 1), min(round(x * wide), wide - 1)
        bottom, right = max(round((y + h) * high), top + 1), max(round((x + w) * wide), left + 1)
        return top, left, bottom - top, right - left

    def _seen(self, stream: Stream, first: int) -> NDArray[np.float32]:
        small = self._small(stream, first)
        there = stream.mask()
        if not there.all():
            small[~there] = np.nan
        return small

    def _small(self, stream: Stream, first: int) -> NDArray[np.float32]:
        raw, scale = self._cropped(stream, first)
        depth = () if self.grey or raw.shape[3:] == (1,) else (3,)
        out = np.empty((len(raw), self.height, self.width, *depth), np.float32)
        for small, picture in zip(out, raw):
            if picture.ndim == 3:
                picture = picture[..., :3] if depth else grey_of(picture)
            # One by one: OpenCV resizes no stacks, and takes at most four channels at once.
            small[...] = cv2.resize(picture, (self.width, self.height), interpolation=cv2.INTER_AREA)
        return np.multiply(out, scale, out=out)

    def _cropped(self, stream: Stream, first: int) -> tuple[NDArray[np.generic], np.float32]:
        """Pictures within the crop, already grey if the source can do that, and their scale to 0..1."""
        top, left, height, width = self.box(stream.source.shape)
        if self.grey and isinstance(stream.source, GreySource):
            raw = read_grey(stream, (top, left, height, width))
            return raw, _scale(raw, stream, first)
        raw = stream.read()
        scale = _scale(raw, stream, first)
        # Cropped before any conversion, so that pixels outside cost nothing.
        raw = raw[:, top : top + height, left : left + width]
        return raw.astype(np.float32) if raw.dtype == np.float64 else raw, scale


def _runs(kept: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Sorted indices as runs first..last of neighbours, so that nothing else is read."""
    edges = np.flatnonzero(np.diff(kept) != 1) + 1
    return [(int(part[0]), int(part[-1]) + 1) for part in np.split(kept, edges)]


def _scale(raw: Values, stream: Stream, first: int) -> np.float32:
    """The factor that scales pictures to 0..1; floating-point pictures are taken to be 0..1 already."""
    if raw.dtype in (np.uint8, np.uint16):
        return np.float32(1.0 / np.iinfo(raw.dtype).max)
    if raw.dtype not in (np.float32, np.float64):
        raise DataError(f"{place_of(stream)}: pictures of type {raw.dtype}; expected uint8, uint16 or float.")
    refuse_infinite(raw, stream, first)
    return np.float32(1)


def _join(parts: list[NDArray[np.float32]], width: int) -> NDArray[np.float32]:
    return np.concatenate([np.zeros((0, width), np.float32), *parts])


class Frames(Feature):
    """Pixels of small pictures, flattened row by row, [n, height * width]; the default for pictures.

    Pictures are cropped, converted to grey (ITU-R BT.601 weights) and resized by area averages (``cv2.INTER_AREA``).
    24 x 32 grey pixels are 768 numbers: enough for a mouth or a gesture, few enough for a recurrent encoder.

    Args:
        height, width: size of the small picture in pixels.
        grey: one channel instead of three.
        crop: [left, top, width, height] in 0..1 of the picture.
        normalise: ``frame``: each picture to mean 0 and standard deviation 1 (a flat picture to 0);
            ``none``: 0..1 as they are.
        differences: append the difference to the previous picture; 0 for the first, and after more than ``gap``
            seconds.
        rate: pictures per second to keep, about.
        gap: longest pause, in seconds, over which differences are taken.

    >>> film = Stream.of(np.zeros((50, 120, 160, 3), np.uint8), rate=25)
    >>> values, clock = Frames(rate=12.5)(film)
    >>> values.shape, clock.rate
    ((25, 768), Fraction(25, 2))
    """

    kinds = ("frames",)
    version = 2
    default_for: ClassVar[tuple[str, ...]] = ("frames",)

    def __init__(
        self,
        *,
        height: int = 24,
        width: int = 32,
        grey: bool = True,
        crop: Sequence[float] | None = None,
        normalise: str = "frame",
        differences: bool = False,
        rate: float | str | None = None,
        gap: float = 0.5,
    ) -> None:
        one_of("frames.normalise", normalise, ("frame", "none"))
        above_zero("frames", gap=gap)
        self._shrink = Shrink(height, width, grey, crop)
        self._standard, self._twice, self._rate, self._gap = normalise == "frame", differences, rate, gap
        if rate is not None:
            rational(rate)

    @property
    def receptive_field(self) -> float:
        return self._gap if self._twice else 0.0

    @property
    def rate(self) -> Fraction | None:
        return None if self._rate is None else rational(self._rate)

    def dim(self, shape: tuple[int, ...]) -> int:
        pixels = self._shrink.height * self._shrink.width * self._shrink.depth(shape)
        return pixels * (2 if self._twice else 1)

    def picture(self, dim: int) -> tuple[int, int, int] | None:
        height, width = self._shrink.height, self._shrink.width
        return None if self._twice else (height, width, dim // (height * width))

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        kept, clock = subsample(stream.clock, self._rate)
        width = self.dim(stream.source.shape) // (2 if self._twice else 1)
        small = [b.reshape(len(b), -1) for b in self._shrink.blocks(stream, kept)]
        values = _join([_standard(b) for b in small] if self._standard else small, width)
        if self._twice:
            change = differences(values, clock, self._gap, place_of(stream))
            values = np.concatenate([values, change], 1)
        return values, clock


def _standard(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows to mean 0 and standard deviation 1; flat rows (standard deviation below 1e-4) to 0."""
    centred = pixels - pixels.mean(1, keepdims=True)
    spread = centred.std(1, keepdims=True)
    out: NDArray[np.float32] = np.where(spread < 1e-4, centred * 0, centred / np.maximum(spread, 1e-4))
    return out


class Dct(Feature):
    """The lowest two-dimensional cosine coefficients of small grey pictures, [n, k], as used for lips.

    Pictures are resized to ``height`` x ``width`` and transformed (orthonormal DCT-II along both axes); the
    ``k`` lowest coefficients are kept in zigzag order, the mean brightness first (Potamianos et al.,
    "Recent advances in the automatic recognition of audiovisual speech", Proc. IEEE 2003, sec. III).

    Args:
        k: number of coefficients.
        height, width, crop, rate, gap: as for `Frames`.
        deltas: append the difference to the previous row (0 for the first, and after more than ``gap`` s).

    >>> Dct(k=44, deltas=True).dim((64, 96, 3))
    88
    """

    kinds = ("frames",)
    version = 2

    def __init__(
        self,
        *,
        k: int = 44,
        height: int = 32,
        width: int = 48,
        crop: Sequence[float] | None = None,
        deltas: bool = False,
        rate: float | str | None = None,
        gap: float = 0.5,
    ) -> None:
        above_zero("dct", k=k, gap=gap)
        self._shrink = Shrink(height, width, True, crop)
        if k > height * width:
            raise ConfigError(f"dct.k: {k} coefficients of {height} x {width} pixels; expected at most as many.")
        self._rows, self._columns = zigzag(height, width, k)
        # Only the rows and columns that the kept coefficients need: two thin products instead of a whole transform.
        self._down = cosine_basis(height, int(self._rows.max()) + 1).astype(np.float32)
        self._across = cosine_basis(width, int(self._columns.max()) + 1).T.astype(np.float32)
        self._twice, self._rate, self._gap = deltas, rate, gap

    @property
    def receptive_field(self) -> float:
        return self._gap if self._twice else 0.0

    @property
    def rate(self) -> Fraction | None:
        return None if self._rate is None else rational(self._rate)

    def dim(self, shape: tuple[int, ...]) -> int:
        return len(self._rows) * (2 if self._twice else 1)

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        kept, clock = subsample(stream.clock, self._rate)
        parts = [
            (self._down @ (block @ self._across))[:, self._rows, self._columns]
            for block in self._shrink.blocks(stream, kept)
        ]
        values = _join(parts, len(self._rows))
        if self._twice:
            change = differences(values, clock, self._gap, place_of(stream))
            values = np.concatenate([values, change], 1)
        return values, clock
