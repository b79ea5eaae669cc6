"""Global clock adjustment: one least squares over all links between pairs of devices, with outlier links removed.

Each device is first placed through its most certain chain of links. Then all clocks are moved together so that each
link is met according to its certainty (a Gauss-Newton step from the chain), as in the adjustment of a geodetic network.
Data snooping (Baarda, 1968) finds a wrong link: without it the others agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from plait.clocks.drift import Curve
from plait.clocks.link import Link
from plait.clocks.wander import hats, second_differences
from plait.streams.warp import Warp

__all__ = ["CONTRADICTION", "Adjustment", "LeftOut", "Placed", "adjust", "best_root", "chains", "extent", "warp_of"]

Array = NDArray[np.float64]
Chains = dict[str, tuple[float, list[Link]]]

CONTRADICTION = 6.0
"""Most standard errors by which a link may miss the solution."""

BEND = 200e-6
"""Prior standard deviation of the change of slope between neighbouring corrections, seconds per second."""

STRAIGHT = 0.0005
"""Standard deviation of a link from straight lines between its knots, seconds."""

STEEP = 1e-3
"""Slope of a clock that stands still while the other one runs, so that time always goes forward."""

SURER = 10.0
"""Least odds of the best explanation against the next, for it to be accepted."""


@dataclass(frozen=True)
class Placed:
    """One device's clock relative to the root's.

    Attributes:
        warp: correction added to the device's seconds.
        nodes: [m] root seconds at which the solution's ``covariance`` [m, m] is stated; linear in between.
        worst: most standard errors by which a link of the device misses the solution.
        way: the most certain chain of links from the root.
        links: number of links of the device.
        untold: (first, last) second of the device between which no link has lags, if that is most of the recording.
    """

    warp: Warp
    nodes: Array
    covariance: Array
    worst: float
    way: tuple[Link, ...]
    links: int
    untold: tuple[float, float] | None = None

    def error_at(self, t: Array) -> Array:
        """Standard error at the device's seconds t, [len(t)]."""
        return np.asarray(np.sqrt(np.diag(self.covariance_at(t))))

    def covariance_at(self, t: Array) -> Array:
        """Covariance of the clock's error at the device's seconds t, [len(t), len(t)].

        The distance that a clock may wander from its line counts as one fully correlated error per link of the way.
        """
        at = hats(self.warp(t), self.nodes)
        wander = [one.line.wander_at(t) for one in self.way]
        return np.asarray(at @ self.covariance @ at.T + sum((np.outer(w, w) for w in wander), np.zeros((len(t),) * 2)))


@dataclass(frozen=True)
class LeftOut:
    """A link that the others contradict: by at most ``off`` seconds, in standard errors, and whether the other links
    prove it (``sure``) or only its lower confidence suggests it."""

    link: Link
    off: float
    deviations: float
    sure: bool


@dataclass(frozen=True)
class Adjustment:
    """A global clock adjustment: clocks by device (without the root), links used and left out."""

    root: str
    clocks: Mapping[str, Placed]
    used: tuple[Link, ...]
    left_out: tuple[LeftOut, ...]


def warp_of(curve: Curve, horizon: tuple[float, float]) -> Warp:
    """A lag as a correction of the seconds of its stream, from end to end of ``horizon``."""
    lo, hi = horizon
    inner = [(t, lag) for t, lag in curve.knots if lo < t < hi]
    points = [(lo, float(curve.at(lo))), *inner, (hi, float(curve.at(hi)))]
    out = points[:1]
    for t, lag in points[1:]:
        before, had = out[-1]
        rise = t + lag - before - had  # where time would stand still, it goes on slowly instead
        out.append((t if rise > 0 and rise >= STEEP * (t - before) else before + (had - lag) / (1 - STEEP), lag))
    return Warp(out)


def chains(root: str, links: Sequence[Link]) -> Chains:
    """For each reachable device, the variance of its most certain chain from the root, and the links of the chain."""
    # Bellman and Ford's shortest paths: recordings have a handful of devices, so no queue is needed.
    best: Chains = {root: (0.0, [])}
    for _ in links:
        for one in links:
            for here, there in ((one.a, one.b), (one.b, one.a)):
                cost = best[here][0] + float(one.covariance[0, 0]) if here in best else np.inf
                if cost < best.get(there, (np.inf, []))[0]:
                    best[there] = (cost, [*best[here][1], one])
    return best


def best_root(devices: Sequence[str], links: Sequence[Link]) -> str:
    """The device linked to most others; among equals, the one with the smallest sum of errors to them."""

    def rank(name: str) -> tuple[int, float]:
        found = chains(name, links)
        return (-len(found), float(sum(np.sqrt(variance) for variance, _ in found.values())))

    return min(devices, key=rank)


def adjust(root: str, links: Sequence[Link], horizon: tuple[float, float]) -> Adjustment:
    """Adjust the clocks of all devices that the links reach, without the links that the others prove wrong.

    Args:
        root: the device whose clock is kept.
        links: between pairs of devices, each confident by itself.
        horizon: from before the first to after the last second of any device.
    """
    reached = chains(root, links)
    used = [one for one in links if one.a in reached]
    left_out: list[LeftOut] = []
    while (net := _Net(root, used, horizon)).worst > CONTRADICTION and (wrong := _wrong(net)) is not None:
        left_out.append(wrong)
        used = [one for one in used if one is not wrong.link]
    return Adjustment(root, net.clocks(), tuple(used), tuple(left_out))


def _wrong(net: _Net) -> LeftOut | None:
    """The one link without which the others agree; None if there is not exactly one."""
    scored = []
    for i, one in enumerate(net.links):
        rest = [other for other in net.links if other is not one]
        if len(chains(net.root, rest)) < len(net.names) + 1:
            continue  # the only way to a device
        without = _Net(net.root, rest, net.horizon)
        # Bounded: a confidence of exactly 1 must not make a link immune against what all others say.
        doubt = np.log(np.clip(1 - one.confidence, 1e-3, 0.5))
        scored.append((float(doubt - without.misfit / 2), -without.misfit / 2, i, without))
    if not scored:
        return None
    scored.sort(key=lambda s: s[:3], reverse=True)
    if len(scored) > 1 and scored[0][0] - scored[1][0] < np.log(SURER):
        return None
    _, own, i, without = scored[0]
    others = max((s[1] for s in scored[1:]), default=-np.inf)
    return LeftOut(net.links[i], without.gap(net.links[i]), net.worst, bool(own - others >= np.log(SURER)))


class _Net:
    """Devices as nodes, links as edges: the least squares over all of them."""

    def __init__(self, root: str, links: Sequence[Link], horizon: tuple[float, float]) -> None:
        self.root, self.links, self.horizon = root, tuple(links), horizon
        self._chains = chains(root, links)
        self.names = sorted(set(self._chains) - {root})
        self.placed = {name: self._along(self._chains[name][1]) for name in self._chains}
        self.nodes = self._breaks()
        self._solve()

    def _along(self, way: Sequence[Link]) -> Warp:
        """The clock of the device at the end of a chain, from the chain alone."""
        here, total = self.root, Warp(())
        for one in way:
            line, there = (one.line, one.b) if one.a == here else (one.line.turned(), one.a)
            total, here = warp_of(line, self.horizon).then(total), there
        return total

    def _breaks(self) -> Array:
        """Root seconds between which corrections of the chains are linear: wherever a link bends."""
        lo, hi = self.horizon
        inner = [
            float(self.placed[one.b]([t])[0]) + side
            for one in self.links
            for (t, _), jump in zip(one.line.knots, _at_jump(one.line))
            # A jump gets a node on either side: one node in it would smear it.
            for side in ((-1.0, 1.0) if jump else (0.0,))
        ]
        kept = [lo]
        # At most 60 nodes a device, so that the normal matrix stays small.
        least = max((hi - lo) / 60, 0.5)
        for t in sorted(x for x in inner if lo < x < hi):
            if t - kept[-1] >= least:
                kept.append(t)
        return np.array([*kept, hi])

    def _solve(self) -> None:
        m, names = len(self.nodes), self.names
        rows, values, self._owner = [np.zeros((0, m * len(names)))], [np.zeros(0)], []
        for i, one in enumerate(self.links):
            at, covariance = self._asked(one)
            lag = one.line.at(at)
            # Whitened rows have unit variance: residuals are standard errors, to be compared with `CONTRADICTION`.
            whiten = np.linalg.inv(np.linalg.cholesky(covariance))
            weights = hats(self.placed[one.b](at), self.nodes)
            design = np.zeros((len(at), m * len(names)))
            for name, sign in ((one.b, 1), (one.a, -1)):
                if name != self.root:
                    design[:, m * names.index(name) : m * (names.index(name) + 1)] += sign * weights
            rows.append(whiten @ design)
            values.append(whiten @ (self.placed[one.a](at + lag) - self.placed[one.b](at)))
            self._owner += [i] * len(at)
        design, target = np.concatenate(rows), np.concatenate(values)
        bends = np.kron(np.eye(len(names)), second_differences(self.nodes)) / BEND
        normal = design.T @ design + bends.T @ bends
        self.covariance = np.linalg.inv(normal) if len(names) else np.zeros((0, 0))
        self.moves = (self.covariance @ (design.T @ target)).reshape(len(names), m)
        self.residual = target - design @ self.moves.reshape(-1)
        self.misfit = float((self.residual**2).sum())
        self.worst = float(np.abs(self.residual).max(initial=0.0))

    def _asked(self, one: Link) -> tuple[Array, Array]:
        """The seconds of b at which a link's lag enters, and the covariance of the lags there."""
        line, shared = one.line, (one.bias / 2) ** 2
        # No link bends: a line has two parameters, so two lags say all of it; the tiny ridge keeps Cholesky defined.
        if len(self.nodes) == 2:
            away = np.array([0.0, 20.0])
            spread = np.column_stack([np.ones(2), away])
            return line.pivot + away, spread @ line.covariance @ spread.T + shared + 1e-14 * np.eye(2)
        first, last = extent(one)
        own = np.array([float(self.placed[one.b].back(t)) for t in self.nodes[1:-1].tolist()])
        at = np.unique([first, *own[(own > first) & (own < last)], last])
        if line.knots:
            local = hats(at, np.array([t for t, _ in line.knots])) * np.array(line.errors)
            covariance = local @ local.T
        else:
            spread = np.column_stack([np.ones(len(at)), at - line.pivot])
            covariance = spread @ line.covariance @ spread.T
        loose = max(line.spread**2 * len(at) / max(line.n, len(at)), STRAIGHT**2)
        return at, covariance + shared + loose * np.eye(len(at))

    def gap(self, one: Link) -> float:
        """Largest distance of a link from the solution, seconds."""
        ends = np.linspace(*extent(one), 5)
        clocks = {name: self._warp(name) for name in (one.a, one.b)}
        return float(np.abs(clocks[one.a](ends + one.line.at(ends)) - clocks[one.b](ends)).max())

    def _warp(self, name: str) -> Warp:
        if name == self.root:
            return Warp(())
        moves = self.moves[self.names.index(name)]
        return self.placed[name].then(Warp(zip(self.nodes.tolist(), moves.tolist())))

    def clocks(self) -> dict[str, Placed]:
        """Every device's clock but the root's."""
        worst = np.zeros(len(self.links))
        np.maximum.at(worst, np.array(self._owner, int), np.abs(self.residual))
        m, out = len(self.nodes), {}
        for i, name in enumerate(self.names):
            own = slice(i * m, (i + 1) * m)
            touching = [float(w) for w, one in zip(worst, self.links) if name in (one.a, one.b)]
            way = tuple(self._chains[name][1])
            covariance = np.asarray(self.covariance[own, own], np.float64)
            blind = _untold(name, self.links)
            out[name] = Placed(self._warp(name), self.nodes, covariance, max(touching), way, len(touching), blind)
        return out


def _at_jump(line: Curve) -> list[bool]:
    """For each knot, whether its neighbour is the other side of a jump (up, or down within its own size)."""
    steep = [abs(y - x) > 0.01 * (b - a) for (a, x), (b, y) in pairwise(line.knots)]
    return [before or after for before, after in zip([False, *steep], [*steep, False])]


def extent(one: Link) -> tuple[float, float]:
    """First and last second of b at which a link was measured."""
    times = [t for each in one.lags for t in each.times] or [t for t, _ in one.line.knots]
    # Without lags a minute about the pivot, where the line is known best.
    if len(times) < 2:
        return one.line.pivot - 30.0, one.line.pivot + 30.0
    return float(min(times)), float(max(times))


def _untold(name: str, links: Sequence[Link]) -> tuple[float, float] | None:
    """The shortest stretch without lags of all links of a device, in its seconds; None if a link has none."""
    found = []
    for one in links:
        if name not in (one.a, one.b):
            continue
        if one.untold is None:
            return None
        first, last = one.untold
        own = (first, last) if name == one.b else (first + float(one.line.at(first)), last + float(one.line.at(last)))
        found.append(own)
    return min(found, key=lambda stretch: stretch[1] - stretch[0], default=None)
