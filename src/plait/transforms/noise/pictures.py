"""Noise on pictures: grain, blur and occlusion."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.streams.clock import Grid
from plait.streams.stream import Source, Stream, Values, mask_of
from plait.transforms.noise import Noise, generator

__all__ = ["Blur", "NoisyPictures", "Occlusion", "PictureSource", "observations_in"]

Picture = Values


def observations_in(stream: Stream, seconds: float) -> float:
    """Number of the stream's observations (by its mean rate) in a number of seconds; at least 1."""
    clock = stream.clock
    if isinstance(clock, Grid):
        return max(1.0, seconds * float(clock.rate))
    span = float(clock.times[-1] - clock.times[0]) if len(clock) > 1 else 0.0
    return max(1.0, seconds * (len(clock) - 1) / span) if span > 0 else 1.0


@dataclass(frozen=True)
class PictureSource(ABC):
    """Pictures changed one by one, each seeded by its own number, without a pass over the film."""

    inner: Source
    seed: int
    level: float

    @property
    def shape(self) -> tuple[int, ...]:
        return self.inner.shape

    @abstractmethod
    def one(self, picture: Picture, number: int) -> Picture:
        """The changed picture [height, width, channels], of the same type."""

    def mask(self, lo: int, hi: int) -> NDArray[np.bool_]:
        return mask_of(self.inner, lo, hi)

    def read(self, lo: int, hi: int) -> Values:
        values = self.inner.read(lo, hi)
        changed = [self.one(picture, lo + i) for i, picture in enumerate(values)]
        return np.stack(changed) if changed else values


class NoisyPictures(PictureSource):
    """Gaussian noise on every pixel at a level in dB."""

    def one(self, picture: Picture, number: int) -> Picture:
        made = generator(self.seed, number).standard_normal(picture.shape, np.float32)
        power = float(np.nanvar(picture, dtype=np.float64)) if np.isfinite(picture).any() else 0.0
        # By the noise as drawn, not as expected: the ratio is exact in every picture.
        got = max(float((made.astype(np.float64) ** 2).mean()), 1e-30)
        noisy: Picture = picture + np.sqrt(power * 10 ** (-self.level / 10) / got) * made
        if picture.dtype.kind in "iu":
            limits = np.iinfo(picture.dtype)
            noisy = np.clip(np.rint(noisy), limits.min, limits.max)
        result: Picture = noisy.astype(picture.dtype)
        return result


class Blur(Noise):
    """Gaussian blur of every picture, mirrored at the borders; the level is its standard deviation in pixels."""

    kinds = ("frames",)
    axis = "blur, pixels"
    bounds = (0.0, np.inf)
    levels = (1.0, 2.0, 4.0)

    def apply(self, stream: Stream, level: float, seed: int, others: Sequence[Stream]) -> Stream:
        return replace(stream, source=_Blurred(stream.source, seed, level)) if level else stream


class _Blurred(PictureSource):
    def one(self, picture: Picture, number: int) -> Picture:
        import cv2

        blurred: Picture = cv2.GaussianBlur(picture, (0, 0), self.level, borderType=cv2.BORDER_REFLECT_101)
        return blurred.reshape(picture.shape)


FILLS = ("black", "mean", "noise")


class Occlusion(Noise):
    """A rectangle that covers a part of the picture for a while, then another part.

    The level is the share of the picture that it covers, exact to the pixel (its last row may be incomplete).

    Args:
        seconds: time at each place.
        fill: ``black``, ``mean`` (the picture's mean per channel) or ``noise`` (every pixel at random).
    """

    kinds = ("frames",)
    axis = "share of the picture covered"

    def __init__(self, *, seconds: float = 1.0, fill: str = "black") -> None:
        problems = [] if seconds > 0 else [f"occlusion.seconds: got {seconds}; expected a number above 0."]
        if fill not in FILLS:
            problems.append(f"occlusion.fill: got {fill!r}; expected one of {', '.join(FILLS)}.")
        if problems:
            raise ConfigError(problems)
        self.seconds, self.fill = seconds, fill

    def apply(self, stream: Stream, level: float, seed: int, others: Sequence[Stream]) -> Stream:
        stay = round(observations_in(stream, self.seconds))
        return replace(stream, source=_Covered(stream.source, seed, level, stay, self.fill))


@dataclass(frozen=True)
class _Covered(PictureSource):
    stay: int
    fill: str

    def one(self, picture: Picture, number: int) -> Picture:
        height, width, channels = picture.shape
        covered = np.zeros((height, width), np.bool_)
        top, left, rows, columns, count = self._place(height, width, number // self.stay)
        inside = np.arange(rows * columns).reshape(rows, columns) < count
        covered[top : top + rows, left : left + columns] = inside
        out = np.array(picture)
        out[covered] = self._filling(picture, number, (count, channels))
        return out

    def _place(self, height: int, width: int, spell: int) -> tuple[int, int, int, int, int]:
        """Top, left, rows and columns of the rectangle, and the number of covered pixels."""
        rng = generator(self.seed, spell)
        count = round(self.level * height * width)
        shape = float(np.exp(rng.uniform(-0.7, 0.7)))  # height over width: from a half to two
        rows = min(max(round((count * shape) ** 0.5), -(-count // width), 1), height)
        columns = min(-(-count // rows), width)
        rows = -(-count // columns) if columns else 0
        top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
        return int(top), int(left), rows, columns, count

    def _filling(self, picture: Picture, number: int, shape: tuple[int, int]) -> object:
        whole = picture.dtype.kind in "iu"
        if self.fill == "mean":
            mean = picture.mean((0, 1), dtype=np.float64)
            return np.rint(mean) if whole else mean
        if self.fill == "black":
            return 0
        # Another seed than that of the place, so that the two do not share numbers.
        rng = generator(self.seed + 1, number)
        return rng.integers(0, np.iinfo(picture.dtype).max, shape, endpoint=True) if whole else rng.random(shape)
