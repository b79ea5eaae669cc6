"""What the streams of one device say of the clock of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plait.errors import DataError, PlaitError
from plait.streams.stream import Stream
from plait.sync.drift import Line, fit_line
from plait.sync.offset import Lags, Peak, best_line, correlations, local_lags
from plait.sync.signals import Activity, activity

__all__ = ["Limits", "Link", "activities", "link", "span_of"]

Array = NDArray[np.float64]

NEAR = 0.04
"""Windows are searched for their lag within this many seconds of the coarse line."""


@dataclass(frozen=True)
class Limits:
    """What to search, and how sure to be.

    Attributes:
        max_offset: seconds, either way.
        max_drift_ppm: parts per million, either way.
        tolerance: seconds; a correction less certain than this anywhere in the recording is flagged.
        sure: confidence from which a correction is applied, 0..1.
    """

    max_offset: float = 10.0
    max_drift_ppm: float = 1000.0
    tolerance: float = 0.010
    sure: float = 0.95

    def __post_init__(self) -> None:
        if not (self.max_offset > 0 and self.max_drift_ppm >= 0 and self.tolerance > 0 and 0 < self.sure <= 1):
            raise DataError(f"{self}: expected max_offset and tolerance above 0, max_drift_ppm from 0, sure in 0..1.")


@dataclass(frozen=True)
class Link:
    """What one device's streams say of another's clock: ``seconds of a - seconds of b`` along b's seconds."""

    a: str
    b: str
    line: Line
    confidence: float
    bias: float
    pairs: tuple[str, ...]

    @property
    def covariance(self) -> Array:
        """Of offset and drift, [2, 2], the bias (two standard errors wide) counted in."""
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
    """Place device b's clock against a's by every pair of their streams, or None if nothing can be compared."""
    if not xs or not ys:
        return None
    lo, hi = span_of(ys)
    pivot, drift = (lo + hi) / 2, limits.max_drift_ppm * 1e-6
    reach = limits.max_offset + drift * (hi - lo) / 2 + 0.1
    length = float(np.clip((hi - lo) / 6, 2, 30))
    pairs = [(p, q) for p in xs for q in ys]
    peak = best_line([correlations(xs[p], ys[q], reach, length) for p, q in pairs], limits.max_offset, drift, pivot)
    fine = float(np.clip((hi - lo) / 15, 2, 8))
    lags = [local_lags(xs[p], ys[q], peak, fine, NEAR) for p, q in pairs]
    if sum(len(each.times) for each in lags) < 3:
        return None
    line = fit_line(*_stacked(lags), pivot=pivot)
    steps = [max(xs[p].step, ys[q].step) for p, q in pairs]
    names = tuple(f"{p}~{q}" for p, q in pairs)
    return Link(a, b, line, _confidence(peak, line), _bias(peak, min(steps)), names)


def span_of(acts: Mapping[str, Activity]) -> tuple[float, float]:
    return min(a.clock.start for a in acts.values()), max(a.clock.stop for a in acts.values())


def _stacked(lags: Sequence[Lags]) -> tuple[Array, Array, Array, NDArray[np.int64]]:
    groups = np.concatenate([np.full(len(each.times), i) for i, each in enumerate(lags)])
    times, values, weights = (np.concatenate([getattr(e, f) for e in lags]) for f in ("times", "lags", "weights"))
    return times, values, weights, groups


def _bias(peak: Peak, step: float) -> float:
    """What the measure itself may be off by, seconds, however many windows agree.

    Sound under noise seems to begin 1.5 ms later; pictures say little between two frames. And signals that are
    not much alike need not peak at the same instant: by 40 to 70 ms in the GRID corpus, between where a word is
    said to begin and where its sound rises most (correlation 0.45).
    """
    return 0.0015 + 0.05 * step + 0.06 * float(np.clip((0.6 - peak.likeness) / 0.2, 0, 1))


def _confidence(peak: Peak, line: Line) -> float:
    """The coarse peak must be no accident, stand well out of the rest, and the windows must agree with it.

    Between recordings that have nothing in common the height stays below 7 or so deviations.
    """
    high = 1 / (1 + np.exp(-np.clip((peak.height - 9) / 0.6, -50, 50)))
    agree = float(np.clip((line.inliers - 0.4) / 0.3, 0, 1))
    return float(peak.confidence * high * agree)
