"""Voice activity detection: two detectors, causal and in constant memory, and intervals of speech."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.core.parts import suggest
from plait.segment.silero import RATE, STEP, Silero
from plait.streams.clock import Grid
from plait.streams.stream import Stream

__all__ = ["METHODS", "find_speech", "speech_probability"]

Array = NDArray[np.float64]
Sound = NDArray[np.float32]
Pieces = Iterator[Sound]

BLOCK = 1 << 18
"""Samples read at a time."""

WINDOW, HOP = 0.032, 0.010
"""Window and hop of the spectrum, seconds."""

LOW, HIGH = 80.0, 4000.0
"""Frequency band of speech, Hz."""

FLOOR = 10**-3.4
"""Least noise, as a share of the loudest of the last seconds: nobody speaks more softly than this."""

FORGET = math.exp(-HOP / 8.0)
"""Decay of that loudness per step: it halves in 5.5 s."""

LATE = 0.03
"""Delay of the decisions in seconds, measured on GRID and FSDD; intervals are moved back by it."""


def speech_probability(stream: Stream, *, method: str = "energy") -> tuple[NDArray[np.float32], Grid]:
    """Probability of speech [n] and the clock of its windows' middles; causal up to the end of each window.

    ``energy``: the likelihood ratio of Sohn, Kim and Sung, "A statistical model-based voice activity detection", IEEE
    Signal Processing Letters 1999 (decision-directed prior, first-order Markov hang-over run forwards), 80 to 4000 Hz,
    over noise followed as in Gerkmann and Hendriks, "Unbiased MMSE-based noise power estimation", IEEE TASLP 2012.
    Departures: a noise floor 34 dB below the recent maximum, so that breath in a quiet room is not speech; the ratio's
    offset and slope and the transition probabilities were chosen on GRID and FSDD. Any rate; 100 values per second.

    ``silero``: the packaged network (extra `offline-models`; see `plait.segment.silero`), at 16 kHz; 31.25 values per
    second.

    Raises:
        ConfigError: no such method. MissingExtra: the network's package is not installed.
        DataError: the stream is not sound on a regular clock, or its rate is below 4000 Hz.

    >>> rng = np.random.default_rng(0)
    >>> sound = np.where(np.arange(32000) // 8000 % 2, np.sin(np.arange(32000) / 8), 0) + rng.normal(0, 0.01, 32000)
    >>> values, clock = speech_probability(Stream.of(sound, rate=16000, kind="waveform"))
    >>> (values[clock.window(0.7, 0.9)] > 0.5).all(), (values[clock.window(0.1, 0.4)] > 0.5).any()
    (np.True_, np.False_)
    """
    detect = _checked(stream, method)
    parts, step, middle = detect(stream)
    values = np.concatenate([np.zeros(0, np.float32), *parts])
    return values, _clock(stream, step, middle, len(values))


def find_speech(
    stream: Stream, *, method: str = "energy", threshold: float = 0.5, gap: float = 0.15, least: float = 0.1
) -> list[tuple[float, float]]:
    """Intervals of speech (start, stop), seconds, in order.

    Args:
        stream: a waveform of any number of channels (their mean is used).
        method: see `speech_probability`.
        threshold: probability at which speech begins; it ends 0.15 lower.
        gap: pauses shorter than this are filled, seconds.
        least: speech shorter than this is left out, seconds.

    Raises:
        As `speech_probability`.
    """
    detect = _checked(stream, method)
    if not (0 < threshold < 1 and gap >= 0 and least >= 0):
        raise ConfigError(f"speech: threshold {threshold}, gap {gap}, least {least}; expected 0 to 1, and 0 or more.")
    parts, step, middle = detect(stream)
    clock = _clock(stream, step, middle, 1)
    width = 1 / float(clock.rate)
    found: list[tuple[float, float]] = []
    for first, last in _runs(parts, threshold):
        start = clock.start + (first - 0.5) * width - LATE
        stop = clock.start + (last + 0.5) * width - LATE
        if found and start - found[-1][1] < gap:
            start = found.pop()[0]
        # Dropped only when the next run is too far away to be joined to it.
        elif found and found[-1][1] - found[-1][0] < least:
            found.pop()
        found.append((start, stop))
    low, high = stream.clock.start, stream.clock.stop
    return [(max(a, low), min(b, high)) for a, b in found if b - a >= least]


def _runs(parts: Pieces, threshold: float) -> Iterator[tuple[int, int]]:
    """First and last index of each run of speech, with hysteresis."""
    at, begun = 0, -1
    for part in parts:
        for value in part.tolist():
            if begun < 0 and value >= threshold:
                begun = at
            elif begun >= 0 and value < threshold - 0.15:
                yield begun, at - 1
                begun = -1
            at += 1
    if begun >= 0:
        yield begun, at - 1


def _checked(stream: Stream, method: str) -> Callable[[Stream], tuple[Pieces, Fraction, Fraction]]:
    if method not in METHODS:
        raise ConfigError(f"speech.method: there is no method {method!r}. {suggest(method, METHODS)}")
    if stream.kind != "waveform" or not isinstance(stream.clock, Grid):
        raise DataError(f"{stream.where or 'stream'}: speech needs sound, but the stream is {stream.kind}.")
    if stream.clock.rate < 4000:
        raise DataError(
            f"{stream.where or 'stream'}: {float(stream.clock.rate):g} samples per second; speech needs 4000 or more."
        )
    return METHODS[method]


def _clock(stream: Stream, step: Fraction, middle: Fraction, n: int) -> Grid:
    """The clock of values ``step`` samples apart, the first at ``middle`` samples."""
    own = stream.clock
    if not isinstance(own, Grid):
        raise DataError(f"{stream.where or 'stream'}: sound needs a regular clock.")
    return Grid(own.start_exact + middle / own.rate, own.rate / step, n)


def _sound(stream: Stream) -> Pieces:
    """The mean of the channels, block by block; NaN becomes silence."""
    for block in stream.blocks(BLOCK):
        values = block.read().astype(np.float32, copy=False)
        yield np.nan_to_num(values.reshape(len(values), -1).mean(1), posinf=0.0, neginf=0.0)


def _by_energy(stream: Stream) -> tuple[Pieces, Fraction, Fraction]:
    rate = float(stream.clock.rate) if isinstance(stream.clock, Grid) else 0.0
    size, hop = round(WINDOW * rate), round(HOP * rate)
    return _ratios(_spectra(_sound(stream), size, hop, rate)), Fraction(hop), Fraction(size - 1, 2)


def _spectra(pieces: Pieces, size: int, hop: int, rate: float) -> Iterator[Array]:
    """Power [m, bins] of the windows that each piece completes."""
    from scipy.fft import rfft

    window = np.hanning(size + 2)[1:-1].astype(np.float32)
    hertz = np.arange(size // 2 + 1) * rate / size
    heard = (hertz >= LOW) & (hertz <= min(HIGH, rate / 2 - 1))
    rest = np.zeros(0, np.float32)
    for piece in pieces:
        rest = np.concatenate([rest, piece])
        count = (len(rest) - size) // hop + 1
        # In parts, so that windows that overlap threefold do not multiply the memory of a block.
        for lo in range(0, max(count, 0), 2048):
            part = rest[lo * hop : (min(lo + 2048, count) - 1) * hop + size]
            frames = np.lib.stride_tricks.sliding_window_view(part, size)[::hop]
            yield (np.abs(rfft(frames * window, axis=1)[:, heard]) ** 2 / float((window**2).sum())).astype(np.float64)
        rest = rest[max(count, 0) * hop :]


def _ratios(spectra: Iterator[Array]) -> Pieces:
    """Probabilities from powers, step by step; see `speech_probability`."""
    state: _Statistics | None = None
    for powers in spectra:
        if state is None:
            state = _Statistics(powers[0])
        yield np.array([state.step(power) for power in powers], np.float32)


class _Statistics:
    """State after each window: noise, prior, and the Markov chain of speech and silence."""

    XI = 10**1.5  # speech is taken to be 15 dB over noise when noise is followed
    SLOPE, OFFSET = 2.0, 0.2  # of the mean log likelihood ratio
    BEGIN, END = 0.05, 0.02  # chances of a change in one step

    def __init__(self, first: Array) -> None:
        self.noise, self.clean = _levelled(first), np.zeros(len(first))
        self.present, self.loud, self.speech = np.full(len(first), 0.5), 1e-12, 0.1
        self.seen = 0

    def step(self, power: Array) -> float:
        self.loud = max(float(power.mean()), self.loud * FORGET)
        floor = FLOOR * self.loud
        noise = self.noise + floor
        ratio = (power + floor) / noise
        prior = np.maximum(0.95 * self.clean / noise + 0.05 * np.maximum(ratio - 1, 0), 10**-2.5)
        gain = prior / (1 + prior)
        evidence = float((ratio * gain - np.log1p(prior)).mean())
        # The decision-directed prior: what was estimated to be speech in the last window.
        self.clean = gain * gain * (power + floor)
        self._follow(power)
        chance = self.speech * (1 - self.END) + (1 - self.speech) * self.BEGIN
        # One window's evidence is bounded, so that a click cannot switch the state for long.
        odds = chance / (1 - chance) * math.exp(min(max(self.SLOPE * (evidence - self.OFFSET), -8.0), 8.0))
        self.speech = odds / (1 + odds)
        return self.speech

    def _follow(self, power: Array) -> None:
        """Update the noise where speech is unlikely; in the first eight windows it is their smoothed mean."""
        self.seen += 1
        if self.seen <= 8:
            self.noise += (_levelled(power) - self.noise) / self.seen
            return
        ratio = np.minimum(power / np.maximum(self.noise, 1e-30), 1e6)
        here = 1 / (1 + (1 + self.XI) * np.exp(-np.minimum(ratio * self.XI / (1 + self.XI), 200.0)))
        self.present += 0.1 * (here - self.present)
        # Else noise that rises for good would count as speech for ever (the paper's safeguard against stagnation).
        here = np.where(self.present > 0.99, np.minimum(here, 0.99), here)
        self.noise += 0.2 * (1 - here) * (power - self.noise)


def _levelled(power: Array) -> Array:
    """The mean over neighbouring frequencies, because one window's power is too ragged an estimate of noise."""
    from scipy.ndimage import uniform_filter1d

    return np.asarray(uniform_filter1d(power, 15, mode="nearest"), np.float64)


def _by_network(stream: Stream) -> tuple[Pieces, Fraction, Fraction]:
    rate = stream.clock.rate if isinstance(stream.clock, Grid) else Fraction(RATE)
    step = rate * STEP / RATE
    return _network(stream, float(rate)), step, step / 2


def _network(stream: Stream, rate: float) -> Pieces:
    import soxr

    network = Silero()
    rest = np.zeros(0, np.float32)
    # A streaming resampler keeps its filter's state, so that pieces join without clicks.
    change: Any = None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, dtype="float32")
    total, done = len(stream), 0
    for piece in _sound(stream):
        done += len(piece)
        new = piece if change is None else change.resample_chunk(piece, last=done >= total)
        rest = np.concatenate([rest, new])
        whole = len(rest) // STEP * STEP
        yield network(rest[:whole])
        rest = rest[whole:]


METHODS: dict[str, Callable[[Stream], tuple[Pieces, Fraction, Fraction]]] = {
    "energy": _by_energy,
    "silero": _by_network,
}
"""Detectors: a stream to its probabilities piece by piece, their distance in samples, and the place of the first."""
