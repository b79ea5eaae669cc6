"""What the training items say of a stream's future: scales, quantiles, and a ridge regression on its own past."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import DataError
from plait.examples.future import Future, Track
from plait.examples.targets import Target
from plait.tasks.autoregression import Lagged, autoregress, fit_autoregression
from plait.tasks.timed import all_of

__all__ = ["History", "futures_of", "origins_of"]

Floats = NDArray[np.float64]

MOST_LAGS = 512
LEAST = 0.02
"""An item's scale is at least this share of the typical one: a past without any change would make it 0."""

LATELY = (4, 16)
"""Over how many horizons the mean change until now is told, besides over the whole past."""


@dataclass(frozen=True, eq=False)
class History:
    """What training items say of the streams to forecast.

    Attributes:
        horizons: seconds ahead.
        season: seconds of a period; None: none.
        lags: number of past values of each target that the ridge regression sees.
        steps: seconds between them, of each target.
        location, spread: median of all training values of each target, and their standard deviation, [targets].
        typical: mean absolute change over the longest horizon, [targets].
        units: what metrics are counted in, [targets].
        weights: of the ridge regression of each target, [lags - 1, horizons]; None where the last value is better.
        base: quantiles of the future around the centre, in units of the scale, [horizons, targets, levels].
        absolute: quantiles of the values, in deviations from the location, [horizons, targets, levels].
        rivals: by name, quantiles of the future around a cheap forecast, like ``base``.
        block: seconds that the ridge regression forecasts at once, before it goes on from its own forecasts; None: it
            forecasts each horizon directly.
    """

    horizons: list[float]
    season: float | None
    lags: list[int]
    steps: list[float]
    location: Floats
    spread: Floats
    typical: Floats
    units: Floats
    weights: list[Floats | None]
    base: Floats
    absolute: Floats
    rivals: dict[str, Floats]
    block: float | None = None

    @classmethod
    def of(
        cls,
        futures: Sequence[Future],
        streams: Sequence[str],
        horizons: list[float],
        levels: Sequence[float],
        lags: int | None,
        season: float | None,
        block: float | None = None,
    ) -> History:
        """Learn it from the training items.

        Raises:
            DataError: nothing is known of a target in them.
        """
        tracks = [_tracks(futures, s) for s in range(len(streams))]
        values = [np.concatenate([t.values for t in own]) if own else np.empty(0) for own in tracks]
        problems = [
            f"task.target: the training items hold no number of {n!r}." for n, v in zip(streams, values) if not len(v)
        ]
        if problems:
            raise DataError(problems)
        location = np.array([np.median(v) for v in values])
        spread = np.array([v.std() or 1.0 for v in values])
        steps = [float(np.median([t.period for t in own])) for own in tracks]
        seconds = float(np.median([f.seconds for f in futures]))
        counts = [min(lags or MOST_LAGS, max(round(seconds / step), 1)) for step in steps]
        typical = np.array([_typical(own, horizons[-1]) or 1.0 for own in tracks])
        shape = (len(horizons), len(streams), len(levels))
        plain = cls(
            horizons, season, counts, steps, location, spread, typical, spread if len(streams) > 1 else np.ones(1),
            [None] * len(streams), np.zeros(shape), np.zeros(shape), {}, block,
        )  # fmt: skip
        return plain._fitted(futures, levels)

    def _fitted(self, futures: Sequence[Future], levels: Sequence[float]) -> History:
        rows = [self._lagged(futures, s) for s in range(len(self.steps))]
        weights: list[Floats | None] = [None] * len(rows)
        # Streams of one clock share a regression: more items for each weight.
        for key in dict.fromkeys(zip(self.steps, self.lags)):
            own = [s for s in range(len(rows)) if (self.steps[s], self.lags[s]) == key]
            found = fit_autoregression([rows[s] for s in own], self._ahead(futures, own[0]))
            for s in own:
                weights[s] = found
        made = replace(self, weights=weights)
        told = made.told(futures)
        value = np.where(told[..., 1] > 0, told[..., 0], np.nan)
        spans = {"base": told[..., 2], "persistence": told[..., 4]} | (
            {"seasonal_naive": told[..., 5]} if self.season else {}
        )
        around = {name: _quantiles((value - x) / told[..., 3], levels) for name, x in spans.items()}
        absolute = _quantiles((value - self.location) / self.spread, levels)
        rivals = {n: q for n, q in around.items() if n != "base"} | {"ridge": around["base"]}
        return replace(made, base=around["base"], absolute=absolute, rivals=rivals)

    def _lagged(self, futures: Sequence[Future], s: int) -> Lagged:
        """The items that have a target's stream, as the regression sees them."""
        parts, groups, origin = [], [], origins_of(futures)
        for i, (track, items) in enumerate(_by_track(futures, s).items()):
            if track is not None and len(track.times):
                at = _At.of(track, [futures[k] for k in items], origin[items])
                parts.append((self._past(at, s), self._scale(at, s), at.future(self.horizons), self._next(at, s)))
                groups += [i] * len(items)
        past, scale, future, block = (np.concatenate(x) for x in zip(*parts))
        return Lagged(past, scale, future, np.array(groups), block)

    def _next(self, at: _At, s: int) -> Floats:
        """The values of the next block, at the step of the lags, [items, steps]."""
        count = 0 if self.block is None else max(round(self.block / self.steps[s]), 1)
        return at.track.at(at.now[:, None] + self.steps[s] * np.arange(1, count + 1))

    def _ahead(self, futures: Sequence[Future], s: int) -> Floats | None:
        """The horizons in steps from a target's own last instant, for a recursive forecast."""
        if self.block is None:
            return None
        origin, stops = origins_of(futures), np.array([f.stop for f in futures])
        lead = [
            np.median(origin[items] - track.now(stops[items]))
            for track, items in _by_track(futures, s).items()
            if track is not None and len(track.times)
        ]
        found: Floats = (np.array(self.horizons) + np.median(lead)) / self.steps[s]
        return found

    def _past(self, at: _At, s: int) -> Floats:
        return at.track.past(at.now, self.lags[s], self.steps[s], at.starts)

    def _scale(self, at: _At, s: int) -> Floats:
        return self._scale_at(at.track, at.now, s)

    def _scale_at(self, track: Track, now: Floats, s: int) -> Floats:
        """Mean absolute change over the longest horizon so far; at first mostly the typical one, [items]."""
        total, count = track.change(now, self.horizons[-1])
        before = max(self.horizons[-1] / track.period, 1.0)
        scale: Floats = (total + before * self.typical[s]) / (count + before)
        return np.asarray(np.maximum(scale, LEAST * self.typical[s]), np.float64)

    def columns(self, futures: Sequence[Future], s: int, *, whole_past: bool) -> NDArray[np.float32]:
        """The scale of each item, and with ``whole_past`` what its recording says of a target so far, [items, 1 or 8].

        Mean, least and most since the last value, in units of the scale; the logarithms of their deviation and of the
        mean absolute change over the last horizons (`LATELY`), in the same units; the logarithm of the time, in
        horizons. Ones, if the stream is missing.
        """
        out = np.ones((len(futures), 6 + len(LATELY) if whole_past else 1), np.float32)
        for track, items in _by_track(futures, s).items():
            if track is None or not len(track.times):
                continue
            now = track.now(np.array([futures[k].stop for k in items]))
            scale = self._scale_at(track, now, s)
            out[items, 0] = scale
            if whole_past:
                mean, deviation, least, most, count = track.so_far(now).T
                # Far from the last value, what counts is the order of magnitude.
                since = np.arcsinh((np.stack([mean, least, most]) - track.held(now)) / scale)
                lately = [self._change_since(track, now, k * self.horizons[-1]) for k in LATELY]
                size = np.log(np.array([deviation, *lately]) / scale + LEAST)
                time = np.log((count + 1) * track.period / self.horizons[-1])
                out[items, 1:] = np.concatenate([since, size, time[None]]).T
        return out

    def _change_since(self, track: Track, now: Floats, seconds: float) -> Floats:
        """Mean absolute change over the longest horizon in the last seconds; 0 where there is none."""
        pairs = (track.change(when, self.horizons[-1]) for when in (now, now - seconds))
        (total, count), (before, fewer) = pairs
        found: Floats = (total - before) / np.maximum(count - fewer, 1)
        return found

    def told(self, futures: Sequence[Future]) -> Floats:
        """Encoded targets: see `plait.tasks.forecast.Forecast.encode`."""
        out, origin = np.zeros((len(futures), len(self.horizons), len(self.steps), 6)), origins_of(futures)
        for s in range(len(self.steps)):
            out[:, :, s, 2] = out[:, :, s, 4] = out[:, :, s, 5] = self.location[s]
            out[:, :, s, 3] = self.spread[s]
            for track, items in _by_track(futures, s).items():
                if track is not None and len(track.times):
                    out[items, :, s] = self._told(_At.of(track, [futures[k] for k in items], origin[items]), s)
        return out

    def _told(self, at: _At, s: int) -> Floats:
        past, scale, weight = self._past(at, s), self._scale(at, s), self.weights[s]
        last = np.repeat(past[:, :1], len(self.horizons), 1)
        centre = last if weight is None else autoregress(past, scale, weight)
        value = at.future(self.horizons)
        known = np.isfinite(value)
        season = last if self.season is None else at.season(self.horizons, self.season)
        columns = [np.where(known, value, 0.0), known, centre, np.repeat(scale[:, None], len(self.horizons), 1), last]
        return np.stack([*columns, season], -1)

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON."""
        return {
            k: {n: q.tolist() for n, q in v.items()} if isinstance(v, dict) else _listed(v)
            for k, v in {f: getattr(self, f) for f in self.__dataclass_fields__}.items()
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> History:
        """The history that `to_json` wrote."""
        arrays = {
            k: np.array(found[k], np.float64) for k in ("location", "spread", "typical", "units", "base", "absolute")
        }
        weights = [None if w is None else np.array(w, np.float64) for w in found["weights"]]
        rivals = {n: np.array(q, np.float64) for n, q in found["rivals"].items()}
        return cls(**{**found, **arrays, "weights": weights, "rivals": rivals})


@dataclass(frozen=True, eq=False)
class _At:
    """Items of one track: where they start, its last instant in them, and from when their future is counted."""

    track: Track
    starts: Floats
    now: Floats
    origin: Floats

    @classmethod
    def of(cls, track: Track, futures: Sequence[Future], origin: Floats) -> _At:
        now = track.now(np.array([f.stop for f in futures]))
        return cls(track, np.array([f.start for f in futures]), now, origin)

    def future(self, horizons: Sequence[float]) -> Floats:
        """The values ahead, NaN where unknown, [items, horizons]."""
        return self.track.at(self.origin[:, None] + np.array(horizons))

    def season(self, horizons: Sequence[float], season: float) -> Floats:
        """The values whole seasons before those ahead, none of them in the future."""
        ahead = np.array(horizons)
        back = season * np.ceil(ahead / season - 1e-9)
        found: Floats = self.track.held(np.minimum(self.origin[:, None] + (ahead - back), self.now[:, None]))
        return found


def futures_of(targets: Sequence[Target]) -> list[Future]:
    """The targets, checked to be of the future.

    Raises:
        DataError: one is of another type.
    """
    return all_of(Future, targets, "is not the future of a stream; expected `Future`.")


def origins_of(futures: Sequence[Future]) -> Floats:
    """The instants from which the future is counted, [items]: the last one in the item of any of the targets."""
    found = np.full(len(futures), -np.inf)
    stops = np.array([f.stop for f in futures])
    for s in range(len(futures[0].tracks) if futures else 0):
        for track, items in _by_track(futures, s).items():
            if track is not None:
                found[items] = np.maximum(found[items], track.now(stops[items]))
    return np.where(np.isfinite(found), found, stops)


def _by_track(futures: Sequence[Future], s: int) -> dict[Track | None, list[int]]:
    found: dict[Track | None, list[int]] = {}
    for i, future in enumerate(futures):
        found.setdefault(future.tracks[s], []).append(i)
    return found


def _tracks(futures: Sequence[Future], s: int) -> list[Track]:
    return [t for t in _by_track(futures, s) if t is not None and len(t.values)]


def _typical(tracks: Sequence[Track], ahead: float) -> float:
    sums, counts = zip(*(t.change(np.array([t.stop]), ahead) for t in tracks))
    total, count = float(np.sum(sums)), float(np.sum(counts))
    return total / count if count else 0.0


def _quantiles(values: Floats, levels: Sequence[float]) -> Floats:
    """Quantiles over the items, [horizons, targets, levels]; 0 where nothing is known."""
    out = np.zeros((*values.shape[1:], len(levels)))
    for place in np.ndindex(*values.shape[1:]):
        known = values[(slice(None), *place)]
        known = known[np.isfinite(known)]
        if len(known):
            out[place] = np.quantile(known, levels)
    return out


def _listed(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [_listed(v) for v in value] if isinstance(value, list) else value
