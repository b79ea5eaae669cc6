"""Pitch: the fundamental frequency of voices and instruments, and how sure it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plait.features.checks import above_zero, one_of
from plait.features.sound import OfWindows, Wave
from plait.features.tracking import best_path
from plait.features.yin import KEPT, Yin, semitones
from plait.streams.clock import Clock
from plait.streams.stream import Stream

__all__ = ["PIECE", "Pitch", "tracked"]

PIECE, MARGIN = 1.0, 0.5
"""Seconds of the pieces over which a path is sought, and by how much each looks beyond its ends."""

FASTEST = 35.92
"""Octaves a second that pitch can move (Mauch and Dixon's, as in librosa)."""

SWITCH = 0.01
"""Probability, a window, that voicing begins or ends."""

STEPS = 10
"""Pitches a semitone among which a window without voice is indifferent, as in pYIN."""


def tracked(front: Yin, period: Wave, probability: Wave) -> NDArray[np.int64]:
    """Which of the candidates [n, k] of `Yin.candidates` is the pitch of each window; -1: there is none."""
    pitch = semitones((front.rate / period).astype(np.float32))
    pitches = STEPS * 12 * np.log2(front.high / front.low)
    with np.errstate(divide="ignore"):
        weight = np.log(probability)
        none = np.log(np.maximum(1 - probability.sum(1), 1e-6) / pitches)
    a_second = float(front.a_second)
    return best_path(
        pitch,
        weight,
        none.astype(np.float32),
        widest=FASTEST * 12 / a_second / 2,
        switch=SWITCH,
        piece=max(round(PIECE * a_second), 1),
        margin=round(MARGIN * a_second),
    )


class Pitch(OfWindows):
    """Fundamental frequency (NaN without voice) and how probable a voice is, [n, 2].

    ``track``: probabilistic YIN (Mauch and Dixon, ICASSP 2014): candidates of each window and, among them, the
    likeliest path. Departures: the path goes through the candidates themselves rather than steps of a tenth
    of a semitone; it forgets the pitch where there is no voice; and it is sought in pieces of 1 s that look 0.5 s
    beyond their ends, so that the receptive field is bounded. Without ``track``: YIN (de Cheveigne and Kawahara, JASA
    2002), each window by itself; its second column is 1 less the normalised difference, and there is voice where that
    is above 0.5. Times and gaps are those of `LogMel`; a window is ``window`` and the longest period.

    Args:
        track: follow the pitch through time.
        unit: ``semitones`` above 27.5 Hz (A0), or ``hz``.
        low, high: Hz between which it is sought.
        threshold: of YIN's trough, without ``track``.
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
