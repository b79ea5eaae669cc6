"""Sound: silence, holes, and the speech-to-noise ratio."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from plait.quality.signals import Finding, Measure, runs_of
from plait.streams.stream import Stream, Values

__all__ = ["Level", "SpeechToNoise"]

Floats = NDArray[np.float64]

WINDOW = 0.05


def _mono(values: Values) -> Floats:
    """Mean of all channels [n], -1 to 1; NaN stays."""
    scale = -float(np.iinfo(values.dtype).min) if values.dtype.kind == "i" else 1.0
    return np.asarray(values.reshape(len(values), -1).mean(1, dtype=np.float64) / scale)


class Level(Measure):
    """Silence and holes.

    Silence: windows of 50 ms below -60 dB of full scale; bad from 90 %, or for 30 s. Holes: exact zeros for at least
    10 ms within sound, as lost packets leave; bad from 0.1 %.
    """

    kinds = ("waveform",)

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self.size = max(round(WINDOW / self.step), 1) if self.step else 1
        self.rest = np.zeros(0)
        self.silent: list[NDArray[np.bool_]] = []
        self.zeros: list[tuple[int, int]] = []

    def add(self, values: Values, first: int) -> None:
        sound = _mono(values)
        wave = np.concatenate([self.rest, np.nan_to_num(sound)])
        count = len(wave) // self.size
        windows = wave[: count * self.size].reshape(count, self.size)
        self.silent.append((windows**2).mean(1) < 1e-6)
        self.rest = wave[count * self.size :]
        for a, b in zip(*runs_of(sound == 0)):
            if self.zeros and self.zeros[-1][1] == first + a:
                self.zeros[-1] = (self.zeros[-1][0], first + int(b))
            # Single zeros are crossings; the last one of a block may go on in the next.
            elif b - a > 1 or b == len(sound):
                self.zeros.append((first + int(a), first + int(b)))
        keep = round(0.01 / self.step) if self.step else 1
        self.zeros = [z for z in self.zeros if z[1] - z[0] >= keep or z[1] == first + len(sound)]

    def findings(self) -> Iterator[Finding]:
        every = np.concatenate([np.zeros(0, np.bool_), *self.silent])
        first, last = runs_of(every)
        share, at, seconds = 0.0, None, None
        if len(first):
            longest = int((last - first).argmax())
            share, seconds = float(every.mean()), float((last - first)[longest] * self.size * self.step)
            at = self.seconds(int(first[longest] * self.size))
        yield Finding("silent", share, share >= 0.9 or (seconds or 0) >= 30, at, seconds)
        keep = round(0.01 / self.step) if self.step else 1
        holes = [z for z in self.zeros if z[0] > 0 and z[1] < len(self.stream) and z[1] - z[0] >= keep]
        lost = sum(b - a for a, b in holes) / max(len(self.stream), 1)
        worst = max(holes, key=lambda z: z[1] - z[0], default=None)
        place = (self.seconds(worst[0]), (worst[1] - worst[0]) * self.step) if worst else (None, None)
        yield Finding("holes", lost, lost >= 0.001, *place)


class SpeechToNoise(Measure):
    """Speech-to-noise ratio, estimated from the distribution of amplitudes: bad below 10 dB.

    Kim & Stern 2008, "Robust signal-to-noise ratio estimation based on waveform amplitude distribution analysis"
    (Interspeech). It assumes gamma distributed speech amplitudes (shape 0.4) and Gaussian noise, so it is valid for
    speech only, and other voices count as speech.
    """

    kinds = ("waveform",)

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream)
        self.total = self.logs = 0.0
        self.count = 0

    def add(self, values: Values, first: int) -> None:
        size = np.abs(_mono(values))
        # Digital silence has no logarithm, and belongs to neither distribution.
        size = size[size > 1e-9]
        self.total += float(size.sum())
        self.logs += float(np.log(size).sum())
        self.count += len(size)

    def findings(self) -> Iterator[Finding]:
        if self.count < 1 / max(self.step, 1e-9):
            return
        value = math.log(self.total / self.count) - self.logs / self.count
        levels, expected = wada_table()
        ratio = float(np.interp(value, expected, levels))
        yield Finding("speech over noise", ratio, ratio < 10, unit="dB")


@lru_cache(maxsize=1)
def wada_table() -> tuple[Floats, Floats]:
    """Speech-to-noise ratios in dB, and the log of the mean amplitude minus the mean log amplitude for each.

    Computed by summing over equally likely values of both (eq. 7 of the paper, without its closed form).
    """
    from scipy.special import gammaincinv, ndtri

    speech = gammaincinv(0.4, (np.arange(1000) + 0.5) / 1000)
    speech /= math.sqrt(float((speech**2).mean()))
    noise = ndtri((np.arange(200) + 0.5) / 200)
    levels = np.arange(-20.0, 51.0, 2.0)
    found = []
    for level in levels:
        size = np.abs(speech[:, None] + 10 ** (-level / 20) * noise)
        found.append(math.log(float(size.mean())) - float(np.log(size).mean()))
    # Interpolation needs rising values, and the curve is nearly flat at its ends.
    return levels, np.maximum.accumulate(np.array(found))
