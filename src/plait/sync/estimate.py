"""Every device's clock of one recording against the reference, from all links between devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from plait.streams.stream import Stream
from plait.sync.drift import Line
from plait.sync.link import Limits, Link, activities, link, span_of

__all__ = ["ClockFix", "solve"]

Array = NDArray[np.float64]
Devices = Mapping[str, Mapping[str, Stream]]


@dataclass(frozen=True)
class ClockFix:
    """One device of one recording: ``reference seconds = seconds * (1 + drift_ppm / 1e6) + offset``.

    Attributes:
        recording: its id.
        device: its streams' names, joined by '+'.
        streams: their names.
        reference: the reference device in this recording.
        offset: seconds (nan: nothing was found).
        drift_ppm: parts per million.
        confidence: that the right peak was found at all, 0..1.
        uncertainty_s: the clock is right within so many seconds everywhere in the recording: two standard
            errors at the worse end, with what the measure itself may be biased by.
        method: which pairs of streams told it, and through which device.
        applied: whether the clock is to be corrected.
        reason: why it is flagged; '' when it is not.
    """

    recording: str
    device: str
    streams: tuple[str, ...]
    reference: str
    offset: float = float("nan")
    drift_ppm: float = float("nan")
    confidence: float = 0.0
    uncertainty_s: float = float("inf")
    method: str = "none"
    applied: bool = False
    reason: str = ""

    @property
    def flagged(self) -> bool:
        return bool(self.reason)


def solve(recording: str, devices: Devices, reference: str, limits: Limits) -> list[ClockFix]:
    """The clocks of all devices but the reference, in least squares over every link that is sure.

    A device that the reference says nothing about is placed through one that knows both.
    """
    acts, problems = {}, {}
    for name, streams in devices.items():
        acts[name], problems[name] = activities(streams)
    links = [found for a, b in combinations(devices, 2) if (found := link(a, acts[a], b, acts[b], limits))]
    links = [_towards(reference, one) for one in links]
    good = [one for one in links if one.confidence >= limits.sure]
    known = _reachable(reference, good)
    clocks = _least_squares(reference, sorted(known - {reference}), [g for g in good if g.a in known])
    fixes = []
    for name, streams in devices.items():
        if name == reference:
            continue
        start = ClockFix(recording, name, tuple(streams), reference)
        direct = next((one for one in links if {one.a, one.b} == {name, reference}), None)
        if name in clocks:
            (lo, hi), (first, last) = span_of(acts[name]), span_of(acts[reference])
            span = (min(lo, first), max(hi, last))
            fixes.append(_accepted(start, clocks[name], good, span, limits))
        else:
            fixes.append(_refused(start, direct, [*problems[name], *problems[reference]]))
    return fixes


def _towards(reference: str, one: Link) -> Link:
    """Links keep their direction, but one that ends in the reference is turned so that it starts there."""
    if one.b != reference:
        return one
    line = one.line
    pivot = line.pivot + line.offset
    scale = 1 / (1 + line.drift)
    turned = Line(-line.offset, -line.drift * scale, pivot, line.covariance, line.spread, line.inliers, line.n)
    return Link(one.b, one.a, turned, one.confidence, one.bias, one.pairs)


def _reachable(start: str, links: Sequence[Link]) -> set[str]:
    found = {start}
    while more := {x for one in links if {one.a, one.b} & found for x in (one.a, one.b)} - found:
        found |= more
    return found


@dataclass(frozen=True)
class _Solved:
    """``reference - own = line.at(own)``, and what it rests on."""

    line: Line
    worst_residual: float


def _least_squares(reference: str, names: list[str], links: Sequence[Link]) -> dict[str, _Solved]:
    """Offset and drift of each device, from two equations for each link (at its pivot and away).

    A device's seconds t become ``t + offset + drift * (t - pivot)``. A link's lag takes b's seconds to a's, so
    both must become the same.
    """
    if not names:
        return {}
    pivot = float(np.mean([one.line.pivot for one in links]))
    rows, values = [], []
    for one in links:
        at = one.line.pivot + np.array([0.0, 20.0])
        lag = one.line.at(at)
        design = np.zeros((2, 2 * len(names)))
        for device, sign, when in ((one.b, 1, at), (one.a, -1, at + lag)):
            if device != reference:
                design[:, 2 * names.index(device)] += sign
                design[:, 2 * names.index(device) + 1] += sign * (when - pivot)
        spread = np.column_stack([np.ones(2), [0.0, 20.0]])
        whiten = np.linalg.inv(np.linalg.cholesky(spread @ one.covariance @ spread.T + 1e-14 * np.eye(2)))
        rows.append(whiten @ design)
        values.append(whiten @ lag)
    design, target = np.concatenate(rows), np.concatenate(values)
    covariance: Array = np.linalg.inv(design.T @ design).astype(np.float64)
    found = covariance @ design.T @ target
    off = np.abs(target - design @ found).reshape(-1, 2).max(axis=1)
    solved = {}
    for i, name in enumerate(names):
        own = slice(2 * i, 2 * i + 2)
        touching = [o for o, one in zip(off, links) if name in (one.a, one.b)]
        line = Line(float(found[2 * i]), float(found[2 * i + 1]), pivot, covariance[own, own], 0.0, 1.0, len(touching))
        solved[name] = _Solved(line, float(max(touching)))
    return solved


def _accepted(
    start: ClockFix, clock: _Solved, good: Sequence[Link], span: tuple[float, float], limits: Limits
) -> ClockFix:
    confidence, way = _best_way(start.device, start.reference, good)
    line = clock.line
    uncertainty = 2 * float(line.error_at(np.array(span)).max())
    reason = ""
    if clock.worst_residual > 6:
        reason = f"the devices contradict each other by {clock.worst_residual:.0f} standard errors"
    elif abs(line.drift) * 1e6 > limits.max_drift_ppm or abs(line.offset) > 2 * limits.max_offset:
        reason = f"drift {line.drift * 1e6:.0f} ppm or offset {line.offset:.2f} s is beyond the limits"
    elif uncertainty > 5 * limits.tolerance:
        reason = f"uncertain by {uncertainty * 1e3:.0f} ms"
    applied = not reason
    if applied and uncertainty > limits.tolerance:
        reason = f"corrected, but uncertain by {uncertainty * 1e3:.0f} ms"
    drift = round(line.drift * 1e6, 3)
    return replace(
        start,
        offset=round(line.offset - drift * 1e-6 * line.pivot, 6),
        drift_ppm=drift,
        confidence=round(confidence, 6),
        uncertainty_s=round(uncertainty, 6),
        method=_method(start.device, start.reference, way, good),
        applied=applied,
        reason=reason,
    )


def _best_way(device: str, reference: str, good: Sequence[Link]) -> tuple[float, list[Link]]:
    """The surest chain of links from the reference, and the product of their confidences."""
    best: dict[str, tuple[float, list[Link]]] = {reference: (0.0, [])}
    for _ in good:
        for one in good:
            for here, there in ((one.a, one.b), (one.b, one.a)):
                cost = best[here][0] + float(one.covariance[0, 0]) if here in best else np.inf
                if cost < best.get(there, (np.inf, []))[0]:
                    best[there] = (cost, [*best[here][1], one])
    way = best[device][1]
    return float(np.prod([one.confidence for one in way])), way


def _method(device: str, reference: str, way: Sequence[Link], good: Sequence[Link]) -> str:
    between = [x for one in way for x in (one.a, one.b) if x not in (device, reference)]
    pairs = " ".join(p for one in way for p in one.pairs)
    others = sum(device in (one.a, one.b) for one in good) - 1
    through = f"through {between[0]}: " if between else ""
    return f"{through}{pairs}" + (f", and {others} more" if others > 0 else "")


def _refused(start: ClockFix, direct: Link | None, problems: Sequence[str]) -> ClockFix:
    if direct is None:
        return replace(start, reason="; ".join(problems) or "nothing in it can be compared with another device")
    line, drift = direct.line, round(direct.line.drift * 1e6, 3)
    return replace(
        start,
        offset=round(line.offset - drift * 1e-6 * line.pivot, 6),
        drift_ppm=drift,
        confidence=round(direct.confidence, 6),
        method=" ".join(direct.pairs),
        reason=f"no common events found (confidence {direct.confidence:.2f}); the clock was left as it is",
    )
