"""Noise at an exact signal-to-noise ratio, on raw streams: what is a stream worth when it is bad?

Nothing is decoded until a noisy stream is read. The noise of observation i depends on the seed and on i
alone (numbers come from a counter, Philox, in blocks): two reads agree, and a cut of the noisy stream is
the noisy cut.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import oaconvolve

from plait.errors import ConfigError, DataError
from plait.recipe import suggest
from plait.streams.clock import Grid
from plait.streams.stream import Source, Stream

__all__ = ["NOISES", "add_noise"]

NOISES = {
    "babble": ("waveform",),
    "white": ("waveform", "series", "pose", "frames"),
    "pink": ("waveform", "series", "pose"),
}
"""Kinds of noise, and the kinds of stream that each can be added to."""

BLOCK = 4096
"""Observations that share one counter; frames share none, since each is large already."""

Floats = NDArray[np.float64]


def add_noise(
    stream: Stream, kind: str, level_db: float, rng: int | np.random.Generator, others: Sequence[Stream] = ()
) -> Stream:
    """The stream with noise added at ``level_db`` decibels of signal over noise; lazy.

    The ratio is exact over the view given here: for a waveform over all its channels together (mean square),
    for series and poses in each channel by itself relative to its variance, for frames in each picture by
    itself relative to the variance of its pixels (before rounding and clipping to whole numbers). Gaps (NaN)
    stay gaps. A silent waveform or a constant channel has no such ratio, and stays as it is.

    Args:
        stream: what to disturb, of any kind but words.
        kind: 'babble' (several other waveforms at equal power, each looped from a random place),
            'white' (Gaussian), or 'pink' (power falling as 1/f: Kasdin 1995, "Discrete simulation of
            colored noise", Proc. IEEE 83(5), eq. 104 with alpha = 1, 4096 taps).
        level_db: 10 log10 (signal power / noise power).
        rng: a seed, or a generator from which one is drawn now.
        others: the other voices of a babble; another rate is interpolated, channels are mixed down.

    Raises:
        ConfigError: no such noise.
        DataError: the noise does not suit the stream, or a babble has no voices that sound.

    >>> tone = Stream.of(np.sin(np.arange(1000.0)), rate=100)
    >>> noise = add_noise(tone, "white", 10.0, 0).read() - tone.read()
    >>> round(float(10 * np.log10(tone.read().var() / (noise**2).mean())), 6)
    10.0
    """
    if kind not in NOISES:
        raise ConfigError(f"there is no noise {kind!r}. {suggest(kind, NOISES)}")
    if stream.kind not in NOISES[kind]:
        raise DataError(
            f"{stream.where or 'stream'}: {kind} noise is for {' and '.join(NOISES[kind])}, but the stream "
            f"is {stream.kind}. Choose another noise, or leave the stream out."
        )
    if not np.isfinite(level_db):
        raise ConfigError(f"noise level {level_db} dB; expected a finite number.")
    seed = int(rng.integers(2**63)) if isinstance(rng, np.random.Generator) else int(rng)
    if stream.kind == "frames":
        return replace(stream, source=_NoisyFrames(stream.source, seed, level_db))
    return replace(stream, source=_Noisy(stream, _maker(stream, kind, seed, others), level_db))


def _maker(stream: Stream, kind: str, seed: int, others: Sequence[Stream]) -> _Noise:
    if kind == "babble":
        return _Babble(stream, seed, others)
    width = int(np.prod(stream.source.shape, dtype=int))
    return _White(seed, width) if kind == "white" else _Pink(seed, width)


def _generator(seed: int, block: int) -> np.random.Generator:
    """Numbers that depend on the seed and the block's number (-1 upwards) alone."""
    return np.random.Generator(np.random.Philox(key=seed % 2**64, counter=[0, 0, 0, block + 1]))


class _Noise(ABC):
    """Endless noise of any power by index, [hi - lo, width or 1]."""

    @abstractmethod
    def at(self, lo: int, hi: int) -> Floats: ...


class _Blocks(_Noise):
    """Noise that is made a whole block at a time, so that any way of reading gives the same bits."""

    def __init__(self, seed: int, width: int) -> None:
        self.seed, self.width = seed, width

    @abstractmethod
    def block(self, number: int) -> Floats:
        """[BLOCK, width]."""

    def at(self, lo: int, hi: int) -> Floats:
        numbers = range(lo // BLOCK, max(-(-hi // BLOCK), lo // BLOCK + 1))
        start = numbers[0] * BLOCK
        return np.concatenate([self.block(b) for b in numbers])[lo - start : hi - start]


class _White(_Blocks):
    def block(self, number: int) -> Floats:
        return _generator(self.seed, number).standard_normal((BLOCK, self.width))


class _Pink(_White):
    """White noise through a filter whose power falls as 1/f (Kasdin 1995, eq. 104, alpha = 1)."""

    @cached_property
    def taps(self) -> Floats:
        k = np.arange(1, BLOCK)
        return np.concatenate([[1.0], np.cumprod((k - 0.5) / k)])[:, None]

    def block(self, number: int) -> Floats:
        both = np.concatenate([super().block(number - 1), super().block(number)])
        made: Floats = oaconvolve(both, self.taps, axes=0)[BLOCK : 2 * BLOCK]
        return made


class _Babble(_Noise):
    """Other waveforms at equal power, each looped from a place of its own."""

    def __init__(self, stream: Stream, seed: int, others: Sequence[Stream]) -> None:
        wrong = [o.where or f"voice {i}" for i, o in enumerate(others) if o.kind != "waveform" or not len(o)]
        if wrong or not others:
            raise DataError(
                f"{stream.where or 'stream'}: babble needs one or more other waveforms that are not empty; "
                f"got {', '.join(wrong) or 'none'}. Give others=."
            )
        self.where = stream.where or "stream"
        places = _generator(seed, 0).random(len(others))
        self._voices = [_Voice(o, _ratio(o, stream), float(p)) for o, p in zip(others, places)]

    @cached_property
    def voices(self) -> list[tuple[_Voice, float]]:
        """The voices that sound, and the gain that brings each to power 1."""
        loud = [(v, p) for v in self._voices if (p := v.power) > 0]
        if not loud:
            raise DataError(f"{self.where}: all {len(self._voices)} voices of the babble are silent. Give others.")
        return [(v, float(p**-0.5)) for v, p in loud]

    def at(self, lo: int, hi: int) -> Floats:
        total: Floats = np.sum([gain * voice.at(lo, hi) for voice, gain in self.voices], axis=0)
        return total[:, None]


def _ratio(other: Stream, stream: Stream) -> float:
    """Observations of the other for each one of the stream."""
    a, b = other.clock, stream.clock
    return float(a.rate / b.rate) if isinstance(a, Grid) and isinstance(b, Grid) else 1.0


@dataclass(frozen=True)
class _Voice:
    """A waveform mixed down to one channel, looped from a place within 0..1 of it."""

    stream: Stream
    ratio: float
    place: float

    @cached_property
    def power(self) -> float:
        return float(sum((mono**2).sum() for mono in map(_mono, self.stream.blocks(16 * BLOCK))) / len(self.stream))

    @cached_property
    def held(self) -> Floats | None:
        """All of it where it is short (a minute of speech), since it is read again and again."""
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
        breaks = np.flatnonzero(np.diff(index) < 0) + 1
        runs = np.split(index, breaks)
        return np.concatenate([_mono(self.stream[int(r[0]) : int(r[-1]) + 1])[r - r[0]] for r in runs if len(r)])


def _mono(stream: Stream) -> Floats:
    values = _floats(stream.read())
    return np.asarray(np.nan_to_num(values.mean(1)), np.float64)


def _floats(values: NDArray[Any]) -> Floats:
    """[n, everything else], float64."""
    return np.asarray(values, np.float64).reshape(len(values), int(np.prod(values.shape[1:], dtype=int)))


class _Noisy:
    """A source with noise on it; the gains need one pass over the view, made at the first read."""

    def __init__(self, stream: Stream, noise: _Noise, level_db: float) -> None:
        self.stream, self.noise, self.level_db = stream, noise, level_db
        self.shape = stream.source.shape

    @cached_property
    def gains(self) -> Floats:
        """Factor on the noise, a channel ([width]) or for all ([1])."""
        together = self.stream.kind == "waveform"
        signal, noise = _Power(centred=not together), _Power(centred=False)
        for lo, block in self._blocks():
            values = _floats(block)
            made = np.broadcast_to(self.noise.at(lo, lo + len(values)), values.shape)
            signal.add(values)
            noise.add(np.where(np.isfinite(values), made, np.nan))
        wanted, got = signal.powers(together) * 10 ** (-self.level_db / 10), noise.powers(together)
        return np.sqrt(np.divide(wanted, got, out=np.zeros_like(got), where=got > 0))

    def _blocks(self) -> Iterator[tuple[int, NDArray[Any]]]:
        for view in self.stream.blocks(16 * BLOCK):
            yield view.first, view.read()

    def read(self, lo: int, hi: int) -> NDArray[Any]:
        values = self.stream.source.read(lo, hi)
        kind = values.dtype if values.dtype.kind == "f" else np.dtype(np.float32)
        noisy = _floats(values) + self.gains * self.noise.at(lo, hi)[: len(values)]
        return noisy.reshape(values.shape).astype(kind)


class _Power:
    """Mean square (or variance) a channel, gathered block by block losing no digits (Chan et al. 1983)."""

    def __init__(self, *, centred: bool) -> None:
        self.centred = centred
        self.count, self.mean, self.total = np.zeros(1), np.zeros(1), np.zeros(1)

    def add(self, values: Floats) -> None:
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
        """[width], or [1] over all channels together."""
        if together:
            return np.atleast_1d(self.total.sum() / max(float(self.count.sum()), 1.0))
        return self.total / np.maximum(self.count, 1)


@dataclass(frozen=True)
class _NoisyFrames:
    """Pictures with Gaussian noise on every pixel, each by its own number: no pass over the film."""

    inner: Source
    seed: int
    level_db: float

    @property
    def shape(self) -> tuple[int, ...]:
        return self.inner.shape

    def read(self, lo: int, hi: int) -> NDArray[Any]:
        values = self.inner.read(lo, hi)
        noisy = [self._one(picture, lo + i) for i, picture in enumerate(values)]
        return np.stack(noisy) if noisy else values

    def _one(self, picture: NDArray[Any], number: int) -> NDArray[Any]:
        made = _generator(self.seed, number).standard_normal(picture.shape, np.float32)
        power = float(np.nanvar(picture, dtype=np.float64)) if np.isfinite(picture).any() else 0.0
        got = max(float((made.astype(np.float64) ** 2).mean()), 1e-30)
        noisy: NDArray[Any] = picture + np.sqrt(power * 10 ** (-self.level_db / 10) / got) * made
        if picture.dtype.kind in "iu":
            limits = np.iinfo(picture.dtype)
            noisy = np.clip(np.rint(noisy), limits.min, limits.max)
        result: NDArray[Any] = noisy.astype(picture.dtype)
        return result
