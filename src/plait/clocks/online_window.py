"""The newest seconds of a stream, and what they tell of its clock at their end.

From signals by the offline estimator, or from pairs (own second, reference second): stamps of arrival, or pulses that
both clocks saw. A packet can arrive late but not early, so only the least delays tell of the clock: the line below all
pairs that is nearest to them (Moon, Skelly and Towsley, INFOCOM 1999: the linear program; Zhang, Liu and Xia, INFOCOM
2002: its solution is the edge of the lower convex hull below the mean time). What delay is left at least cannot be told
from an offset. Pulses may be off either way: a robust line (`plait.clocks.drift`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plait.clocks.drift import Curve
from plait.clocks.flags import Flag
from plait.clocks.link import Limits
from plait.clocks.offset import Lags
from plait.clocks.pair import Comparison, compare
from plait.clocks.piecewise_linear import fit_piecewise_linear
from plait.core.errors import DataError
from plait.streams.clock import FARTHEST
from plait.streams.stream import Stream

__all__ = ["Estimate", "Noise", "Ring"]
__all__ += ["numbers_of", "of_pairs", "of_signals", "on_grid", "seconds_of", "split"]

Array = NDArray[np.float64]
Noise = Literal["delay", "jitter"]

FEWEST = 8
"""Fewest blocks of pairs from which a clock is told."""

LEAST = 10.0
"""Least seconds from which a clock is told."""

NTH = 4
"""The density of the least delays is taken from so many of them."""

WIDE = 24.0
"""Half-width of a hull's line at its worst end, in units of (n-th least distance from it) / n. Set so that about 95 %
hold for exponential, gamma, lognormal and Pareto delays at 0.5 to 100 packets a second."""

CLOSEST = 0.0005
"""Least half-width, seconds: no network's least delay is steadier."""

SHARE = 0.75
"""Share of the offline estimator's two standard errors that hold for 95 % at a window's end. Those are wide where few
windows count; set on made-up signals, scored on other seeds and real sound (benchmarks/online_clock.py)."""

QUIET = 10.0
"""Seconds without a lag at a window's end after which the clock counts as not confirmed."""

SUPPORT = 0.012
"""A lag supports the line within this many seconds."""


def seconds_of(values: ArrayLike, what: str) -> Array:
    """Finite seconds, [n]."""
    times = np.asarray(values, np.float64)
    if times.ndim != 1:
        raise DataError(f"{what} have shape {times.shape}; expected one number per observation.")
    bad = np.flatnonzero(~(np.abs(times) <= FARTHEST))
    if len(bad):
        raise DataError(f"{what}: number {bad[0]} is {times[bad[0]]}; expected finite seconds.")
    return times


def numbers_of(values: ArrayLike, which: str) -> NDArray[Any]:
    """Numbers, [n, ...]."""
    table = np.asarray(values)
    if table.dtype.kind not in "fiub" or table.ndim == 0:
        raise DataError(f"{which}: values of type {table.dtype} and shape {table.shape}; expected numbers, time first.")
    # Half the bytes, and more digits than any sensor has; pictures stay as they are.
    return table if table.dtype == np.uint8 else table.astype(np.float32)


class Ring:
    """The newest ``seconds`` of a stream: room for twice what its rate needs, and no more."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.times: Array = np.zeros(0)
        self.values: NDArray[Any] = np.zeros(0)
        self._lo = self._hi = 0

    def push(self, times: Array, values: NDArray[Any]) -> None:
        n = len(times)
        if not n:
            return
        if self._hi + n > len(self.times):
            self._make_room(n, values)
        self.times[self._hi : self._hi + n] = times
        self.values[self._hi : self._hi + n] = values
        self._hi += n
        self._lo += int(np.searchsorted(self.times[self._lo : self._hi], times[-1] - self.seconds))

    def between(self, start: float, stop: float) -> tuple[Array, NDArray[Any]]:
        a, b = self._lo + np.searchsorted(self.times[self._lo : self._hi], [start, stop])
        return self.times[a:b], self.values[a:b]

    def _make_room(self, n: int, values: NDArray[Any]) -> None:
        held = self.between(-np.inf, np.inf)
        count = len(held[0])
        # Twice what is held, so that each observation is moved only now and then, however small the pieces are.
        size = max(2 * (count + n), 64)
        self.times, self.values = np.zeros(size), np.zeros((size, *values.shape[1:]), values.dtype)
        self.times[:count], self._lo, self._hi = held[0], 0, count
        if count:
            self.values[:count] = held[1]


def on_grid(seconds: float, every: float) -> float:
    """The first multiple of ``every`` from ``seconds`` on."""
    return float(np.ceil(seconds / every) * every)


def split(times: Array, size: float) -> Iterator[slice]:
    """Runs of times between multiples of ``size``."""
    cuts = [0, *(np.flatnonzero(np.diff(np.floor(times / size))) + 1).tolist(), len(times)]
    return (slice(a, b) for a, b in pairwise(cuts) if b > a)


@dataclass(frozen=True)
class Estimate:
    """A clock at own second ``at``: ``reference seconds = t + lag + drift * (t - at)``.

    Attributes:
        at: own seconds.
        lag: seconds.
        drift: seconds per second.
        half_width: the lag is right within this many seconds (95 %).
        drift_error: standard error of the drift.
        reason: why it is not to be used; '' if it is.
        jump: (own second, seconds) of the newest jump in the window.
    """

    at: float
    lag: float = float("nan")
    drift: float = float("nan")
    half_width: float = float("inf")
    drift_error: float = float("inf")
    reason: str = ""
    jump: tuple[float, float] | None = None

    def save(self) -> Array:
        """All but the reason, [7]; nan where there is no jump."""
        jump = self.jump or (np.nan, np.nan)
        return np.array([self.at, self.lag, self.drift, self.half_width, self.drift_error, *jump])

    @classmethod
    def load(cls, saved: Array, reason: str) -> Self:
        at, lag, drift, half_width, drift_error, when, size = (float(number) for number in saved)
        return cls(at, lag, drift, half_width, drift_error, reason, None if np.isnan(when) else (when, size))


def of_signals(reference: Stream, own: Stream, at: float, limits: Limits) -> Estimate:
    """The offline estimate (`plait.clocks.compare`) of a window, at its end.

    >>> rng = np.random.default_rng(0); noise = np.convolve(rng.standard_normal(3100), np.ones(5), "same")
    >>> one, other = (Stream.of(v[:, None], rate=50) for v in (noise[:3000], noise[100:]))
    >>> got = of_signals(one, other, 60.0, Limits())
    >>> abs(got.lag - 2) < 0.002, got.reason
    (True, '')
    """
    try:
        found = compare(
            reference,
            own,
            max_offset=limits.max_offset,
            max_drift_ppm=limits.max_drift_ppm,
            tolerance=limits.tolerance,
        )
    except DataError as error:
        return Estimate(at, reason=error.problems[0])
    line, jump = found.line, found.change_points[-1] if found.change_points else None
    reason = found.reason if found.flag not in (Flag.NONE, Flag.UNCERTAIN) else _unsupported(found, at)
    # The offline bound is for the worst second of the window; here only its end counts.
    half_width = np.hypot(SHARE * _two_errors(line, at), found.bias_s)
    return _checked(_at_end(line, at, float(half_width), reason, jump), limits)


def _unsupported(found: Comparison, at: float) -> str:
    """The message for an end of the window in which no lag is near the line; '' if there are lags."""
    times, line = found.lags.times, found.line
    near = times[np.abs(found.lags.lags - line.at(times)) < SUPPORT]
    if len(near) < 2:
        return "hardly any part of the window tells"
    # Lags stand in the middle of their windows, so that even a good one ends half a window early.
    if at - near[-1] > max(QUIET, 1.5 * float(np.median(np.diff(near)))):
        return f"nothing confirms the clock since {near[-1]:.0f} s"
    return ""


def of_pairs(times: Array, lags: Array, at: float, limits: Limits, noise: Noise) -> Estimate:
    """A line through or below lags (reference minus own seconds) since the last jump or bend.

    Args:
        times: [n] own seconds, ascending.
        lags: [n] seconds; of stamps of arrival, the least of each block.
        at: own second at which the clock is stated.
        limits: how precise it must be.
        noise: ``delay`` where a lag can only be too large, ``jitter`` where it is off either way.

    >>> t = np.arange(60.0); late = np.random.default_rng(0).exponential(0.02, 60)
    >>> got = of_pairs(t, 2 + 200e-6 * t + late, 60.0, Limits(), "delay")
    >>> abs(got.lag - 2.012) < 0.004, abs(got.lag - 2.012) < got.half_width
    (True, True)
    """
    if len(times) < FEWEST or times[-1] - times[0] < LEAST:
        return Estimate(at, reason=f"too short: {len(times)} blocks of pairs within {_span(times):.0f} s")
    curve = fit_piecewise_linear(
        [Lags(times, lags, np.ones(len(times)))],
        pivot=float(times.mean()),
        span=(float(times[0]), float(times[-1])),
        floors=[1e-5],
        least=limits.tolerance / 5,
    )
    jump = curve.change_points[-1] if curve.change_points else None
    since = max([t for t, _ in curve.knots[1:-1]], default=float(times[0]))
    recent = times >= since
    if recent.sum() < FEWEST or times[-1] - since < LEAST:
        return Estimate(at, reason=f"the clock changed at {since:.0f} s, too short ago", jump=jump)
    if noise == "delay":
        curve = _below(times[recent], lags[recent], at)
    return _checked(_at_end(curve, at, max(_two_errors(curve, at), CLOSEST), "", jump), limits)


def _span(times: Array) -> float:
    return float(times[-1] - times[0]) if len(times) else 0.0


def _at_end(curve: Curve, at: float, half_width: float, reason: str, jump: tuple[float, float] | None) -> Estimate:
    lag, later = (float(curve.at(t)) for t in (at, at + 1.0))
    return Estimate(at, lag, later - lag, half_width, float(np.sqrt(curve.covariance[1, 1])), reason, jump)


def _two_errors(curve: Curve, at: float) -> float:
    return float(2 * np.hypot(curve.error_at(at), curve.wander_at(at)))


def _checked(found: Estimate, limits: Limits) -> Estimate:
    if found.reason:
        return found
    if abs(found.drift) * 1e6 > limits.max_drift_ppm:
        return replace(found, reason=f"drift {found.drift * 1e6:.0f} ppm is beyond the limits")
    if found.half_width > limits.tolerance:
        return replace(found, reason=f"uncertain by {found.half_width * 1e3:.1f} ms")
    return found


def _below(times: Array, lags: Array, at: float) -> Curve:
    """The line below all lags that is nearest to them on average."""
    hull = _lower_hull(times, lags)
    edge = int(np.clip(np.searchsorted(times[hull], times.mean(), "right") - 1, 0, len(hull) - 2))
    a, b = hull[edge], hull[edge + 1]
    drift = float((lags[b] - lags[a]) / (times[b] - times[a]))
    pivot = float(times.mean())
    offset = float(lags[a] + drift * (pivot - times[a]))
    above = np.sort(lags - offset - drift * (times - pivot))
    # Two of the distances are 0, for the line rests on two of the lags.
    error = WIDE / 2 * float(above[NTH + 1]) / NTH
    half = max(float(np.abs(times - pivot).max()), abs(at - pivot))
    covariance = np.diag([error**2 / 2, (error / half) ** 2 / 2])
    return Curve(offset, drift, pivot, covariance, float(np.median(above)), 1.0, len(times))


def _lower_hull(times: Array, lags: Array) -> list[int]:
    """Numbers of the points of the lower convex hull, from left to right (Andrew's monotone chain)."""
    hull: list[int] = []
    for i in range(len(times)):
        while len(hull) > 1 and _turns_up(times, lags, hull[-2], hull[-1], i):
            hull.pop()
        hull.append(i)
    return hull


def _turns_up(times: Array, lags: Array, a: int, b: int, c: int) -> bool:
    """Whether b lies on or above the straight line from a to c."""
    left = (times[b] - times[a]) * (lags[c] - lags[a])
    return bool(left <= (lags[b] - lags[a]) * (times[c] - times[a]))
