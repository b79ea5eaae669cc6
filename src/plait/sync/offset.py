"""By how much two signals are displaced: normalised cross-correlation, wide and coarse, then fine in windows.

A lag is *seconds of x minus seconds of y at the same event*: ``x(t + lag) ~ y(t)``. With clocks that drift, the
lag changes along the recording, so windows are correlated one by one and their correlations summed along
straight lines ``lag = offset + drift * (t - pivot)``; the best line wins (a filter matched to both at once).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from plait.sync.signals import RATE, Activity

__all__ = ["Correlations", "Lags", "Peak", "best_line", "correlations", "local_lags"]

Array = NDArray[np.float64]

APART = 0.1
"""Peaks nearer to one another than this many seconds count as one."""


@dataclass(frozen=True)
class Correlations:
    """Windows of y against x at every lag.

    Attributes:
        times: [w], seconds of y at the windows' middles.
        product: [w, lags], sums of products; the middle column is lag 0, columns 1 / `RATE` apart.
        energy: [w, lags], sums of squares of x under the window.
        own: [w], sums of squares of y in the window.
        common: [w, lags], seconds in which both are known.
    """

    times: Array
    product: Array
    energy: Array
    own: Array
    common: Array

    @property
    def reach(self) -> int:
        return int(self.product.shape[1] // 2)


@dataclass(frozen=True)
class Peak:
    """The best line: lag ``offset + drift * (t - pivot)`` at second t of y, and how far it stands out.

    ``height`` is in deviations of the scores at all other offsets. ``confidence`` is 1 - p, p being the chance
    that the highest of unrelated peaks exceeds the next one by so much (their upper tail taken as exponential,
    its scale measured on the runners-up). ``likeness`` is the correlation there, of the pair that is most alike.
    """

    offset: float
    drift: float
    pivot: float
    height: float
    confidence: float
    likeness: float

    def at(self, t: Array) -> Array:
        return np.asarray(self.offset + self.drift * (t - self.pivot))


@dataclass(frozen=True)
class Lags:
    """Lags of windows: at ``times`` [n] s of y, ``lags`` [n] s, ``weights`` [n] (inverse variance, scaled)."""

    times: Array
    lags: Array
    weights: Array


def _run(act: Activity, lo: int, hi: int) -> tuple[Array, Array]:
    """Values and knownness at the observations lo..hi counted from second 0; zeros outside."""
    first = round(act.clock.start * RATE)
    values, known = np.zeros(hi - lo), np.zeros(hi - lo)
    a, b = max(lo, first), min(hi, first + len(act.clock))
    if b > a:
        values[a - lo : b - lo] = act.values[a - first : b - first]
        known[a - lo : b - lo] = act.known[a - first : b - first]
    return values, known


def _windows(act: Activity, length: float) -> list[tuple[int, int]]:
    first = round(act.clock.start * RATE)
    count = max(round(len(act.clock) / (length * RATE)), 1)
    edges = np.round(np.linspace(first, first + len(act.clock), count + 1)).astype(int)
    return list(zip(edges[:-1].tolist(), edges[1:].tolist()))


def _sliding(values: Array, size: int) -> Array:
    total = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(total[size:] - total[:-size])


def correlations(x: Activity, y: Activity, max_lag: float, length: float) -> Correlations:
    """Correlate windows of ``length`` seconds of y with x at every lag within ``max_lag`` seconds.

    >>> from plait.streams.stream import Stream
    >>> from plait.sync.signals import activity
    >>> rng = np.random.default_rng(0); taps = np.sort(rng.uniform(1, 19, 40))
    >>> y = activity(Stream.of(["x"] * 40, spans=(taps, taps)))
    >>> x = activity(Stream.of(["x"] * 40, spans=(taps + 0.5, taps + 0.5)))
    >>> got = correlations(x, y, 2.0, 5.0)
    >>> (int(np.argmax(got.product.sum(0))) - got.reach) / RATE
    0.5
    """
    reach = round(max_lag * RATE)
    parts: tuple[list[Array], ...] = ([], [], [])
    times, own = [], []
    for lo, hi in _windows(y, length):
        values, known = _run(y, lo, hi)
        other, other_known = _run(x, lo - reach, hi + reach)
        size = next_fast_len(len(other) + len(values))
        product = irfft(rfft(other, size) * np.conj(rfft(values, size)), size)[: 2 * reach + 1]
        for part, row in zip(
            parts,
            (product, _sliding(other**2, hi - lo), _sliding(other_known, hi - lo) * known.mean() / RATE),
        ):
            part.append(row)
        times.append((lo + hi - 1) / 2 / RATE)
        own.append(float((values**2).sum()))
    product, energy, common = (np.stack(p) for p in parts)
    return Correlations(np.array(times), product, energy, np.array(own), common)


def best_line(pairs: Sequence[Correlations], max_offset: float, max_drift: float, pivot: float) -> Peak:
    """The line that fits all pairs of signals best; ``max_drift`` in seconds per second.

    Each pair's scores are measured in their own deviations and weighted by how far their best stands out.
    Offsets at which less than half of the windows' time is known to both are left out.
    """
    half = max(float(np.abs(p.times - pivot).max()) for p in pairs)
    n = int(np.ceil(max_drift * half / 0.008)) if half > 0 else 0
    drifts = np.linspace(-max_drift, max_drift, 2 * n + 1) if n else np.zeros(1)
    reach = round(max_offset * RATE)
    total, likeness = np.zeros((len(drifts), 2 * reach + 1)), np.zeros((len(drifts), 2 * reach + 1))
    for pair in pairs:
        scores = np.stack([_along(pair, d, pivot, reach) for d in drifts])
        spread = max(float(scores[scores != 0].std()) if (scores != 0).any() else 0.0, 1e-9)
        likeness = np.maximum(likeness, scores)
        total += scores * (max(float(scores.max()) / spread - 2, 0.2) / spread)
    row, column = np.unravel_index(int(np.argmax(total)), total.shape)
    height, confidence = _standing_out(total.max(axis=0), int(column))
    near = likeness[row, max(int(column) - 2, 0) : int(column) + 3]
    offset, drift = (int(column) - reach) / RATE, float(drifts[row])
    return Peak(offset, drift, pivot, height, confidence, float(near.max()))


def _along(pair: Correlations, drift: float, pivot: float, reach: int) -> Array:
    """Normalised correlation summed over the windows along lines of one slope, [2 reach + 1] offsets."""
    shift = np.round(drift * (pair.times - pivot) * RATE).astype(int)
    product, energy, common = np.zeros(2 * reach + 1), np.zeros(2 * reach + 1), np.zeros(2 * reach + 1)
    for i, s in enumerate(np.clip(shift, reach - pair.reach, pair.reach - reach)):
        cut = slice(pair.reach - reach + s, pair.reach + reach + s + 1)
        product += pair.product[i, cut]
        energy += pair.energy[i, cut]
        common += pair.common[i, cut]
    score = product / np.sqrt(np.maximum(energy * pair.own.sum(), 1e-9))
    return np.where(common >= 0.5 * common.max(), score, 0.0)


def _standing_out(scores: Array, best: int, rank: int = 12) -> tuple[float, float]:
    """How far the best offset stands out, in deviations of the rest, and the confidence in it."""
    inner = (scores[1:-1] >= scores[:-2]) & (scores[1:-1] > scores[2:])
    order = [best, *(i for i in 1 + np.flatnonzero(inner)[np.argsort(-scores[1:-1][inner])] if i != best)]
    kept: list[int] = []
    for i in order:
        if all(abs(i - k) > APART * RATE for k in kept):
            kept.append(int(i))
        if len(kept) > rank:
            break
    away = np.abs(np.arange(len(scores)) - best) > APART * RATE
    away &= scores != 0
    if len(kept) < 4 or not away.any():
        return 0.0, 0.0
    height = float((scores[best] - scores[away].mean()) / max(float(scores[away].std()), 1e-9))
    tops = scores[kept]
    tail = max(float(tops[1:-1].mean() - tops[-1]), 1e-9)
    return height, float(1 - np.exp(-max(tops[0] - tops[1], 0) / tail))


def local_lags(x: Activity, y: Activity, guess: Peak, length: float, reach: float) -> Lags:
    """The lag of each window of ``length`` seconds within ``reach`` seconds of the guess.

    The peak is placed to a fraction of a step by a parabola through the best lag and its neighbours. A window
    weighs by its energy, how well it fits and how sharp its peak is (the Cramér-Rao bound of a delay). Windows
    whose best lag lies at the edge of the search say nothing and are left out.
    """
    found: list[tuple[float, float, float]] = []
    span = round(reach * RATE)
    for lo, hi in _windows(y, length):
        values, known = _run(y, lo, hi)
        middle = (lo + hi - 1) / 2 / RATE
        centre = round(float(guess.at(np.array(middle))) * RATE)
        other, other_known = _run(x, lo + centre - span, hi + centre + span)
        own = float((values**2).sum())
        if known.mean() < 0.5 or other_known.mean() < 0.5 or own < 0.02 * len(values):
            continue
        score = np.correlate(other, values, "valid")
        score = score / np.sqrt(np.maximum(_sliding(other**2, len(values)), 0.02 * len(values)) * own)
        place = _peak(score)
        if place is not None:
            at, r, bend = place
            weight = own * bend * r**2 / (1.02 - min(r, 1.0) ** 2)
            moment = float((np.arange(lo, hi) * values**2).sum()) / own / RATE
            found.append((moment, (centre - span + at) / RATE, weight))
    table = np.array(found).reshape(-1, 3)
    return Lags(table[:, 0], table[:, 1], table[:, 2])


def _peak(score: Array) -> tuple[float, float, float] | None:
    """Place, height and curvature of the highest point, or None at an edge or where nothing correlates."""
    i = int(np.argmax(score))
    if i in (0, len(score) - 1) or score[i] <= 0.1:
        return None
    left, top, right = (float(v) for v in score[i - 1 : i + 2])
    bend = 2 * top - left - right
    if bend <= 0:
        return None
    return i + 0.5 * (right - left) / bend, top, bend
