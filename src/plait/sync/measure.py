"""The lags of two streams along a recording, by the measure that suits them.

Two sounds are compared by their waveforms, words that last by where there is speech at all, and all else by its
sharp events. What a measure is known to be off by, and how well that is known, is stated here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plait.sync.jumps import Path
from plait.sync.local import Run, Together, local_lags, pooled
from plait.sync.offset import Lags
from plait.sync.pieces import fit_curve
from plait.sync.signals import RATE, Activity
from plait.sync.views import COARSE, View
from plait.sync.waveform import samples, waveform_lags

__all__ = ["Measured", "measured", "place_jump"]

Array = NDArray[np.float64]

NEAR = 0.04
"""Windows are searched for their lag within this many seconds of where all of them together lie; speech, which swells
slowly, within twice as many."""

ABOUT = 0.15
"""All windows together are searched within this many seconds of the rough line."""

CLEARLY_ALIKE = 0.45
"""Sharp events that correlate so much are the same events."""

SPOKEN_LATE = 0.034
"""Running speech is loud so many seconds later than its words are marked, in the GRID corpus, whose words are from a
forced alignment: they begin in the quiet of a closed mouth. It is a custom of the marks."""

ALONE_LATE = -0.008
"""The same of words with pauses between them, which are marked by where the sound begins (digits of FSDD)."""

SPOKEN_ABOUT = 0.044
"""How far another corpus's custom may be from that, seconds (two standard errors)."""

SPOKEN_ERROR = 0.010
"""Deviation of one window's lag between speech and words, seconds."""


@dataclass(frozen=True)
class Measured:
    """The lags of two streams.

    Attributes:
        lags: of the windows.
        floor: least deviation that each may have, seconds.
        bias: what all of them may be off by, seconds (two standard errors).
        error: standard error of all windows together, seconds.
    """

    lags: Lags
    floor: float
    bias: float
    error: float = 0.001


def measured(x: Activity, y: Activity, path: Path, scores: Array) -> Measured:
    """The lags of two streams along the path; ``scores`` are those of their views, in deviations of chance."""
    if x.stream is not None and y.stream is not None:
        found = _sounds(x, y, path)
        if found is not None:
            return found
    return _events(x, y, path, float(np.abs(scores).max()))


def _sounds(x: Activity, y: Activity, path: Path) -> Measured | None:
    """Waveforms: short windows within the error of the path, then long ones about what these say."""
    if x.stream is None or y.stream is None:
        return None
    first = waveform_lags(x.stream, y.stream, path.at, 0.75, 64, 0.06)
    lo, hi = y.clock.start, y.clock.stop
    if len(first.times) < 6:
        first = waveform_lags(x.stream, y.stream, path.at, 4.0, 32, 0.06)
    if len(first.times) < 6:
        return None
    jumps = [(a + b) / 2 for a, b, _ in path.jumps]
    rough = fit_curve([first], pivot=(lo + hi) / 2, span=(lo, hi), floors=[1e-4], least=1e-3, jumps=jumps)
    if rough.spread > 0.003:
        return None
    lags = waveform_lags(x.stream, y.stream, rough.at, 2.0, 250, 0.02)
    if len(lags.times) < 0.4 * min(250.0, (hi - lo) / 2.1):
        lags = waveform_lags(x.stream, y.stream, rough.at, 8.0, 120, 0.02)
    return Measured(lags, 3e-5, 1e-4)


def _events(x: Activity, y: Activity, path: Path, score: float) -> Measured:
    """Sharp events, or for words in speech where there is any, if that is more alike."""
    a, b, late, together = _alike(x, y, path)
    span = y.clock.stop - y.clock.start
    length = float(np.clip(span / 6, 8, 20)) if late else _length(span, score)
    lags = local_lags(a, b, lambda t: path.at(t) + together.off, length, 2 * NEAR if late else NEAR)
    error = SPOKEN_ERROR if late else together.width / max(score * np.sqrt(length / span), 1.0)
    error *= min(1.0, 3 / max(len(lags.times), 1))  # many windows show by themselves how far they scatter
    bias = _bias(x, y, together.likeness, bool(late))
    return Measured(replace(lags, lags=lags.lags - late), max(0.001, error), bias, together.width / max(score, 1.0))


def _alike(x: Activity, y: Activity, path: Path) -> tuple[Run, Run, float, Together]:
    """The signals that are most alike, by how many seconds the first's is known to be late, and how they lie."""
    a, b = _sharp(x), _sharp(y)
    together, level = pooled(a, b, path.at, ABOUT), _level(x, y)
    if level is not None and together.likeness < CLEARLY_ALIKE:
        other = pooled(*level, path.at, ABOUT)
        if other.likeness > together.likeness:
            late = SPOKEN_LATE if max(x.apart, y.apart) < 0.5 else ALONE_LATE
            return *level, late if x.kind == "waveform" else -late, other
    return a, b, 0.0, together


def _bias(x: Activity, y: Activity, likeness: float, spoken: bool) -> float:
    """What the measure itself may be off by, seconds, however many windows agree.

    Sound under noise seems to begin 1.5 ms later; pictures say little between two frames. And a mouth, or words, that
    are not much like the sound need not be most lively at the same instant.
    """
    if spoken:
        return SPOKEN_ABOUT
    loosely = "waveform" in (x.kind, y.kind) and ({x.kind, y.kind} & {"frames", "words"})
    least = 0.0015 + 0.05 * max(x.step, y.step)
    return least + (0.010 * float(np.clip((0.6 - likeness) / 0.3, 0, 1)) if loosely else 0.0)


def _length(span: float, score: float) -> float:
    """Windows long enough to tell: as long as it takes to stand out by 6 deviations."""
    usual = float(np.clip(span / 15, 2, 8))
    return float(np.clip(span * (6 / max(score, 1e-6)) ** 2, usual, max(span / 4, 2)))


def _level(x: Activity, y: Activity) -> tuple[Run, Run] | None:
    """Where there is sound, and where there are words."""
    names = {"waveform": "level", "words": "spoken"}
    views = [_view(act, names.get(act.kind, "")) for act in (x, y)]
    if x.kind == y.kind or views[0] is None or views[1] is None:
        return None
    return _plain(views[0]), _plain(views[1])


def _sharp(act: Activity) -> Run:
    return Run(round(act.clock.start * RATE), RATE, act.values, act.known)


def _plain(view: View) -> Run:
    return Run(view.first, COARSE, view.plain, view.known)


def _view(act: Activity, name: str) -> View | None:
    return next((v for v in act.views if v.name == name), None)


def place_jump(x: Activity, y: Activity, early: float, late: float, before: float, after: float) -> float:
    """Where the lag jumps between two seconds of y: up to there the one fits better, from there on the other."""
    start, stop = early - 0.5, late + 0.5
    rate = 8000 if x.stream is not None and y.stream is not None else RATE
    own, one, other = (_stretch(act, start + lag, stop + lag, rate) for act, lag in ((y, 0.0), (x, before), (x, after)))
    gain = np.cumsum(own * (one / max(float(one.std()), 1e-9) - other / max(float(other.std()), 1e-9)))
    return float(np.clip(start + int(np.argmax(gain)) / rate, early, late))


def _stretch(act: Activity, start: float, stop: float, rate: int) -> Array:
    """Its sound, or how lively it is, between two of its seconds."""
    n = int((stop - start) * rate + 1e-6)
    if rate != RATE and act.stream is not None:
        sound = samples(act.stream, start, n + 1, rate)
        return np.diff(sound).astype(np.float64)  # speech is mostly low: differences tell lags apart better
    lo = round(start * RATE)
    return _sharp(act).between(lo, lo + n)[0]
