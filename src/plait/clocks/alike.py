"""Which measures of two streams' activity match best, and the systematic error of their match.

However many windows agree, a lag is wrong if one measure peaks later than the other at the same event: a mouth opens
before it is heard, a position is a quarter of a cycle behind its speed. A longer recording does not show this error.
It is therefore part of every stated uncertainty, as a systematic error beside the statistical one (a type B variance
of ISO/IEC Guide 98-3, "GUM", 1995).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plait.clocks.local import Guess, Run, Together, pooled
from plait.clocks.rates import HEARD
from plait.clocks.signals import RATE, Activity
from plait.clocks.views import COARSE, View

__all__ = ["Match", "best_match", "sharp"]

Array = NDArray[np.float64]

ABOUT = 0.15
"""The lag of all windows together is searched within this many seconds of the rough line."""

CLEARLY_ALIKE = 0.45
"""Sharp events with at least this correlation are the same events."""

SPOKEN_LATE = 0.034
"""Running speech is loud this many seconds after its words are marked. Measured on the GRID corpus, whose words come
from a forced alignment and begin in the quiet of a closed mouth: a convention of the annotation."""

ALONE_LATE = -0.008
"""The same for words with pauses between them, which are marked where the sound begins (digits of FSDD)."""

SPOKEN_ABOUT = 0.044
"""How far another corpus's convention may differ, seconds (two standard errors)."""

OUT_OF_STEP = 0.15
"""Two standard deviations of the phase difference, radians, between two kinds of stream at the same event."""

EVENTS = 80
"""Number of independent events that a correlation is taken to rest on, when pairs of measures are compared."""

POSSIBLE = 0.05
"""A pair of measures is ruled out below this probability relative to the most likely pair."""


@dataclass(frozen=True)
class Match:
    """Two signals, one of each stream, and how they match.

    Attributes:
        a, b: the signals.
        together: their match over all windows at once.
        bias: systematic error of their lag, seconds (two standard errors), however many windows agree.
        late: known delay of the first signal, seconds.
        spoken: whether it is a match of words with the level of a sound or picture.
    """

    a: Run
    b: Run
    together: Together
    bias: float
    late: float = 0.0
    spoken: bool = False


def best_match(x: Activity, y: Activity, guess: Guess) -> Match:
    """The pair of measures of x and y that matches best near the guess."""
    found = [(a, b, pooled(a, b, guess, ABOUT)) for a in _measures(x, y) for b in _measures(y, x)]
    a, b, together = max(found, key=lambda each: _evidence(each[2]))
    level = _level(x, y)
    if level is not None and together.likeness < CLEARLY_ALIKE:
        other = pooled(*level, guess, ABOUT)
        if other.likeness > together.likeness:
            heard = "waveform" in (x.kind, y.kind)
            bias = SPOKEN_ABOUT if heard else float(np.hypot(SPOKEN_ABOUT, _out_of_step(other)))
            return Match(*level, other, bias, _late(x, y), spoken=True)
    return Match(a, b, together, _bias(x, y, together, [each for _, _, each in found]))


def _measures(act: Activity, other: Activity) -> Iterator[Run]:
    """A stream's sharp events; for a table its other measures too, unless the other stream is words."""
    yield sharp(act)
    for name, each in act.others.items():
        if other.kind != "words" and (name != HEARD or other.kind == "waveform"):
            yield Run(round(act.clock.start * RATE), RATE, each, act.known)


def _evidence(match: Together) -> float:
    """Log-likelihood that two measures show one thing: -n / 2 log(1 - r²), as for correlated normal numbers."""
    # A correlation that is not symmetric about its peak is out of phase, so only the symmetric part counts.
    return float(-EVENTS / 2 * np.log1p(-(min(match.likeness * match.even, 0.999) ** 2)))


def _bias(x: Activity, y: Activity, best: Together, all_of: list[Together]) -> float:
    """Systematic error of the best measures, seconds: two standard errors."""
    # Sound under noise seems to begin 1.5 ms later, and pictures say little between two frames.
    least = 0.0015 + 0.05 * max(x.step, y.step)
    # Two kinds of stream need not be most active at the same instant: they differ by a phase.
    apart = _out_of_step(best) if x.kind != y.kind else 0.0
    # Where other measures are about as probable, the truth may lie at their lag.
    possible = [each for each in all_of if _evidence(each) > _evidence(best) + np.log(POSSIBLE)]
    other = max((abs(each.off - best.off) for each in possible), default=0.0)
    return float(np.sqrt(least**2 + apart**2 + other**2))


def _out_of_step(match: Together) -> float:
    """Possible phase difference of two kinds of stream, seconds; it grows as their correlation falls."""
    if match.likeness <= 0:
        return match.width
    return OUT_OF_STEP * match.width * float(np.sqrt(max(1 - match.likeness**2, 0.0))) / match.likeness


def _late(x: Activity, y: Activity) -> float:
    """Known delay of the first stream against the second, seconds."""
    if "waveform" not in (x.kind, y.kind):
        return 0.0
    late = SPOKEN_LATE if max(x.apart, y.apart) < 0.5 else ALONE_LATE
    return late if x.kind == "waveform" else -late


def _level(x: Activity, y: Activity) -> tuple[Run, Run] | None:
    """The level of the stream that is not words, and the intervals of the words; None unless exactly one is words."""
    if (x.kind == "words") == (y.kind == "words"):
        return None
    views = [_view(act, "spoken" if act.kind == "words" else "level") for act in (x, y)]
    if views[0] is None or views[1] is None:
        return None
    return _plain(views[0]), _plain(views[1])


def sharp(act: Activity) -> Run:
    """A stream's sharp events."""
    return Run(round(act.clock.start * RATE), RATE, act.values, act.known)


def _plain(view: View) -> Run:
    return Run(view.first, COARSE, view.plain, view.known)


def _view(act: Activity, name: str) -> View | None:
    return next((v for v in act.views if v.name == name), None)
