"""Prosody: melody, loudness, voice quality and speaking rate over about a second."""

from __future__ import annotations

from fractions import Fraction
from math import lcm

import numpy as np
from numpy.typing import NDArray

from plait.features.checks import above_zero
from plait.features.pitch import MARGIN, PIECE, piece_of, tracked
from plait.features.series import window_statistics
from plait.features.sound import OfWindows, Spectrum, Wave
from plait.features.voice import ABOUT, cycles, harmonicity, syllable_nuclei
from plait.features.yin import KEPT, Yin, semitones
from plait.streams.clock import Clock, Grid
from plait.streams.stream import Stream

__all__ = ["COLUMNS", "Prosody"]

COLUMNS = (
    *("pitch", "pitch spread", "pitch slope", "level", "level spread", "level slope"),
    *("voiced", "jitter", "shimmer", "harmonicity", "speaking rate"),
)
WINDOW, HOP = 0.06, 0.01
"""Window and hop of the measures that are summarised, seconds; 60 ms and 10 ms, as in eGeMAPS for the voice."""

SYLLABLE, BAND = 0.04, (300.0, 3300.0)
"""Window in seconds and band in Hz of the level that shows syllables: vowels are loud there, hum and hiss are not."""

PROBABLE = 0.1
"""Least probability of voicing for a window's cycles to be measured."""

Track = NDArray[np.float32]


class Prosody(OfWindows):
    """Pitch, level, voicing, jitter, shimmer, harmonicity and speaking rate over ``span`` seconds, [n, 11].

    Columns (`COLUMNS`): mean, standard deviation and slope (per second) of the pitch in semitones above 27.5 Hz and of
    the level in dB re full scale; the share of voiced windows; local jitter (relative to the period); local shimmer
    (dB); harmonics-to-noise ratio (dB); syllable nuclei per second. Pitch and voicing are those of `Pitch`. Measures of
    the voice are NaN where there is none.

    After the frequency and energy parameters of eGeMAPS (Eyben et al., "The Geneva minimalistic acoustic
    parameter set (GeMAPS) for voice research and affective computing", IEEE Trans. Affective Computing 2016).
    Departures: sliding spans instead of whole utterances; the level of the samples, not a perceptual loudness; no
    formants and no spectral slopes (see `SpectralShape`, `Mfcc`); speaking rate by syllables
    (`plait.features.voice.syllable_nuclei`) instead of peaks of loudness.

    Args:
        span: seconds summarised by each row; a shorter sound has one row. step: seconds from row to row.
        low, high: range of the pitch, Hz.
        rate: Hz at which the sound is analysed.

    >>> tone = 0.3 * np.sin(2 * np.pi * 110 * np.arange(48000) / 16000).astype(np.float32)
    >>> values, clock = Prosody()(Stream.of(tone, rate=16000, kind="waveform"))
    >>> values.shape, np.round(values[0, [0, 2, 3, 6]], 1).tolist(), clock.rate
    ((20, 11), [24.0, 0.0, -13.5, 1.0], Fraction(10, 1))
    """

    def __init__(
        self, *, span: float = 1.0, step: float = 0.1, low: float = 60.0, high: float = 500.0, rate: int = 16000
    ) -> None:
        above_zero("prosody", span=span, step=step)
        # At least three periods of the lowest pitch, so that three cycles fit.
        self._front = Yin(rate, max(WINDOW, 3 / low), HOP, low, high)
        super().__init__(self._front)
        self._voice = Spectrum(rate, SYLLABLE, HOP)
        hz = self._voice.frequencies
        self._band = ((hz >= BAND[0]) & (hz <= BAND[1])).astype(np.float32)
        a_second = float(self._front.a_second)
        self._span, self._step = max(round(span * a_second), 2), max(round(step * a_second), 1)
        self.together = lcm(piece_of(self._front), self._step) // self._step  # type: ignore[misc]

    @property
    def receptive_field(self) -> float:
        return super().receptive_field + PIECE + MARGIN + ABOUT + self._span / float(self._front.a_second) / 2

    @property
    def rate(self) -> Fraction | None:
        return self._front.a_second / self._step

    def dim(self, shape: tuple[int, ...]) -> int:
        return len(COLUMNS)

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        values, clock = self._over(stream, 3 * KEPT + 4, self._measures)
        bounds = self._bounds(len(values))
        times = np.arange(len(values)) / float(self._front.a_second)
        pitch, level, tracks, nuclei = self._tracks(values)
        rows = [window_statistics(x.astype(np.float64), times, bounds)[:, [0, 1, 4]] for x in (pitch, level)]
        rows += [window_statistics(x.astype(np.float64), times, bounds)[:, :1] for x in tracks]
        rows.append(self._rate(nuclei, bounds)[:, None])
        out = np.concatenate(rows, 1).astype(np.float32)
        return out, self._clock(clock, bounds)

    def _measures(self, windows: Wave) -> Wave:
        """Candidates, their probabilities and correlations, then level, level of syllables, jitter and shimmer."""
        period, probability, same = self._front.candidates(windows)
        power = np.einsum("ws,ws->w", windows, windows) / windows.shape[1]
        level = np.float32(10) * np.log10(np.maximum(power, np.float32(1e-10)))
        likeliest = np.take_along_axis(period, np.argmax(probability, 1)[:, None], 1)[:, 0]
        jitter, shimmer = cycles(windows, np.where(probability.sum(1) >= PROBABLE, likeliest, np.nan))
        # The shorter window of syllables is centred in the window of the pitch.
        aside = (windows.shape[1] - self._voice.size) // 2
        power = self._voice.power(windows[:, aside : aside + self._voice.size]) @ self._band
        within = np.float32(10) * np.log10(np.maximum(power, np.float32(1e-10)))
        return np.concatenate([period, probability, same, np.stack([level, within, jitter, shimmer], 1)], 1)

    def _tracks(self, values: Wave) -> tuple[Track, Track, list[Track], NDArray[np.int64]]:
        """Per window: pitch, level, (voiced, jitter, shimmer, harmonicity); and the windows of syllable nuclei."""
        period, probability, same = (values[:, k * KEPT : (k + 1) * KEPT] for k in range(3))
        level, within, jitter, shimmer = values[:, 3 * KEPT :].T
        gap = np.isnan(level)
        probability = np.where(gap[:, None], 0, probability)
        which = tracked(self._front, period, probability)
        voiced, at = which >= 0, np.maximum(which, 0)[:, None]
        hz = self._front.rate / np.take_along_axis(period, at, 1)[:, 0]
        pitch = np.where(voiced, semitones(hz.astype(np.float32)), np.nan)
        # Cycles were measured at the likeliest candidate, before the path was known: they count where it took that one.
        measured = voiced & (which == np.argmax(probability, 1))
        harmony = harmonicity(np.take_along_axis(same, at, 1)[:, 0])
        tracks = [
            np.where(gap, np.nan, voiced),
            np.where(measured, jitter, np.nan),
            np.where(measured, shimmer, np.nan),
            np.where(voiced, harmony, np.nan),
        ]
        return pitch, level, tracks, syllable_nuclei(within, voiced, float(self._front.a_second))

    def _bounds(self, n: int) -> NDArray[np.int64]:
        """First and past the last window of each row, [rows, 2]."""
        count = max(1 + (n - self._span) // self._step, min(n, 1))
        first = np.arange(count) * self._step
        return np.stack([first, np.minimum(first + self._span, n)], 1)

    def _rate(self, nuclei: NDArray[np.int64], bounds: NDArray[np.int64]) -> NDArray[np.float64]:
        inside = np.diff(np.searchsorted(nuclei, bounds), axis=1)[:, 0]
        seconds = np.maximum(bounds[:, 1] - bounds[:, 0], 1) / float(self._front.a_second)
        rate: NDArray[np.float64] = inside / seconds
        return rate

    def _clock(self, windows: Clock, bounds: NDArray[np.int64]) -> Grid:
        if not isinstance(windows, Grid) or not len(bounds):
            return Grid(windows.start, self._front.a_second / self._step, 0)
        middle = Fraction(int(bounds[0, 1]) - 1, 2) / windows.rate
        return Grid(windows.start_exact + middle, windows.rate / self._step, len(bounds))
