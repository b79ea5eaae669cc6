"""The lags of two streams along a recording, by the measure that suits them.

Two sounds are compared by their waveforms. Other streams are compared by those measures of their activity that match
best (`plait.clocks.alike`, which also states their systematic error).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plait.clocks.alike import best_match, sharp
from plait.clocks.change_points import Path
from plait.clocks.local import local_lags
from plait.clocks.offset import Lags
from plait.clocks.piecewise_linear import fit_piecewise_linear
from plait.clocks.signals import RATE, Activity
from plait.clocks.waveform import samples, waveform_lags

__all__ = ["Measured", "measured", "place_jump"]

Array = NDArray[np.float64]

NEAR = 0.04
"""Each window's lag is searched within this many seconds of the lag of all windows together; speech swells slowly and
gets twice as many."""

SPOKEN_ERROR = 0.010
"""Standard deviation of one window's lag between speech and words, seconds."""


@dataclass(frozen=True)
class Measured:
    """The lags of two streams.

    Attributes:
        lags: of the windows.
        floor: least standard deviation of each lag, seconds.
        bias: systematic error common to all lags, seconds (two standard errors).
        error: standard error of all windows together, seconds.
        off: distance of all windows together from the path, which was found by other measures, seconds.
    """

    lags: Lags
    floor: float
    bias: float
    error: float = 0.001
    off: float = 0.0


def measured(x: Activity, y: Activity, path: Path, scores: Array) -> Measured:
    """The lags of two streams along the path; ``scores`` are z-scores of the correlations of their views."""
    if x.stream is not None and y.stream is not None:
        found = _sounds(x, y, path)
        if found is not None:
            return found
    return _events(x, y, path, float(np.abs(scores).max()))


def _sounds(x: Activity, y: Activity, path: Path) -> Measured | None:
    """Waveforms: short windows within the error of the path, then long windows about the fit to the short ones."""
    if x.stream is None or y.stream is None:
        return None
    first = waveform_lags(x.stream, y.stream, path.at, 0.75, 64, 0.06)
    lo, hi = y.clock.start, y.clock.stop
    if len(first.times) < 6:
        first = waveform_lags(x.stream, y.stream, path.at, 4.0, 32, 0.06)
    if len(first.times) < 6:
        return None
    change_points = [(a + b) / 2 for a, b, _ in path.change_points]
    rough = fit_piecewise_linear(
        [first], pivot=(lo + hi) / 2, span=(lo, hi), floors=[1e-4], least=1e-3, change_points=change_points
    )
    # Two microphones that hear one source agree within a few milliseconds; a wider scatter is chance.
    if rough.spread > 0.003:
        return None
    lags = waveform_lags(x.stream, y.stream, rough.at, 2.0, 250, 0.02)
    # Most short windows failed: longer ones correlate better in noise.
    if len(lags.times) < 0.4 * min(250.0, (hi - lo) / 2.1):
        lags = waveform_lags(x.stream, y.stream, rough.at, 8.0, 120, 0.02)
    return Measured(lags, 3e-5, 1e-4)


def _events(x: Activity, y: Activity, path: Path, score: float) -> Measured:
    """The measures that match best: sharp events, rates of change, or, for words, where there is any speech."""
    match = best_match(x, y, path.at)
    span, together = y.clock.stop - y.clock.start, match.together
    length = float(np.clip(span / 6, 8, 20)) if match.spoken else _length(span, score)
    max_lag = 2 * NEAR if match.spoken else NEAR
    lags = local_lags(match.a, match.b, lambda t: path.at(t) + together.off, length, max_lag)
    error = SPOKEN_ERROR if match.spoken else together.width / max(score * np.sqrt(length / span), 1.0)
    error *= min(1.0, 3 / max(len(lags.times), 1))  # many windows show by themselves how far they scatter
    lags = replace(lags, lags=lags.lags - match.late)
    return Measured(lags, max(0.001, error), match.bias, together.width / max(score, 1.0), together.off - match.late)


def _length(span: float, score: float) -> float:
    """Windows long enough for a peak of 6 standard deviations."""
    usual = float(np.clip(span / 15, 2, 8))
    return float(np.clip(span * (6 / max(score, 1e-6)) ** 2, usual, max(span / 4, 2)))


def place_jump(x: Activity, y: Activity, early: float, late: float, before: float, after: float) -> float:
    """The second of y at which the lag jumps: up to there the lag ``before`` fits better, from there on ``after``."""
    start, stop = early - 0.5, late + 0.5
    rate = 8000 if x.stream is not None and y.stream is not None else RATE
    own, one, other = (_stretch(act, start + lag, stop + lag, rate) for act, lag in ((y, 0.0), (x, before), (x, after)))
    # The sum grows while `before` correlates better and falls after the jump: its maximum is the jump.
    gain = np.cumsum(own * (one / max(float(one.std()), 1e-9) - other / max(float(other.std()), 1e-9)))
    return float(np.clip(start + int(np.argmax(gain)) / rate, early, late))


def _stretch(act: Activity, start: float, stop: float, rate: int) -> Array:
    """The sound of a stream, or its activity, between two seconds."""
    n = int((stop - start) * rate + 1e-6)
    if rate != RATE and act.stream is not None:
        sound = samples(act.stream, start, n + 1, rate)
        return np.diff(sound).astype(np.float64)  # speech is mostly low: differences tell lags apart better
    lo = round(start * RATE)
    return sharp(act).between(lo, lo + n)[0]
