"""The lag between two devices' clocks, estimated from all pairs of their streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plait.clocks.change_points import Path, best_path
from plait.clocks.drift import Curve
from plait.clocks.measure import Measured, measured, place_jump
from plait.clocks.offset import Lags, correlations, edges_of
from plait.clocks.piecewise_linear import fit_piecewise_linear
from plait.clocks.signals import Activity, activity
from plait.core.errors import DataError, PlaitError
from plait.streams.stream import Stream

__all__ = ["Limits", "Link", "activities", "link", "span_of"]

Array = NDArray[np.float64]
Pair = tuple[Activity, Activity]


ROUGH = 0.015
"""Standard deviation of the rough lag from the coarse search, seconds."""


NEAR = 0.004
"""A lag supports the curve if it lies within three standard deviations; each counts as at least this many seconds."""

COARSEST = 0.05
"""Tolerances above this, seconds, fit the curve no more coarsely."""

MOST = 0.5
"""A recording with no supporting lag for more than this share of its length is flagged."""


@dataclass(frozen=True)
class Limits:
    """What to search, and how sure to be.

    Attributes:
        max_offset: seconds, either way.
        max_drift_ppm: parts per million, either way.
        tolerance: seconds; a correction less certain than this anywhere in the recording is flagged. It is used only
            if it is nearer to the truth than the uncorrected clock with probability ``sure``.
        sure: least confidence of a correction that is used, 0..1.
    """

    max_offset: float = 10.0
    max_drift_ppm: float = 1000.0
    tolerance: float = 0.010
    sure: float = 0.95

    def __post_init__(self) -> None:
        finite = bool(np.isfinite([self.max_offset, self.max_drift_ppm, self.tolerance]).all())
        within = self.max_offset > 0 and self.max_drift_ppm >= 0 and self.tolerance > 0 and 0 < self.sure <= 1
        if not (finite and within):
            raise DataError(f"{self}: expected max_offset and tolerance above 0, max_drift_ppm from 0, sure in 0..1.")


@dataclass(frozen=True)
class Link:
    """The lag between two devices' clocks: ``seconds of a - seconds of b`` along b's seconds.

    Attributes:
        a, b: the devices.
        line: the lag over b's seconds.
        confidence: probability that the right peak was found, 0..1.
        bias: systematic error of the measure, seconds (two standard errors).
        pairs: which streams were compared, ``'x~y'``.
        lags: what the line was fitted to, for plots: one `Lags` per pair of streams.
        doubt: why the confidence was halved; '' where it was not.
        untold: (first, last) second of b between which no lag was found, if that is most of the recording:
            samples lost there would not be noticed.
    """

    a: str
    b: str
    line: Curve
    confidence: float
    bias: float
    pairs: tuple[str, ...]
    lags: tuple[Lags, ...] = ()
    doubt: str = ""
    untold: tuple[float, float] | None = None

    @property
    def covariance(self) -> Array:
        """Covariance of offset and drift, [2, 2], with the bias (two standard errors wide) included."""
        return np.asarray(self.line.covariance + np.diag([(self.bias / 2) ** 2, 0.0]))


def activities(streams: Mapping[str, Stream]) -> tuple[dict[str, Activity], list[str]]:
    """The activity of each stream that has one, and why the others have none."""
    good: dict[str, Activity] = {}
    problems: list[str] = []
    for name in streams:
        try:
            good[name] = activity(streams[name])
        except PlaitError as error:
            problems.append(f"{name}: {error.problems[0]}")
    return good, problems


def link(a: str, xs: Mapping[str, Activity], b: str, ys: Mapping[str, Activity], limits: Limits) -> Link | None:
    """Estimate device b's clock against a's from every pair of their streams; None if nothing can be compared."""
    if not xs or not ys:
        return None
    pairs = {f"{p}~{q}": (xs[p], ys[q]) for p in xs for q in ys}
    lo, hi = span_of(ys)
    path = _path(list(pairs.values()), lo, hi, limits)
    found = {name: measured(x, y, path, score) for (name, (x, y)), score in zip(pairs.items(), path.peak.scores)}
    # The least biased pair sets the standard: it places the jumps, and the others' floors are widened by their bias.
    best = min(found, key=lambda name: found[name].bias)
    rough = max(ROUGH, found[best].error, abs(found[best].off))
    lags = tuple(replace(each.lags, pair=name) for name, each in found.items())
    curve = fit_piecewise_linear(
        [*lags, _rough(path, lags)],
        pivot=(lo + hi) / 2,
        span=(lo, hi),
        floors=[*(_floor(each, found[best]) for each in found.values()), rough],
        # A fifth of the tolerance, so that the curve's own misfit hardly adds to the stated uncertainty.
        least=min(limits.tolerance, COARSEST) / 5,
        change_points=[(early + late) / 2 for early, late, _ in path.change_points],
        place=lambda *at: place_jump(*pairs[best], *at),
    )
    doubt = path.unsure if path.peak.confidence >= limits.sure else ""
    confidence = path.peak.confidence * (0.5 if doubt else 1.0)
    untold = _untold(curve, lags, (lo, hi))
    return Link(a, b, curve, confidence, found[best].bias, tuple(pairs), lags, doubt, untold)


def _untold(curve: Curve, lags: Sequence[Lags], span: tuple[float, float]) -> tuple[float, float] | None:
    """The longest stretch without a lag near the curve, if it is more than `MOST` of the span."""
    near = [each.times[np.abs(each.lags - curve.at(each.times)) < 3 * max(curve.spread, NEAR)] for each in lags]
    # The ends of the span count as lags, so that a silent start or end is a stretch too.
    edges = np.sort(np.concatenate([[span[0]], *near, [span[1]]]))
    i = int(np.argmax(np.diff(edges)))
    first, last = float(edges[i]), float(edges[i + 1])
    return (first, last) if last - first > MOST * (span[1] - span[0]) else None


def _rough(path: Path, lags: Sequence[Lags]) -> Lags:
    """The path itself as lags: two for each of its segments that holds fewer than three finer ones."""
    times = np.concatenate([each.times for each in lags])
    bare = [(a, b) for a, b in path.segments if ((times >= a) & (times <= b)).sum() < 3]
    at = np.array([a + share * (b - a) for a, b in bare for share in (0.25, 0.75)])
    return Lags(at, path.at(at), np.ones(len(at)))


def _path(pairs: Sequence[Pair], lo: float, hi: float, limits: Limits) -> Path:
    """Where the two devices are alike, roughly."""
    drift = limits.max_drift_ppm * 1e-6
    # The offset is stated in the middle; at the ends half of the recording's drift is added to it.
    max_lag = limits.max_offset + drift * (hi - lo) / 2 + 0.1
    edges = edges_of(lo, hi, max_lag, sum(len(x.views) * len(y.views) for x, y in pairs))
    return best_path(
        [correlations(x.views, y.views, edges, max_lag) for x, y in pairs], limits.max_offset, drift, (lo + hi) / 2
    )


def _floor(each: Measured, best: Measured) -> float:
    """Least standard deviation of a lag."""
    # A biased measure with many windows must not outweigh a better one: the bias does not shrink with their number.
    return float(each.floor if each is best else np.hypot(each.floor, each.bias * np.sqrt(len(each.lags.times))))


def span_of(acts: Mapping[str, Activity]) -> tuple[float, float]:
    return min(a.clock.start for a in acts.values()), max(a.clock.stop for a in acts.values())
