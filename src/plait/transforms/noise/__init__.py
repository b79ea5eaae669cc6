"""Noise on raw streams at an exact level, to test and train robustness. One file per family.

A noise is a part: a concrete subclass of `Noise` in this package is found by its name. Training copies
(``augment.noise``) and evaluation (``evaluate.noise``) make it by the same call, `add_noise`.

Nothing is decoded until a noisy stream is read. The noise of observation i depends only on the seed, on i and on the
view to which it was added (random numbers come from a counter-based generator, Philox, in blocks). So two reads agree,
and a cut of the noisy stream is the noisy cut.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.core.parts import Spec, build, find, options_of, split_spec
from plait.streams.stream import Stream

__all__ = ["BLOCK", "Noise", "add_noise", "generator", "noise_named", "noise_of", "runs"]

BLOCK = 4096
"""Observations per counter of the generator; each frame has its own, because frames are large."""


class Noise(ABC):
    """Stream -> noisy stream, lazily. Options are keyword-only arguments of ``__init__``, except for the level."""

    kinds: ClassVar[tuple[str, ...]]
    """Kinds of stream to which the noise can be added (keys of `plait.streams.stream.KINDS`)."""

    axis: ClassVar[str]
    """What the level measures, with its unit, as the label of a plot's axis."""

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    """The lowest and the highest level; levels must be finite."""

    levels: ClassVar[tuple[float, ...]] = (0.1, 0.3, 0.6)
    """Levels that `plait evaluate --corruptions` tries, from mild to strong; empty: it is not tried."""

    rising: ClassVar[bool] = True
    """Whether a higher level is worse; False for signal over noise."""

    interferers: ClassVar[bool] = False
    """Whether the noise is made of other recordings' streams."""

    @abstractmethod
    def apply(self, stream: Stream, level: float, seed: int, others: Sequence[Stream]) -> Stream:
        """The stream at this level of noise.

        Raises:
            DataError: the noise cannot be added to a stream of this rate or size.
        """

    def check(self, level: float, where: str) -> None:
        """Refuse an invalid level.

        Raises:
            ConfigError: the level is not a finite number within `bounds`.
        """
        low, high = self.bounds
        if not (math.isfinite(level) and low <= level <= high):
            span = "a finite number" if math.isinf(low) else f"a finite number from {low:g} to {high:g}"
            raise ConfigError(f"{where}: level {level}; expected {span} ({self.axis}).")


def noise_of(kind: Spec, where: str = "noise") -> Noise:
    """The noise that a spec names: a name, or a mapping of its name and options.

    Raises:
        ConfigError: there is no such noise, or it has no such option.

    >>> noise_of({"name": "coloured", "exponent": 2}).axis
    'signal over noise, dB'
    """
    return build(Noise, kind, where=where)


def noise_named(kind: Spec) -> tuple[str, object]:
    """A noise as text, and as the tag that identifies it in a store, with all its options.

    >>> noise_named("babble"), noise_named({"name": "coloured", "exponent": 2})[0]
    (('babble', 'babble'), 'coloured (exponent 2)')
    """
    name, given = split_spec(kind, "noise")
    every = options_of(find(Noise, kind, "noise")[0])
    text = ", ".join(f"{key} {value}" for key, value in given.items())
    return f"{name} ({text})" if text else name, {"name": name, **every, **given} if every else name


def add_noise(
    stream: Stream, kind: Spec, level: float, rng: int | np.random.Generator, others: Sequence[Stream] = ()
) -> Stream:
    """The stream with noise of some kind at an exact level; lazy. Gaps (NaN) stay gaps.

    ======================================  =========================  =============================================
    kind                                    streams                    level
    ======================================  =========================  =============================================
    babble                                  waveform                   dB of signal over noise
    white, pink, brown, coloured, hum       waveform, series, pose     dB (white: frames too)
    impulse                                 all but words              share of values, or pixels, that are extreme
    blur                                    frames                     standard deviation of the Gaussian, pixels
    occlusion                               frames                     share of the picture that is covered
    lighting                                frames                     change of contrast and brightness, 0 to 1
    framing                                 frames                     shift, turn and zoom of the camera, 0 to 1
    frame_drop                              frames, series, pose       share of observations lost
    dropout                                 series, pose, waveform     share of observations that become NaN
    jitter                                  all but waveform           standard deviation of the times, seconds
    typo                                    words                      share of letters and digits mistyped
    word_errors                             words                      share of words that are wrong
    ======================================  =========================  =============================================

    Args:
        stream: what to disturb.
        kind: the noise's name, or a mapping of its name and options; see the classes of this package.
        level: level in the unit of the kind.
        rng: a seed, or a generator from which a seed is drawn now.
        others: the interferers of a babble: other recordings' streams.

    Raises:
        ConfigError: no such noise, or no such level of it.
        DataError: the noise is not for this kind of stream, or all interferers of a babble are silent.

    >>> tone = Stream.of(np.sin(np.arange(1000.0)), rate=100)
    >>> noise = add_noise(tone, "white", 10.0, 0).read() - tone.read()
    >>> round(float(10 * np.log10(tone.read().var() / (noise**2).mean())), 6)
    10.0
    """
    noise, name = noise_of(kind), kind["name"] if isinstance(kind, Mapping) else kind
    if stream.kind not in noise.kinds:
        raise DataError(
            f"{stream.where or 'stream'}: {name} noise is for {' and '.join(noise.kinds)}, but the stream "
            f"is {stream.kind}. Choose another noise, or leave the stream out."
        )
    noise.check(level, f"noise {name!r}")
    seed = int(rng.integers(2**63)) if isinstance(rng, np.random.Generator) else int(rng)
    return noise.apply(stream, float(level), seed, others)


def generator(seed: int, block: int) -> np.random.Generator:
    """A generator that depends only on the seed and the block's number (-1 upwards)."""
    # The block is the highest word of the counter, so that no two blocks' numbers overlap.
    return np.random.Generator(np.random.Philox(key=seed % 2**64, counter=[0, 0, 0, block + 1]))


def runs(n: int, share: float, length: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Separate random runs over n observations that contain exactly ``round(share * n)`` of them.

    Args:
        length: observations per run, as closely as the exact share allows.

    Returns:
        (first, past the last) observation of each run, in order.

    >>> first, last = runs(100, 0.2, 5, seed=1)
    >>> len(first), int((last - first).sum()), bool((first[1:] > last[:-1]).all())
    (4, 20, True)
    """
    total = round(share * n)
    free = n - total
    count = min(max(round(total / max(length, 1.0)), 1), max(total, 0), free + 1)
    if count < 1:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    # Distinct places among the free observations: runs inserted there can neither overlap nor touch.
    places = np.sort(generator(seed, 0).choice(free + 1, count, replace=False, shuffle=False))
    ends = np.cumsum(np.full(count, total // count) + (np.arange(count) < total % count))
    lengths = np.diff(ends, prepend=0)
    first = (places + ends - lengths).astype(np.int64)
    return first, first + lengths
