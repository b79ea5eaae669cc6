"""Change points of a lag, at which it jumps: samples were dropped, or a recorder was stopped and started again.

Each window has a score for each lag: how much more probable its correlation is at this lag than by chance. The Viterbi
algorithm finds the best path through all windows, with a penalty for every change point and every step to the side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plait.clocks.offset import TEMPER, Correlations, Peak, best_line
from plait.clocks.views import COARSE

__all__ = ["Path", "best_path"]

Array = NDArray[np.float64]

RARE = 9.0
"""Minus the logarithm of the probability of a change point between two windows."""

SUSPECT = 6.0
"""The same for a change point that is worth a warning."""

STEP = 4.0
"""The same for a step to the side by one column."""

DEAF = 0.5
"""Share of windows in which nothing can be recognised, though the lag is right."""

PARTS = (2, 3, 4, 6)
"""Numbers of parts into which a recording is cut to test whether each part has the same lag."""

ELSEWHERE = 4.8
"""z-score of a part at another lag from which it contradicts the lag of the whole."""

LEAST = 3
"""A change of fewer columns than this counts as steps, not as a change point."""


@dataclass(frozen=True)
class Path:
    """The rough lag along the recording: a line, and the distance from it.

    Attributes:
        peak: the line that fits best once the change points are taken out.
        times: [windows], seconds of y.
        aside: [windows], distance of the lag from the line, seconds.
        change_points: (earliest, latest, size): seconds of y between which the lag jumps, and the jump in seconds.
        unsure: where there may be a change point that was not found; '' if nowhere.
    """

    peak: Peak
    times: Array
    aside: Array
    change_points: tuple[tuple[float, float, float], ...]
    unsure: str = ""

    def at(self, t: Array | float) -> Array:
        """The lag at seconds t of y."""
        when = np.asarray(t, np.float64)
        middles = [(a + b) / 2 for a, b, _ in self.change_points]
        sizes = np.concatenate([[0.0], np.cumsum([size for _, _, size in self.change_points])])
        # Interpolated without the jumps, which are added back at their instants: else they would be ramps.
        smooth = np.interp(when, self.times, self.aside - sizes[np.searchsorted(middles, self.times)])
        return np.asarray(self.peak.at(when) + sizes[np.searchsorted(middles, when)] + smooth)

    @property
    def segments(self) -> list[tuple[float, float]]:
        """(first, last) second of y of each segment between two change points."""
        starts = [float(self.times[0]), *(late for _, late, _ in self.change_points)]
        return list(zip(starts, [*(early for early, _, _ in self.change_points), float(self.times[-1])]))


def best_path(found: Sequence[Correlations], max_offset: float, max_drift: float, pivot: float) -> Path:
    """The best line, and the path that leaves it where the windows give enough evidence.

    Args:
        found: correlations of every pair of streams, over the same windows.
        max_offset: seconds, in either direction.
        max_drift: seconds per second, in either direction.
        pivot: where the line's offset is stated, seconds of y.
    """
    peak = best_line(found, max_offset, max_drift, pivot)
    aside = _aside(_all_gains(found, peak, max_offset), RARE)
    # Jumps bend the best line; fitted again with them taken out, it is the drift alone.
    if aside.any():
        peak = best_line(found, max_offset, max_drift, pivot, aside)
    gains = _all_gains(found, peak, max_offset)
    aside = _aside(gains, RARE)
    change_points, perhaps = _change_points(found[0], aside), _change_points(found[0], _aside(gains, SUSPECT))
    unsure = _unsure(found, peak, aside)
    if not unsure and len(perhaps) > len(change_points):
        unsure = f"the lag may jump about {perhaps[0][0]:.0f} s"
    return Path(peak, found[0].times, aside, tuple(change_points), unsure)


def _unsure(found: Sequence[Correlations], peak: Peak, aside: Array) -> str:
    """A message about the part of the recording in which another lag fits better; '' if there is none."""
    which = int(np.argmax([np.abs(scores).max() for scores in peak.scores]))
    each, best = found[which], int(np.argmax(np.abs(peak.scores[which])))
    sign = float(np.sign(peak.scores[which][best]))
    margin = int(np.abs(aside).max() * COARSE + np.abs(peak.at(each.times) - peak.offset).max() * COARSE) + 2
    shift = np.round((peak.at(each.times) + aside) * COARSE).astype(int)
    lo = np.clip(shift - int(shift.mean()), -margin, margin) + margin
    wide = each.product.shape[2] - 2 * margin
    here = int(shift.mean()) + each.max_lag - margin
    if wide < 3 or not 0 <= here < wide:
        return ""
    rows = np.stack([each.product[best, i, k : k + wide] for i, k in enumerate(lo)]).astype(np.float64) * sign
    spread = np.stack([each.spread[best, i, k : k + wide] for i, k in enumerate(lo)]).astype(np.float64)
    for parts in PARTS:
        for part in np.array_split(np.arange(len(rows)), parts):
            score = rows[part].sum(axis=0) / np.sqrt(np.maximum(spread[part].sum(axis=0), 1.0))
            if score.max() > max(ELSEWHERE, float(score[max(here - 2, 0) : here + 3].max()) + 2):
                first, last = each.edges[part[0]] / COARSE, each.edges[part[-1] + 1] / COARSE
                return f"from {first:.0f} to {last:.0f} s another lag fits better"
    return ""


def _change_points(found: Correlations, aside: Array) -> list[tuple[float, float, float]]:
    change = np.diff(aside)
    at = np.flatnonzero(np.abs(change) > (LEAST - 0.5) / COARSE)
    return [(float(found.times[i]), float(found.times[i + 1]), float(change[i])) for i in at]


def _aside(gains: Array, rare: float) -> Array:
    """Distance of the best path from the line, seconds, [windows]."""
    # A jump may end at any lag, so its probability is shared out over all of them.
    columns = _viterbi(gains, rare + float(np.log(gains.shape[1])))
    return np.asarray((columns - gains.shape[1] // 2) / COARSE)


def _all_gains(found: Sequence[Correlations], peak: Peak, max_offset: float) -> Array:
    gains = [_gains(each, peak, scores, max_offset) for each, scores in zip(found, peak.scores)]
    return np.asarray(TEMPER * np.sum(gains, axis=0))


def _gains(found: Correlations, peak: Peak, scores: Array, max_offset: float) -> Array:
    """Log-likelihood ratio of each window at each distance from the line, [windows, lags]."""
    max_lag = min(round(max_offset * COARSE), found.max_lag)
    centre = np.round(peak.at(found.times) * COARSE).astype(int) + found.max_lag
    best = int(np.argmax(np.abs(scores)))
    product, spread = found.product[best], found.spread[best]
    # The score of all windows grows with the root of their number: this is what one window may be expected to show.
    strength = scores[best] / np.sqrt(len(centre))
    out = np.full((len(centre), 2 * max_lag + 1), np.log(DEAF))
    for i, c in enumerate(centre):
        lo, hi = max(c - max_lag, 0), min(c + max_lag + 1, product.shape[1])
        seen = found.common[i, lo:hi] / max(float(found.common[i].max()), 1.0)
        score = np.where(seen > 0.5, product[i, lo:hi] / np.sqrt(np.maximum(spread[i, lo:hi], 1.0)), 0.0)
        each = strength * score - 0.5 * strength**2 + np.log(1 - DEAF)
        out[i, lo - c + max_lag : hi - c + max_lag] = np.logaddexp(each, np.log(DEAF))
    return out


def _viterbi(gains: Array, price: float) -> NDArray[np.int64]:
    """The path of highest gain, [windows]; one column to the side costs `STEP`, any change point ``price``."""
    n, width = gains.shape
    came = np.zeros((n, width), np.int64)
    own = np.arange(width)
    total = gains[0]
    for i in range(1, n):
        options = np.full((4, width), -np.inf)
        options[0] = total
        options[1, 1:], options[2, :-1] = total[:-1] - STEP, total[1:] - STEP
        # A jump costs the same from everywhere, so only the best column matters: linear, not quadratic, in the lags.
        top = int(np.argmax(total))
        options[3] = total[top] - price
        choice = np.argmax(options, axis=0)
        came[i] = np.choose(choice, [own, own - 1, own + 1, np.full(width, top)])
        total = options[choice, own] + gains[i]
    path = np.zeros(n, np.int64)
    path[-1] = int(np.argmax(total))
    for i in range(n - 1, 0, -1):
        path[i - 1] = came[i, path[i]]
    return path
