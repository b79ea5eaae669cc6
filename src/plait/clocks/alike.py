"""Which measures of two streams' activity are most alike, and what their match may be off by as a whole.

However many windows agree, a lag is wrong by as much as one measure peaks later than the other at the same event: a
mouth opens before it is heard, a position is a quarter of a cycle behind its speed. No length of recording shows that.
What it may come to is therefore part of every stated uncertainty, as a systematic error beside the statistical one
(ISO/IEC Guide 98-3, "GUM", 1995, treats it so: a variance of type B).
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

OUT_OF_STEP = 0.15
"""Two standard deviations of the phase, radians, by which two kinds of stream differ in what they share of an event."""

EVENTS = 80
"""For so many independent events counts what two measures have in common, when it is asked which of them is meant."""

POSSIBLE = 0.05
"""A measure so much less probable than the likeliest one is out of the question."""


@dataclass(frozen=True)
class Match:
    """Two signals, one of each stream, and how they match.

    Attributes:
        a, b: the signals.
        together: how they lie when all windows are taken at once.
        bias: what their lag may be off by, seconds (two standard errors), however many windows agree.
        late: by how many seconds the first is known to be late.
        spoken: whether it is words and where there is something to be heard or seen at all.
    """

    a: Run
    b: Run
    together: Together
    bias: float
    late: float = 0.0
    spoken: bool = False


def best_match(x: Activity, y: Activity, guess: Guess) -> Match:
    """The measures of x and y that are most alike near the guess."""
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
    """Its sharp events; of a table other measures too, unless what it is compared with are mere marks."""
    yield sharp(act)
    for name, each in act.others.items():
        if other.kind != "words" and (name != HEARD or other.kind == "waveform"):
            yield Run(round(act.clock.start * RATE), RATE, each, act.known)


def _evidence(match: Together) -> float:
    """Logarithm of the likelihood that two measures are of one thing.

    That of a correlation among normal numbers, -n / 2 log(1 - r²). What is not even about its peak is out of step,
    so only the even part of the correlation counts.
    """
    return float(-EVENTS / 2 * np.log1p(-(min(match.likeness * match.even, 0.999) ** 2)))


def _bias(x: Activity, y: Activity, best: Together, all_of: list[Together]) -> float:
    """What the best measures may be off by, seconds: two standard errors.

    Sound under noise seems to begin 1.5 ms later; pictures say little between two frames. Two kinds of stream that are
    not much alike need not be most lively at the same instant: they differ by a phase. And where other measures are
    about as probable, the truth may lie where these have it.
    """
    least = 0.0015 + 0.05 * max(x.step, y.step)
    apart = _out_of_step(best) if x.kind != y.kind else 0.0
    possible = [each for each in all_of if _evidence(each) > _evidence(best) + np.log(POSSIBLE)]
    other = max((abs(each.off - best.off) for each in possible), default=0.0)
    return float(np.sqrt(least**2 + apart**2 + other**2))


def _out_of_step(match: Together) -> float:
    """By how many seconds two kinds of stream may be out of step: the phase, times what they do not share."""
    if match.likeness <= 0:
        return match.width
    return OUT_OF_STEP * match.width * float(np.sqrt(max(1 - match.likeness**2, 0.0))) / match.likeness


def _late(x: Activity, y: Activity) -> float:
    """By how many seconds the first stream is known to seem later than the second."""
    if "waveform" not in (x.kind, y.kind):
        return 0.0
    late = SPOKEN_LATE if max(x.apart, y.apart) < 0.5 else ALONE_LATE
    return late if x.kind == "waveform" else -late


def _level(x: Activity, y: Activity) -> tuple[Run, Run] | None:
    """Where there is something to be heard or seen, and where there are words."""
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
