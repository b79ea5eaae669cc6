"""Every device's clock of one recording against the reference, by global adjustment of the links between devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from plait.clocks.consistency import Consistency, consistency
from plait.clocks.flags import Flag, nearer, untold
from plait.clocks.global_adjustment import CONTRADICTION, Adjustment, Placed, adjust, best_root
from plait.clocks.link import Limits, Link, activities, link, span_of
from plait.clocks.signals import Activity
from plait.streams.clock import Grid
from plait.streams.stream import Stream
from plait.streams.warp import Warp, Warped

__all__ = ["JOINT", "ClockFix", "Solution", "solve", "solve_all"]

Array = NDArray[np.float64]
Devices = Mapping[str, Mapping[str, Stream]]
Acts = dict[str, dict[str, Activity]]

JOINT = "joint"
"""Instead of a reference: each recording uses the device that the others can be aligned to best."""

LEVEL = 2e-5
"""A clock counts as straight if it is within this many seconds of a line, or within a tenth of its uncertainty."""


@dataclass(frozen=True)
class ClockFix:
    """One device of one recording: ``reference seconds = seconds * (1 + drift_ppm / 1e6) + offset``, or bent.

    Attributes:
        recording: its id.
        device: its streams' names, joined by '+'.
        streams: their names.
        reference: the reference device in this recording.
        offset: seconds (nan: nothing was found); where the clock bends, of the best straight line.
        drift_ppm: parts per million.
        knots: (seconds, seconds to add), linear in between, instead of the line where the line is not enough.
        change_points: (seconds, size in seconds) where the lag jumps because samples were dropped: by the device, or
            by the reference where the size is below 0. The knots include them.
        rate: observations per second of the device's first regular stream; 0 without one.
        confidence: probability that the right peak was found, 0..1.
        uncertainty_s: the clock is right within this many seconds everywhere in the recording: two standard
            errors at the worst place, with the systematic error of the measure.
        method: which pairs of streams were used, and through which device.
        better: the probability that the corrected clock is nearer to the truth than the uncorrected one (nan: nothing
            was found).
        untold: (first, last) second between which no lag was found, if that is most of the recording; else ().
        applied: whether the clock is to be corrected.
        flag: why the clock is flagged, in one word.
        reason: the same in a sentence; '' when it is not flagged.
    """

    recording: str
    device: str
    streams: tuple[str, ...]
    reference: str
    offset: float = float("nan")
    drift_ppm: float = float("nan")
    knots: tuple[tuple[float, float], ...] = ()
    change_points: tuple[tuple[float, float], ...] = ()
    rate: float = 0.0
    confidence: float = 0.0
    uncertainty_s: float = float("inf")
    method: str = "none"
    better: float = float("nan")
    untold: tuple[float, ...] = ()
    applied: bool = False
    flag: Flag = Flag.NONE
    reason: str = ""

    @property
    def flagged(self) -> bool:
        return bool(self.reason)

    @cached_property
    def warp(self) -> Warp:
        """Correction added to ``seconds * (1 + drift_ppm / 1e6) + offset``; nothing where the clock is straight."""
        return Warp((float(self._line(t)), t + lag - float(self._line(t))) for t, lag in self.knots)

    def seconds(self, t: Array | float) -> Array:
        """Reference seconds of the device's seconds t."""
        return self.warp(self._line(np.asarray(t, np.float64)))

    def _line(self, t: Array | float) -> Array:
        return np.asarray(t * (1 + self.drift_ppm * 1e-6) + self.offset)

    @property
    def bend_s(self) -> float:
        """Largest distance of the clock from its line, seconds."""
        return max((abs(add) for _, add in self.warp.points), default=0.0)


@dataclass(frozen=True)
class Solution:
    """Everything about one recording: what was compared (``acts``, ``links``) and the results."""

    recording: str
    reference: str
    fixes: tuple[ClockFix, ...]
    consistency: Consistency
    adjustment: Adjustment
    acts: Acts
    links: tuple[Link, ...]


def solve(recording: str, devices: Devices, reference: str, limits: Limits) -> list[ClockFix]:
    """The clocks of all devices but the reference; see `solve_all`."""
    return list(solve_all(recording, devices, reference, limits).fixes)


def solve_all(recording: str, devices: Devices, reference: str, limits: Limits) -> Solution:
    """The clocks of all devices but the reference, by global adjustment over every link that is sure.

    A device without a link to the reference is aligned through a third device that is linked to both. With `JOINT`
    as the reference, it is the device that the others can be aligned to best.
    """
    acts: Acts = {}
    problems: dict[str, list[str]] = {}
    for name, streams in devices.items():
        acts[name], problems[name] = activities(streams)
    links = [found for a, b in combinations(devices, 2) if (found := link(a, acts[a], b, acts[b], limits))]
    good = [one for one in links if one.confidence >= limits.sure]
    if reference == JOINT and JOINT not in devices:
        reference = best_root(sorted(devices, key=lambda name: -len(devices[name])), good)
    spans = {name: span_of(own) for name, own in acts.items() if own}
    adjustment = adjust(reference, good, _horizon(spans, limits))
    fixes = []
    for name, streams in devices.items():
        if name == reference:
            continue
        start = ClockFix(recording, name, tuple(streams), reference, rate=_rate(streams))
        if name in adjustment.clocks:
            touching = [one for one in adjustment.left_out if name in (one.link.a, one.link.b)]
            spare = max((one.off for one in touching if not one.sure), default=0.0)
            fixes.append(_accepted(start, adjustment.clocks[name], _both(spans, name, reference), limits, spare))
        else:
            direct = next((one for one in links if {one.a, one.b} == {name, reference}), None)
            fixes.append(_refused(start, direct, [*problems[name], *problems[reference]]))
    return Solution(
        recording, reference, tuple(fixes), consistency(recording, adjustment), adjustment, acts, tuple(links)
    )


def _horizon(spans: Mapping[str, tuple[float, float]], limits: Limits) -> tuple[float, float]:
    """From well before the first to well after the last second of any device."""
    # Devices are placed on each other's seconds, so each span may be moved by the offsets of a chain of links.
    ends, margin = [end for span in spans.values() for end in span] or [0.0], 10.0 + 3 * limits.max_offset
    return min(ends) - margin, max(ends) + margin


def _both(spans: Mapping[str, tuple[float, float]], name: str, reference: str) -> tuple[float, float]:
    (lo, hi), (first, last) = spans[name], spans[reference]
    return min(lo, first), max(hi, last)


def _rate(streams: Mapping[str, Stream]) -> float:
    rates = [s.clock.rate for s in streams.values() if isinstance(s.clock, Grid | Warped)]
    return float(rates[0]) if rates else 0.0


def _accepted(start: ClockFix, clock: Placed, span: tuple[float, float], limits: Limits, left_out: float) -> ClockFix:
    # The mean square over the recording needs few instants: clocks are smooth.
    t = np.linspace(*span, 33)
    covariance = clock.covariance_at(t)
    uncertainty = 2 * float(np.sqrt(np.diag(covariance).max()))
    found = _described(start, clock, span, max(LEVEL, uncertainty / 10))
    found = replace(
        found,
        uncertainty_s=round(uncertainty, 6),
        better=round(nearer(clock.warp(t) - t, covariance), 6),
        untold=tuple(round(end, 3) for end in clock.untold or ()),
    )
    # What forbids a correction comes before what only casts doubt on it.
    flag, reason = _obstacle(found, clock, limits)
    if flag is Flag.NONE:
        flag, reason = _doubt(found, clock, limits, left_out)
    return replace(found, applied=flag.corrected, flag=flag, reason=reason)


def _obstacle(found: ClockFix, clock: Placed, limits: Limits) -> tuple[Flag, str]:
    """Why an estimated clock is not to be used."""
    if clock.worst > CONTRADICTION:
        return Flag.CONTRADICTION, f"the devices contradict each other by {clock.worst:.0f} standard errors"
    if (steepest := _steepest(found)) > limits.max_drift_ppm or abs(found.offset) > 2 * limits.max_offset:
        return Flag.OUT_OF_RANGE, f"drift {steepest:.0f} ppm or offset {found.offset:.2f} s is beyond the limits"
    if found.uncertainty_s > limits.tolerance and found.better < limits.sure:
        return Flag.NOT_BETTER, (
            f"found only within {found.uncertainty_s * 1e3:.0f} ms, which is not surely nearer than the clock that "
            f"stands (probability {found.better:.2f}); the clock was left as it is"
        )
    return Flag.NONE, ""


def _doubt(found: ClockFix, clock: Placed, limits: Limits, left_out: float) -> tuple[Flag, str]:
    """Why a corrected clock should be checked."""
    if left_out > limits.tolerance:
        why = f"corrected, but a less sure comparison that was left out is {left_out * 1e3:.0f} ms off"
        return Flag.DISPUTED, why
    if found.uncertainty_s > limits.tolerance:
        return Flag.UNCERTAIN, f"corrected, but uncertain by {found.uncertainty_s * 1e3:.0f} ms"
    if clock.untold is not None:
        return Flag.UNTOLD, f"corrected, but {untold(clock.untold)}"
    return Flag.NONE, ""


def _steepest(fix: ClockFix) -> float:
    """The largest drift of the clock's linear pieces, ppm, without change points and pieces under a second."""
    runs = [(later - t, after - add) for (t, add), (later, after) in pairwise(fix.knots) if later - t > 1.0]
    return max((abs(rise / run) * 1e6 for run, rise in runs), default=abs(fix.drift_ppm))


def _described(start: ClockFix, clock: Placed, span: tuple[float, float], level: float) -> ClockFix:
    """Offset, drift and knots of a clock, and its method."""
    t = np.linspace(*span, 201)
    lag, middle = clock.warp(t) - t, (span[0] + span[1]) / 2
    slope, mean = np.polyfit(t - middle, lag, 1)
    drift = round(float(slope) * 1e6, 3)
    straight = np.abs(lag - mean - slope * (t - middle)).max() < level
    knots = () if straight else _knots(clock.warp, span, level)
    confidence = float(np.prod([one.confidence for one in clock.way]))
    return replace(
        start,
        offset=round(float(mean) - drift * 1e-6 * middle, 6),
        drift_ppm=drift,
        knots=knots,
        change_points=_change_points(knots),
        confidence=round(confidence, 6),
        method=_method(start.device, start.reference, clock),
    )


def _knots(warp: Warp, span: tuple[float, float], level: float) -> tuple[tuple[float, float], ...]:
    """The correction over the span, at the few points that keep it right within ``level`` seconds."""
    lo, hi = span
    first, last = (float(warp(end)) - end for end in span)
    points = np.array([(lo, first), *(p for p in warp.points if lo < p[0] < hi), (hi, last)])
    return tuple((round(float(t), 6), round(float(add), 7)) for t, add in points[_needed(points, level)])


def _needed(points: Array, level: float) -> list[int]:
    """The points needed to keep the polygon within ``level`` (Douglas and Peucker, 1973)."""
    # A stack, not recursion: a clock may have thousands of points.
    kept, open_ends = [0, len(points) - 1], [(0, len(points) - 1)]
    while open_ends:
        i, j = open_ends.pop()
        if j - i < 2:
            continue
        (a, x), (b, y), inner = points[i], points[j], points[i + 1 : j]
        off = np.abs(inner[:, 1] - x - (y - x) * (inner[:, 0] - a) / max(b - a, 1e-9))
        k = i + 1 + int(np.argmax(off))
        if off.max() > level:
            kept.append(k)
            open_ends += [(i, k), (k, j)]
    return sorted(kept)


def _change_points(knots: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Where a clock jumps ahead (above 0) or stands still (below)."""
    steps = ((t, after - add, later - t) for (t, add), (later, after) in pairwise(knots))
    return tuple((t, round(size, 6)) for t, size, run in steps if abs(size) > max(0.5 * run, 0.001))


def _method(device: str, reference: str, clock: Placed) -> str:
    between = [x for one in clock.way for x in (one.a, one.b) if x not in (device, reference)]
    pairs = " ".join(p for one in clock.way for p in one.pairs)
    through = f"through {between[0]}: " if between else ""
    return f"{through}{pairs}" + (f", and {clock.links - 1} more" if clock.links > 1 else "")


def _refused(start: ClockFix, direct: Link | None, problems: Sequence[str]) -> ClockFix:
    if direct is None:
        why = "; ".join(problems) or "nothing in it can be compared with another device"
        return replace(start, flag=Flag.NOTHING_TO_COMPARE, reason=why)
    # A link is stated along its second device's seconds.
    line = direct.line if direct.b == start.device else direct.line.turned()
    drift = round(line.drift * 1e6, 3)
    why = direct.doubt or "no common events found"
    return replace(
        start,
        offset=round(line.offset - drift * 1e-6 * line.pivot, 6),
        drift_ppm=drift,
        confidence=round(direct.confidence, 6),
        method=" ".join(direct.pairs),
        flag=Flag.AMBIGUOUS if direct.doubt else Flag.NOTHING_IN_COMMON,
        reason=f"{why} (confidence {direct.confidence:.2f}); the clock was left as it is",
    )
