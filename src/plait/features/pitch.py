"""Pitch: the fundamental frequency of voices and instruments, and its probability."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plait.features.checks import above_zero, one_of
from plait.features.sound import OfWindows, Wave
from plait.features.tracking import best_path
from plait.features.yin import KEPT, Yin, semitones
from plait.streams.clock import Clock
from plait.streams.stream import Stream

__all__ = ["PIECE", "Pitch", "piece_of", "tracked"]

PIECE, MARGIN = 1.0, 0.5
"""Length of the pieces in which paths are searched, and their margin on either side, seconds."""

FASTEST = 35.92
"""Fastest change of pitch, octaves per second (Mauch and Dixon's, as in librosa)."""

SWITCH = 0.01
"""Probability per window that voicing begins or ends."""

STEPS = 10
"""Number of pitches per semitone over which an unvoiced window is uniform, as in pYIN."""


def tracked(front: Yin, period: Wave, probability: Wave) -> NDArray[np.int64]:
    """Index of the pitch of each window among the candidates [n, k] of `Yin.candidates`; -1: unvoiced."""
    pitch = semitones((front.rate / period).astype(np.float32))
    pitches = STEPS * 12 * np.log2(front.high / front.low)
    with np.errstate(divide="ignore"):
        weight = np.log(probability)
        # pYIN spreads the unvoiced probability over all pitches; the one unvoiced state here gets a single pitch's
        # share.
        none = np.log(np.maximum(1 - probability.sum(1), 1e-6) / pitches)
    a_second = float(front.a_second)
    return best_path(
        pitch,
        weight,
        none.astype(np.float32),
        widest=FASTEST * 12 / a_second / 2,
        switch=SWITCH,
        piece=piece_of(front),
        margin=round(MARGIN * a_second),
    )


def piece_of(front: Yin) -> int:
    """Windows of a piece in which paths are searched."""
    return max(round(PIECE * float(front.a_second)), 1)


class Pitch(OfWindows):
    """Fundamental frequency (NaN if unvoiced) and the probability of voicing, [n, 2].

    ``track``: probabilistic YIN (Mauch and Dixon, ICASSP 2014): the most likely path through the candidates of each
    window. Departures: the states are the candidates themselves, not steps of a tenth of a semitone; unvoiced states
    do not remember the pitch; and paths are searched in pieces of 1 s with a margin of 0.5 s, so that the receptive
    field is bounded. Without ``track``: YIN (de Cheveigne and Kawahara, JASA 2002), each window separately; the second
    column is 1 minus the normalised difference, and a window is voiced where that is above 0.5. Times and gaps are
    those of `LogMel`; windows are as long as ``window`` and the longest period together.

    Args:
        track: follow the pitch through time.
        unit: ``semitones`` above 27.5 Hz (A0), or ``hz``.
        low, high: range of the fundamental frequency, Hz.
        threshold: YIN's threshold of a trough, without ``track``.
        rate: Hz at which the sound is analysed; window, hop: seconds.

    >>> tone = np.sin(2 * np.pi * 220 * np.arange(16000) / 16000).astype(np.float32)
    >>> values, clock = Pitch(unit="hz")(Stream.of(tone, rate=16000, kind="waveform"))
    >>> np.round(np.median(values, 0), 1).tolist(), clock.rate
    ([220.0, 1.0], Fraction(100, 1))
    """

    def __init__(
        self,
        *,
        track: bool = True,
        unit: str = "semitones",
        low: float = 60.0,
        high: float = 500.0,
        threshold: float = 0.1,
        rate: int = 16000,
        window: float = 0.03,
        hop: float = 0.01,
    ) -> None:
        one_of("pitch.unit", unit, ("semitones", "hz"))
        above_zero("pitch", threshold=threshold)
        self._front = Yin(rate, window, hop, low, high)
        super().__init__(self._front)
        self._track, self._in_hz, self._threshold = track, unit == "hz", threshold
        if track:
            self.together = piece_of(self._front)  # type: ignore[misc]  # of these options, not of the class

    @property
    def receptive_field(self) -> float:
        return super().receptive_field + (PIECE + MARGIN if self._track else 0.0)

    def dim(self, shape: tuple[int, ...]) -> int:
        return 2

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        period, voiced, clock = self._followed(stream) if self._track else self._by_window(stream)
        hz = (self._front.rate / period).astype(np.float32)
        return np.stack([hz if self._in_hz else semitones(hz), voiced], 1), clock

    def _by_window(self, stream: Stream) -> tuple[Wave, Wave, Clock]:
        def work(windows: Wave) -> Wave:
            return np.stack(self._front.plain(windows, self._threshold)[:2], 1)

        values, clock = self._over(stream, 2, work)
        period, voiced = values.T
        return np.where(voiced > 0.5, period, np.nan), voiced, clock

    def _followed(self, stream: Stream) -> tuple[Wave, Wave, Clock]:
        def work(windows: Wave) -> Wave:
            return np.concatenate(self._front.candidates(windows)[:2], 1)

        values, clock = self._over(stream, 2 * KEPT, work)
        gap = np.isnan(values[:, KEPT])
        period, probability = values[:, :KEPT], np.where(gap[:, None], 0, values[:, KEPT:])
        which = tracked(self._front, period, probability)
        chosen = np.take_along_axis(period, np.maximum(which, 0)[:, None], 1)[:, 0]
        return np.where(which < 0, np.nan, chosen), np.where(gap, np.nan, probability.sum(1)), clock
