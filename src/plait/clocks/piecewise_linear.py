"""Piecewise linear drift, for clocks whose drift changes and for recordings that lost samples.

The lags are cut into runs, each fitted by a straight line, by dynamic programming: the least sum of squares plus a
penalty per cut (Bellman and Roth, J. Amer. Stat. Assoc. 1969; Jackson et al., IEEE Signal Proc. Lett. 2005). Each cut
is then made as simple as the lags allow: a bend (the drift changes), a jump (the lag changes), or both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from plait.clocks.drift import FREE, TYPICAL_DRIFT, Curve, Weighed, closeness, fit_line, reweighted
from plait.clocks.offset import Lags
from plait.clocks.wander import wander

__all__ = ["fit_piecewise_linear"]

Array = NDArray[np.float64]
Place = Callable[[float, float, float, float], float]

FEWEST_FREE = 3.0
"""Least degrees of freedom of a scatter: prior knowledge of it is worth this many."""

SHORTEST = 3
"""Fewest lags in a piece."""

PRICE = 14.0
"""Deviance that a cut must save beyond the penalty of the Bayesian information criterion."""

MOST = 400
"""Most lags in the search for cuts; beyond it, neighbours are averaged."""


@dataclass(frozen=True)
class _Term:
    """A bend (the drift changes) or a jump (the lag changes) at second t."""

    t: float
    jump: bool

    def column(self, times: Array) -> Array:
        after = times - self.t
        return np.asarray((after >= 0).astype(float) if self.jump else np.maximum(after, 0.0))


@dataclass(frozen=True)
class _Model:
    """A line with terms, fitted: coefficients of (1, t - pivot, terms...)."""

    pivot: float
    terms: tuple[_Term, ...]
    found: Array
    covariance: Array
    cost: float

    def at(self, t: Array) -> Array:
        return np.asarray(_design(t, self.pivot, self.terms) @ self.found)

    def error_at(self, t: Array) -> Array:
        rows = _design(t, self.pivot, self.terms)
        return np.asarray(np.sqrt(np.maximum(np.einsum("ti,ij,tj->t", rows, self.covariance, rows), 0)))


def _usual(terms: Sequence[_Term]) -> Array:
    """Prior standard deviations of the coefficients of a line with terms."""
    return np.array([FREE, TYPICAL_DRIFT, *(FREE if term.jump else 2 * TYPICAL_DRIFT for term in terms)])


def _design(t: Array, pivot: float, terms: Sequence[_Term]) -> Array:
    return np.column_stack([np.ones(len(t)), t - pivot, *(term.column(t) for term in terms)])


@dataclass(frozen=True)
class _Data:
    """Lags in order of time, their weights, and the standard deviation of each about any smooth curve."""

    times: Array
    lags: Array
    weighed: Weighed
    noise: Array

    def fit(self, pivot: float, terms: tuple[_Term, ...]) -> _Model:
        """Least absolute residuals first, then Tukey's biweight; the cost is the deviance plus a penalty per term."""
        design = _design(self.times, pivot, terms)
        found: Array = np.zeros(design.shape[1])
        root: Array = np.asarray(1 / self.noise)
        # Iteratively reweighted least squares towards least absolute residuals; the bound keeps the weights finite.
        for _ in range(12):
            found = np.asarray(np.linalg.lstsq(design * root[:, None], self.lags * root, rcond=None)[0], np.float64)
            root = np.asarray(
                1 / np.sqrt(self.noise * np.maximum(np.abs(self.lags - design @ found), 0.3 * self.noise))
            )
        found, covariance = reweighted(design, self.lags, self.weighed, found, _usual(terms))
        price = (np.log(len(self.lags)) + PRICE / 2) * len(terms)
        return _Model(pivot, terms, found, covariance, self.deviance(self.lags - design @ found) + price)

    def deviance(self, residual: Array) -> float:
        """Minus twice the logarithm of the likelihood with Student's distribution of three degrees of freedom."""
        return float(4 * np.log1p((residual / self.noise) ** 2 / 3).sum())


def fit_piecewise_linear(
    lags: Sequence[Lags],
    *,
    pivot: float,
    span: tuple[float, float],
    floors: Sequence[float],
    least: float,
    change_points: Sequence[float] = (),
    place: Place | None = None,
) -> Curve:
    """A line through the lags, cut where the lags require it.

    Args:
        lags: one per pair of streams.
        pivot: where the line's offset is stated, seconds.
        span: first and last second of y.
        floors: least standard deviation of a lag, seconds, per pair.
        least: a cut that moves the curve by less than this many seconds is not made.
        change_points: seconds at which the lag is known to jump.
        place: given the seconds between which there is a jump, and the lags before and after, returns its instant.

    >>> t = np.arange(0.0, 600, 6); lag = 1 + 1e-4 * np.maximum(t - 200, 0) + 0.05 * (t > 400)
    >>> got = fit_piecewise_linear([Lags(t, lag, np.ones(100))], pivot=300, span=(0, 600), floors=[1e-4], least=1e-3)
    >>> [round(a) for a, _ in got.knots], [round(size, 3) for _, size in got.change_points]
    ([0, 200, 399, 399, 600], [0.05])
    """
    data = _gathered(lags, floors)
    curve = _cut_where_needed(data, pivot, span, floors, least, change_points, place)
    residual = data.lags - curve.at(data.times)
    roots = data.weighed.roots(residual)
    wider = _widened(data.weighed, residual)
    at, error = wander(data.times, roots / wider, span)
    return replace(
        curve,
        covariance=curve.covariance * wider**2,
        errors=tuple(wider * each for each in curve.errors),
        wander=tuple(zip(at.tolist(), error.tolist())),
    )


def _widened(weighed: Weighed, residual: Array) -> float:
    """Ratio of Student's t interval to the normal one, because the scatter of few lags is itself uncertain.

    It applies only where the scatter was estimated: a floor was known beforehand and is not uncertain.
    """
    from scipy.special import ndtri, stdtrit

    root = weighed.roots(residual)
    shown = replace(weighed, floors=tuple(1e-9 for _ in weighed.floors)).scales(residual)
    used = root > 0
    share = float(np.mean(np.minimum(shown[used] * root[used], 1.0) ** 2)) if used.any() else 0.0
    free = max(float(used.sum()) - 2, FEWEST_FREE)
    return float(np.sqrt(1 + share * ((stdtrit(free, 0.975) / ndtri(0.975)) ** 2 - 1)))


def _cut_where_needed(
    data: _Data,
    pivot: float,
    span: tuple[float, float],
    floors: Sequence[float],
    least: float,
    change_points: Sequence[float],
    place: Place | None,
) -> Curve:
    plain = fit_line(data.times, data.lags, data.weighed.weights, data.weighed.groups, pivot=pivot, floors=floors)
    found = _cuts(data)
    known = [_nearest(found, t, data.times) for t in change_points]
    cuts = sorted({*found, *known})
    if not cuts:
        return plain
    model = _simplified(data, pivot, cuts, least, known)
    if not model.terms:
        return plain
    if place is not None:
        model = _placed(data, model, place)
    return _curve(data, model, span)


def _nearest(cuts: Sequence[float], t: float, times: Array) -> float:
    """The cut that is fewer than `SHORTEST` lags away from t; else t itself."""
    near = [c for c in cuts if abs(np.searchsorted(times, c) - np.searchsorted(times, t)) < SHORTEST]
    return min(near, key=lambda c: abs(c - t)) if near else t


def _gathered(lags: Sequence[Lags], floors: Sequence[float]) -> _Data:
    groups = np.concatenate([np.full(len(each.times), i, np.int64) for i, each in enumerate(lags)])
    times, values, weights = (np.concatenate([getattr(e, f) for e in lags]) for f in ("times", "lags", "weights"))
    order = np.argsort(times, kind="stable")
    weighed = Weighed(weights[order], groups[order], tuple(floors))
    rough = np.zeros(len(order))
    for g in np.unique(groups):
        own = np.flatnonzero(weighed.groups == g)
        rough[own] = _roughness(values[order][own])
    return _Data(times[order], values[order], weighed, weighed.scales(rough))


def _roughness(values: Array) -> Array:
    """Distance of each value from the straight line between its neighbours, scaled to the noise of one value."""
    if len(values) < 3:
        return np.zeros(len(values))
    # The variance of a value minus the mean of two others is 1.5 times that of one.
    bent = np.abs(values[1:-1] - (values[2:] + values[:-2]) / 2) / np.sqrt(1.5)
    return np.concatenate([bent[:1], bent, bent[-1:]])


def _cuts(data: _Data) -> list[float]:
    """The cuts that let straight lines fit the runs best, with a penalty per cut."""
    t, values, weight = _thinned(data)
    n = len(t)
    if n < 2 * SHORTEST:
        return []
    # A cut has three parameters: slope, intercept and place.
    price = PRICE + 3 * np.log(n)
    sums = _Sums.of(t, values, weight)
    # Every piece pays, the first one too, so the start is paid back.
    best, came = np.full(n + 1, np.inf), np.zeros(n + 1, np.int64)
    best[0] = -price
    for stop in range(SHORTEST, n + 1):
        starts = np.arange(0, stop - SHORTEST + 1)
        total = best[starts] + sums.misfit(starts, stop) + price
        came[stop] = starts[int(np.argmin(total))]
        best[stop] = total.min()
    cuts, at = [], int(came[n])
    while at > 0:
        cuts.append(float(t[at - 1] + t[at]) / 2)
        at = int(came[at])
    return cuts


def _thinned(data: _Data) -> tuple[Array, Array, Array]:
    """Times, lags and weights; outliers are moved to their neighbours and weigh less; many lags are averaged."""
    # A neighbours' mean alone would call the lags beside a jump outliers; one-sided lines do not.
    near = _foretold(data.lags)
    wild = np.abs(data.lags - near) > 6 * data.noise
    values, weight = np.where(wild, near, data.lags), data.noise**-2.0 * np.where(wild, 0.1, 1.0)
    k = -(-len(values) // MOST)
    if k <= 1:
        return data.times, values, weight
    edges = np.arange(0, len(values), k)
    total = np.add.reduceat(weight, edges)
    times, values = (np.asarray(np.add.reduceat(v * weight, edges) / total) for v in (data.times, values))
    return times, values, np.asarray(total)


def _foretold(values: Array) -> Array:
    """The best prediction of each value: its neighbours' mean, or a straight line on from the left or right."""
    v = np.concatenate([values[[0, 0]], values, values[[-1, -1]]])
    options = np.stack([(v[1:-3] + v[3:-1]) / 2, 2 * v[1:-3] - v[:-4], 2 * v[3:-1] - v[4:]])
    best = np.argmin(np.abs(options - values), axis=0)
    return np.asarray(np.take_along_axis(options, best[None], axis=0)[0])


@dataclass(frozen=True)
class _Sums:
    """Cumulative sums that give the misfit of a line to any run in constant time."""

    table: Array

    @classmethod
    def of(cls, t: Array, values: Array, weight: Array) -> _Sums:
        # Centred and scaled: sums of squares of raw seconds would cancel badly in `misfit`.
        x, y = (t - t.mean()) / max(float(np.ptp(t)), 1e-9), values - np.median(values)
        rows = np.stack([weight, weight * x, weight * x * x, weight * y, weight * x * y, weight * y * y])
        return cls(np.concatenate([np.zeros((6, 1)), np.cumsum(rows, axis=1)], axis=1))

    def misfit(self, starts: NDArray[np.int64], stop: int) -> Array:
        """Weighted sum of squares about the best line of the runs starts..stop."""
        w, wx, wxx, wy, wxy, wyy = self.table[:, stop, None] - self.table[:, starts]
        sxx, sxy, syy = wxx - wx**2 / w, wxy - wx * wy / w, wyy - wy**2 / w
        return np.asarray(np.maximum(syy - sxy**2 / np.maximum(sxx, 1e-12), 0))


def _simplified(data: _Data, pivot: float, cuts: Sequence[float], least: float, known: Sequence[float]) -> _Model:
    """Each cut as a bend, a jump, both or nothing, whichever costs least; two passes, as cuts depend on each other."""
    options: list[tuple[_Term, ...]] = [(_Term(t, True), _Term(t, False)) for t in cuts]
    model = data.fit(pivot, _all(options))
    crossings = [_crossing(data, model, i, t) for i, t in enumerate(cuts)]
    for _ in range(2):
        for i, t in enumerate(cuts):
            for option in _options(t, crossings[i], needed=t in known):
                trial = data.fit(pivot, _all([*options[:i], option, *options[i + 1 :]]))
                slight = not option and np.abs(trial.at(data.times) - model.at(data.times)).max() < least
                # A cut that hardly moves the curve goes even where the lags favour it: it only adds knots.
                if trial.cost < model.cost or (slight and t not in known):
                    options[i], model = option, trial
    return model


def _crossing(data: _Data, model: _Model, i: int, t: float) -> float:
    """The second at which the lines before and after the i-th cut meet, if it is near; else the cut itself."""
    jump, bend = model.found[2 + 2 * i : 4 + 2 * i]
    place = t - float(jump / bend) if bend else np.inf
    near = data.times[np.clip(np.searchsorted(data.times, t) + np.array([-8, 8]), 0, len(data.times) - 1)]
    return place if near[0] < place < near[1] else t


def _all(options: Sequence[tuple[_Term, ...]]) -> tuple[_Term, ...]:
    return tuple(term for option in options for term in option)


def _options(t: float, crossing: float, *, needed: bool) -> list[tuple[_Term, ...]]:
    """What a cut at t may be: a jump, a bend where the lines meet, both, or nothing."""
    jump, bend = _Term(t, True), _Term(crossing, False)
    return [(jump,), (jump, _Term(t, False))] if needed else [(), (jump,), (bend,)]


def _placed(data: _Data, model: _Model, place: Place) -> _Model:
    """The model with the jumps of the lag placed by the signals themselves."""
    times, terms = np.unique(data.times), []
    for term in model.terms:
        i = int(np.clip(np.searchsorted(times, term.t), 1, len(times) - 1))
        if term.jump:
            before, after = model.at(np.array([np.nextafter(term.t, -np.inf), term.t]))
            term = _Term(place(float(times[i - 1]), float(times[i]), float(before), float(after)), True)
        terms.append(term)
    return data.fit(model.pivot, tuple(terms))


def _curve(data: _Data, model: _Model, span: tuple[float, float]) -> Curve:
    """The model as knots, with the straight line nearest to it."""
    times, change_points = [span[0]], []
    for i in np.argsort([term.t for term in model.terms], kind="stable"):
        term, size = model.terms[i], float(model.found[2 + i])
        if term.jump:
            change_points.append((term.t, size))
            # A jump down takes a little longer than its size, so that time never stands quite still.
            times += [float(np.nextafter(term.t, -np.inf)), term.t if size > 0 else term.t - 1.005 * size]
        else:
            times.append(term.t)
    when = np.maximum.accumulate(np.array([*times, max(span[1], times[-1] + 1e-3)]))
    # Both knots of a jump are shown at one instant; the model was evaluated on either side of it.
    shown = np.where(np.append(np.diff(when) < 1e-9, False), np.append(when[1:], 0.0), when)
    residual = np.abs(data.lags - model.at(data.times))
    weights, groups = data.weighed.weights, data.weighed.groups
    line = fit_line(data.times, model.at(data.times), weights, groups, pivot=model.pivot)
    spread, inliers = closeness(residual, weights)
    return replace(
        line,
        spread=spread,
        inliers=inliers,
        n=len(data.times),
        knots=tuple(zip(shown.tolist(), model.at(when).tolist())),
        change_points=tuple(change_points),
        errors=tuple(model.error_at(when).tolist()),
    )
