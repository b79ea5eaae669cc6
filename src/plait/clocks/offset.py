"""The coarse, wide search for offset and drift: every view of one device is correlated with every view of the other.

A lag is *seconds of x minus seconds of y at the same event*: ``x(t + lag) ~ y(t)``. If the clocks drift, the lag
changes along the recording. So windows are correlated one by one, and their correlations are summed along straight
lines ``lag = offset + drift * (t - pivot)`` (a filter matched to both at once). The evidence of a pair of views for a
line is a Bayes factor: how much more probable the correlation is if the two share events than if they do not. The
confidence in the best line is its share of the evidence of all lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, next_fast_len, rfft

from plait.clocks.views import COARSE, View

__all__ = ["Correlations", "Lags", "Peak", "best_line", "correlations", "edges_of"]

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

APART = 0.25
"""Lags nearer to one another than this many seconds count as one."""

STRENGTH = 8.0
"""Prior standard deviation of the z-scores where two streams share events."""

TEMPER = 0.9
"""Factor on the evidence, because the views' noise is not quite as simple as assumed."""

USUAL_DRIFT = 200e-6
"""Scale of the Cauchy prior of the drift, seconds per second."""

MOST = 30_000_000
"""Most numbers held at once; a wide search gets fewer, longer windows."""


@dataclass(frozen=True)
class Correlations:
    """Windows of y against x at every lag, for every pair of views.

    Attributes:
        edges: [windows + 1], numbers of y's observations between which the windows lie.
        product: [pairs, windows, lags], sums of products; the middle column is lag 0, columns 1 / `COARSE` apart.
        spread: [pairs, windows, lags], variance of the product if nothing is in common: the geometric mean of the
            product of the energies (too small where both are active at once by chance) and the sum of squared
            products (too large where both are active for the same reason).
        common: [windows, lags], observations known in both.
    """

    edges: Ints
    product: NDArray[np.float32]
    spread: NDArray[np.float32]
    common: NDArray[np.float32]

    @property
    def times(self) -> Array:
        """Middle of each window, seconds of y, [windows]."""
        return np.asarray((self.edges[1:] + self.edges[:-1] - 1) / 2 / COARSE)

    @property
    def max_lag(self) -> int:
        return int(self.product.shape[2] // 2)


@dataclass(frozen=True)
class Peak:
    """The best line: lag ``offset + drift * (t - pivot)`` at second t of y.

    Attributes:
        scores: for each pair of streams [pairs of views], z-scores of the correlations along the line.
        evidence: natural logarithm of the Bayes factor, all pairs together.
        confidence: posterior probability of the line among all lines and none, 0..1.
    """

    offset: float
    drift: float
    pivot: float
    scores: tuple[Array, ...]
    evidence: float
    confidence: float

    def at(self, t: Array | float) -> Array:
        return np.asarray(self.offset + self.drift * (np.asarray(t) - self.pivot))


@dataclass(frozen=True)
class Lags:
    """Lags of windows: at ``times`` [n] s of y, ``lags`` [n] s, ``weights`` [n] (inverse variance, scaled).

    ``pair`` names the two streams, ``'x~y'``.
    """

    times: Array
    lags: Array
    weights: Array
    pair: str = ""


def edges_of(start: float, stop: float, max_lag: float, pairs: int) -> Ints:
    """Windows of 2 to 5 s, or longer where there would be too many, as numbers of observations."""
    first, last = round(start * COARSE), max(round(stop * COARSE), round(start * COARSE) + 1)
    span = (last - first) / COARSE
    most = max(int(MOST / (2 * pairs * (2 * max_lag + 10) * COARSE)), 6)
    count = int(np.clip(span / float(np.clip(span / 12, 2, 5)), 1, min(most, 600)))
    return np.round(np.linspace(first, last, count + 1)).astype(np.int64)


def _windows(values: Array, first: int, edges: Ints, margin: int) -> Array:
    """Values between consecutive edges and ``margin`` more on both sides, zeros outside, [windows, longest]."""
    size = int(np.diff(edges).max()) + 2 * margin
    lo, hi = int(edges[0]) - margin, int(edges[-1]) + margin + size
    line = np.zeros(hi - lo, np.float32)
    a, b = max(lo, first), min(hi, first + len(values))
    if b > a:
        line[a - lo : b - lo] = values[a - first : b - first]
    # All windows get the longest one's size; `_spectra` blanks what lies beyond the shorter ones.
    return np.asarray(np.lib.stride_tricks.sliding_window_view(line, size)[edges[:-1] - edges[0]])


def _spectra(view: View, values: Array, edges: Ints, margin: int, size: int) -> NDArray[np.complex64]:
    cut = _windows(values, view.first, edges, margin)
    if not margin:
        cut = np.where(np.arange(cut.shape[1]) < np.diff(edges)[:, None], cut, np.float32(0))
    return np.asarray(rfft(cut, size, axis=1))


def correlations(xs: Sequence[View], ys: Sequence[View], edges: Ints, max_lag: float) -> Correlations:
    """Correlate windows of every y with every x at every lag within ``max_lag`` seconds.

    >>> from plait.clocks.views import view
    >>> rng = np.random.default_rng(0); t = np.arange(3000) / 50; noise = rng.standard_normal(3100)
    >>> x, y = view("x", t, noise[:3000]), view("y", t, noise[25:3025])
    >>> got = correlations([x], [y], edges_of(0, 60, 2.0, 1), 2.0)
    >>> (int(np.argmax(got.product[0].sum(axis=0))) - got.max_lag) / COARSE
    0.5
    """
    margin = round(max_lag * COARSE)
    size = next_fast_len(2 * int(np.diff(edges).max()) + 2 * margin, real=True)

    def against(a: NDArray[np.complex64], b: NDArray[np.complex64]) -> NDArray[np.float32]:
        return np.asarray(irfft(a * np.conj(b), size, axis=1)[:, : 2 * margin + 1], np.float32)

    long = np.diff(edges)
    wide, short = ([_spectra(v, v.white, edges, m, size) for v in vs] for vs, m in ((xs, margin), (ys, 0)))
    wide2, short2 = ([_spectra(v, v.white**2, edges, m, size) for v in vs] for vs, m in ((xs, margin), (ys, 0)))
    energy = [_under(_windows(v.white**2, v.first, edges, margin), long, margin) for v in xs]
    own = [_under(_windows(v.white**2, v.first, edges, 0), long, 0) / long[:, None] for v in ys]
    both = np.stack([np.maximum(against(a, b), 0) for a, b in product(wide2, short2)])
    seen = [_spectra(v[0], v[0].known.astype(float), edges, m, size) for v, m in ((xs, margin), (ys, 0))]
    return Correlations(
        edges,
        np.stack([against(a, b) for a, b in product(wide, short)]),
        np.sqrt(both * np.stack([a * b for a, b in product(energy, own)])),
        np.maximum(against(seen[0], seen[1]), 0),
    )


def _under(squares: Array, long: Ints, margin: int) -> NDArray[np.float32]:
    """Sums of squares under each window at every lag, [windows, lags]."""
    # In float64: differences of a float32 cumulative sum lose the quiet parts.
    total = np.concatenate([np.zeros((len(squares), 1)), np.cumsum(squares, axis=1, dtype=np.float64)], axis=1)
    at = np.arange(2 * margin + 1)
    return np.asarray(np.take_along_axis(total, at + long[:, None], 1) - total[:, at], np.float32)


def best_line(
    found: Sequence[Correlations], max_offset: float, max_drift: float, pivot: float, aside: Array | None = None
) -> Peak:
    """The line with the most evidence from all pairs of streams; ``max_drift`` in seconds per second.

    Offsets at which less than a quarter of the windows' time is known in both are left out. ``aside`` [windows]
    is the known distance of each window's lag from the line, seconds.
    """
    times = found[0].times
    half = float(np.abs(times - pivot).max())
    # Drifts so fine that the lag at either end of the recording moves by one observation from one to the next.
    n = int(np.ceil(max_drift * half * COARSE)) if half > 0 else 0
    drifts = np.linspace(-max_drift, max_drift, 2 * n + 1) if n else np.zeros(1)
    max_lag = min(round(max_offset * COARSE), found[0].max_lag)
    off = np.zeros(len(times)) if aside is None else aside
    scores = [np.stack([_along(each, d * (times - pivot) + off, max_lag) for d in drifts]) for each in found]
    scores = [each / _chance(each) for each in scores]
    total = np.sum([_evidence(each) for each in scores], axis=0) - np.log1p((drifts / USUAL_DRIFT) ** 2)[:, None]
    row, column = (int(i) for i in np.unravel_index(int(np.argmax(total)), total.shape))
    best = tuple(each[row, :, column] for each in scores)
    offset = (column - max_lag) / COARSE
    return Peak(offset, float(drifts[row]), pivot, best, float(total[row, column]), _share(total, column))


def _along(found: Correlations, lags: Array, max_lag: int) -> Array:
    """z-scores of the correlations summed over the windows, each shifted by its lag, [pairs, offsets]."""
    shift = np.round(lags * COARSE).astype(int)
    total = np.zeros((found.product.shape[0], 2 * max_lag + 1))
    spread, common = np.zeros_like(total), np.zeros(2 * max_lag + 1)
    for i, s in enumerate(np.clip(shift, max_lag - found.max_lag, found.max_lag - max_lag)):
        cut = slice(found.max_lag - max_lag + s, found.max_lag + max_lag + s + 1)
        total += found.product[:, i, cut]
        spread += found.spread[:, i, cut]
        common += found.common[i, cut]
    enough = common >= max(0.25 * float(common.max()), COARSE)
    return np.where(enough & (spread > 0), total / np.sqrt(np.maximum(spread, 1.0)), 0.0)


def _chance(scores: Array) -> Array:
    """Standard deviation of each pair's scores at most lags; at least 1, the theoretical value, [pairs, 1]."""
    some = np.abs(scores).transpose(1, 0, 2).reshape(scores.shape[1], -1)
    # The median ignores the true peak, which a standard deviation would count; 0.6745 is the normal's median |z|.
    typical = np.array([np.median(s[s > 0]) if (s > 0).any() else 1.0 for s in some])
    return np.maximum(typical / 0.6745, 1.0)[:, None]


def _evidence(scores: Array) -> Array:
    """Log Bayes factor that any of the pairs of views has something in common, [drifts, offsets]."""
    gain = STRENGTH**2 / (1 + STRENGTH**2)
    each = TEMPER * 0.5 * gain * scores**2
    top = each.max(axis=1)
    # The mean over pairs: one of them, unknown which, has something in common. `top` keeps exp from overflowing.
    return np.asarray(top + np.log(np.exp(each - top[:, None]).mean(axis=1)) - 0.5 * np.log(1 + STRENGTH**2))


def _share(total: Array, best: int) -> float:
    """Posterior probability of the best line and its neighbours among all lines and none."""
    top = float(total.max())
    # The best drift of each offset: neighbouring drifts are one answer, not rivals.
    each = np.exp(total - top).max(axis=0)
    near = np.abs(np.arange(len(each)) - best) <= APART * COARSE
    # That there is no line at all has evidence 0, and a prior weight of a third of all lines.
    rest = float(each[~near].sum()) + total.size / 3 * float(np.exp(-top))
    return 1 / (1 + rest)
