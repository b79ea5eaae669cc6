"""The laws of noises, which make a raw stream worse."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from plait.core.errors import ConfigError
from plait.streams.stream import ArraySource, Stream
from plait.testing.laws import require
from plait.testing.streams import Watched, for_kinds, made_stream, read_alike, same
from plait.transforms.noise import Noise

__all__ = ["check_noise"]


def check_noise(cls: type[Noise], *streams: Stream, **options: object) -> None:
    """Check the laws of a noise.

    Levels (one outside `bounds` is refused; those to be tried are inside); laziness (nothing is read
    before the noisy stream is); shape (kind, type and shape of an observation stay, and no value is infinite); pieces
    (in blocks and in cuts it reads as in one pass); inputs (the stream is not changed); seeds (the same seed gives the
    same noise); gaps (a stream without any observed value stays so); harm (of two levels the one that is worse, as
    ``rising`` says, changes more).

    Args:
        cls: the class, constructed as ``cls(**options)``.
        streams: to test it on; by default a random one of each kind that it accepts.
        options: its options.

    Raises:
        LawBroken: which law, and how.

    >>> from plait.transforms.noise.lost import Dropout
    >>> check_noise(Dropout, seconds=0.2)
    """
    noise = cls(**options)
    _check_levels(cls, noise)
    for stream in for_kinds(cls, streams):
        mild, strong = _levels(noise)
        others = [made_stream(stream.kind, seed) for seed in (1, 2)] if cls.interferers else []
        before = np.array(stream.read())
        watched = Watched(stream.source)
        made = noise.apply(replace(stream, source=watched), strong, 3, others)
        require(watched.reads == 0, cls, "laziness", "it reads the stream before anybody asked")
        _check_shape(cls, stream, made)
        read_alike(cls, made)
        again = cls(**options).apply(stream, strong, 3, others)
        kept = same(again.read(), made.read()) and same(again.clock.times, made.clock.times)
        require(kept, cls, "seeds", "the same seed gives another noise")
        require(same(stream.read(), before), cls, "inputs", "it changes the stream")
        weak = noise.apply(stream, mild, 3, others)
        more, less = _damage(stream, made), _damage(stream, weak)
        told = f"level {strong:g} changes {more:.3g}, and the milder {mild:g} {less:.3g}"
        require(more > less, cls, "harm", told)
        _check_gaps(cls, noise, stream, strong, others)


def _check_levels(cls: type, noise: Noise) -> None:
    low, high = noise.bounds
    inside = all(low <= level <= high for level in noise.levels)
    require(inside, cls, "levels", f"{noise.levels} are to be tried; bounds are {low} to {high}")
    for level in (math.nan, math.inf, low - 1, high + 1):
        try:
            noise.check(level, "noise")
        except ConfigError:
            continue
        require(not math.isfinite(level), cls, "levels", f"{level} is taken; bounds are {low} to {high}")
        require(False, cls, "levels", f"{level} is taken; expected finite levels only")


def _levels(noise: Noise) -> tuple[float, float]:
    """A mild level and a worse one."""
    low, high = noise.bounds
    # An unbounded level is a ratio in decibels: 0 and 20 dB are plainly different.
    if math.isinf(low):
        found = (0.0, 20.0)
    elif math.isinf(high):
        found = (low + 0.05, low + 0.5)
    else:
        found = (low + 0.1 * (high - low), low + 0.6 * (high - low))
    return found if noise.rising else found[::-1]


def _check_shape(cls: type, stream: Stream, made: Stream) -> None:
    values, clean = made.read(), stream.read()
    alike = made.kind == stream.kind and values.shape[1:] == clean.shape[1:] and values.dtype.kind == clean.dtype.kind
    told = f"{made.kind} {values.shape[1:]} {values.dtype}; it was {stream.kind} {clean.shape[1:]} {clean.dtype}"
    require(alike, cls, "shape", told)
    require(values.dtype.kind != "f" or not np.isinf(values).any(), cls, "shape", "values are infinite")


def _check_gaps(cls: type, noise: Noise, stream: Stream, level: float, others: list[Stream]) -> None:
    values = np.array(stream.read())
    if values.dtype.kind == "f":
        nothing = replace(stream, source=ArraySource(np.full_like(values, np.nan)), first=0)
        made = noise.apply(nothing, level, 3, others).read()
        require(bool(np.isnan(made).all()), cls, "gaps", "what was not observed becomes a number")


def _damage(stream: Stream, made: Stream) -> float:
    """Distance of a noisy stream from the clean one: values, lost observations, and times."""
    if len(made) != len(stream):
        return float(abs(len(made) - len(stream)))
    values, clean = made.read(), stream.read()
    moved = float(np.abs(made.clock.times - stream.clock.times).mean())
    if clean.dtype.kind not in "fiub":
        return float((values != clean).mean()) + moved
    apart = np.abs(values.astype(np.float64) - clean.astype(np.float64))
    spread = float(np.nanstd(clean.astype(np.float64))) or 1.0
    # A lost value counts as ten standard deviations: more than noise, and never NaN, which compares with nothing.
    return float(np.nan_to_num(apart, nan=10 * spread).mean()) / spread + moved
