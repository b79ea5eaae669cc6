"""The precise lag of each window, once the rough lag is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plait.clocks.offset import Lags

__all__ = ["Guess", "Run", "Together", "local_lags", "pooled"]

Array = NDArray[np.float64]
Guess = Callable[[Array], Array]
"""The lag at seconds of y, roughly."""


@dataclass(frozen=True)
class Run:
    """A signal on a regular clock: observation i at ``(first + i) / rate`` seconds, 0 where unknown."""

    first: int
    rate: int
    values: Array
    known: NDArray[np.bool_]

    def between(self, lo: int, hi: int) -> tuple[Array, Array]:
        """Values and mask of the observations lo..hi, counted from second 0; zeros outside."""
        values, known = np.zeros(hi - lo), np.zeros(hi - lo)
        a, b = max(lo, self.first), min(hi, self.first + len(self.values))
        if b > a:
            values[a - lo : b - lo] = self.values[a - self.first : b - self.first]
            known[a - lo : b - lo] = self.known[a - self.first : b - self.first]
        return values, known


@dataclass(frozen=True)
class _Window:
    """One window of y: its score [2 span + 1] at each lag about ``centre``, its energies and centre of energy."""

    centre: int
    score: Array
    own: float
    other: float
    moment: float


def _windows(x: Run, y: Run, guess: Guess, length: float, span: int) -> Iterator[_Window]:
    """Windows of y that are mostly known, correlated with x at each lag."""
    count = max(round(len(y.values) / (length * y.rate)), 1)
    edges = np.round(np.linspace(y.first, y.first + len(y.values), count + 1)).astype(int)
    for lo, hi in zip(edges[:-1].tolist(), edges[1:].tolist()):
        values, known = y.between(lo, hi)
        centre = round(float(guess(np.array((lo + hi - 1) / 2 / y.rate))) * y.rate)
        other, other_known = x.between(lo + centre - span, hi + centre + span)
        own = float((values**2).sum())
        if known.mean() < 0.5 or other_known.mean() < 0.5 or own < 0.02 * len(values):
            continue
        total = np.concatenate([[0.0], np.cumsum(other**2)])
        # The energy of x under each lag, bounded below: silence there would blow the score up.
        energy = np.maximum(total[len(values) :] - total[: -len(values)], 0.02 * len(values))
        # A window's lag belongs to where its events are, not to its middle: otherwise drift would bias it.
        moment = float((np.arange(lo, hi) * values**2).sum()) / own / y.rate
        # Few lags, so the direct sum is faster than an FFT.
        product = np.correlate(other, values, "valid")
        yield _Window(centre, product / np.sqrt(energy * own), own, float(energy.mean()), moment)


@dataclass(frozen=True)
class Together:
    """The match of all windows at once.

    Attributes:
        off: their distance from the guess, seconds.
        likeness: correlation of the signals there, 0..1.
        width: width of the peak, seconds (square root of its height over its curvature).
        even: symmetry of the correlation about its peak, 0..1: about 1 for two measures of one thing, less where one
            of them is out of phase with the other.
    """

    off: float
    likeness: float
    width: float
    even: float = 1.0


def pooled(x: Run, y: Run, guess: Guess, max_lag: float) -> Together:
    """The lag of all windows together, within ``max_lag`` seconds of the guess.

    >>> rng = np.random.default_rng(0); noise = rng.standard_normal(4000); all_of = np.ones(4000, bool)
    >>> x, y = Run(0, 200, noise, all_of), Run(4, 200, noise, all_of)
    >>> got = pooled(x, y, lambda t: 0 * t, 0.1)
    >>> round(got.off, 3), round(got.likeness, 1)
    (-0.02, 1.0)
    """
    span = round(max_lag * y.rate)
    total, weight = np.zeros(2 * span + 1), 0.0
    for each in _windows(x, y, guess, 5.0, span):
        share = np.sqrt(each.own * each.other)
        total, weight = total + share * each.score, weight + share
    place = _peak(total / weight, 0.0) if weight else None
    if place is None:
        return Together(0.0, 0.0, max_lag)
    at, height, bend = place
    return Together((at - span) / y.rate, height, float(np.sqrt(height / bend)) / y.rate, _even(total, y.rate))


def _even(score: Array, rate: int) -> float:
    """Correlation of a score with its mirror image about the peak, within 0.1 s of it."""
    i = int(np.argmax(score))
    half = min(i, len(score) - 1 - i, round(0.1 * rate))
    near = np.maximum(score[i - half : i + half + 1], 0)
    return float(near @ near[::-1] / max(float(near @ near), 1e-12))


def local_lags(x: Run, y: Run, guess: Guess, length: float, max_lag: float) -> Lags:
    """The lag of each window of ``length`` seconds within ``max_lag`` seconds of the guess.

    A parabola through the best lag and its neighbours places the peak to a fraction of a step. A window's weight
    follows from its energy, its fit and the sharpness of its peak. Windows whose best lag lies at the edge of the
    search are left out.
    """
    span = round(max_lag * y.rate)
    found: list[tuple[float, float, float]] = []
    for each in _windows(x, y, guess, length, span):
        place = _peak(each.score, 0.1)
        if place is not None:
            at, r, bend = place
            # Inverse variance of a delay's Cramér-Rao bound; 1.02 keeps a perfect fit finite.
            weight = each.own * bend * r**2 / (1.02 - min(r, 1.0) ** 2)
            found.append((each.moment, (each.centre - span + at) / y.rate, weight))
    table = np.array(found).reshape(-1, 3)
    return Lags(table[:, 0], table[:, 1], table[:, 2])


def _peak(score: Array, least: float) -> tuple[float, float, float] | None:
    """Place, height and curvature of the maximum, or None at an edge or where nothing correlates."""
    i = int(np.argmax(score))
    if i in (0, len(score) - 1) or score[i] <= least:
        return None
    left, top, right = (float(v) for v in score[i - 1 : i + 2])
    bend = 2 * top - left - right
    if bend <= 0:
        return None
    return i + 0.5 * (right - left) / bend, top, bend
