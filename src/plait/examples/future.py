"""Targets in the future: what streams do after an item, and what they did until then."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plait.core.errors import DataError
from plait.streams.clock import Clock, Grid
from plait.streams.recording import Recording

__all__ = ["Future", "Track", "tracks_of"]

Floats = NDArray[np.float64]

GRID_GAP, TICK_GAP = 1.5, 4.0
"""Neighbours further apart than so many periods leave a gap, in which nothing is known. Ticks are irregular, so their
period is only a typical one."""


class Track:
    """One number over time, of one recording.

    Args:
        times: seconds, in order, [n].
        values: NaN where it was not measured, [n].
        regular: whether times stand on a grid; a value between two of them is then interpolated over less.

    >>> track = Track([0.0, 1.0, 2.0, 9.0], [1.0, 2.0, 4.0, 5.0])
    >>> track.at(np.array([0.5, 2.0, 5.0])).tolist()
    [1.5, 4.0, nan]
    """

    def __init__(self, times: ArrayLike, values: ArrayLike, *, regular: bool = True) -> None:
        self.all_times = np.asarray(times, np.float64)
        every = np.asarray(values, np.float64)
        known = np.isfinite(every)
        self.times, self.values = self.all_times[known], every[known]
        steps = np.diff(self.all_times)
        steps = steps[steps > 0]
        self.period = float(np.median(steps)) if len(steps) else 1.0
        self.gap = self.period * (GRID_GAP if regular else TICK_GAP)

    @property
    def stop(self) -> float:
        """The last measured instant; minus infinity if there is none."""
        return float(self.times[-1]) if len(self.times) else -math.inf

    def at(self, when: Floats) -> Floats:
        """The values at any instants, linear between neighbours; NaN in gaps, before the first and after the last."""
        if not len(self.times):
            return np.full(when.shape, np.nan)
        near = 1e-6 * self.period  # times computed as sums of floats
        right = np.searchsorted(self.times, when - near)
        left = np.searchsorted(self.times, when + near, "right") - 1
        inside = (right < len(self.times)) & (left >= 0)
        right, left = right.clip(0, len(self.times) - 1), left.clip(0)
        lo, hi = np.minimum(left, right), np.maximum(left, right)
        width = self.times[hi] - self.times[lo]
        share = np.where(width > 0, (when - self.times[lo]) / np.where(width > 0, width, 1.0), 0.0).clip(0, 1)
        found: Floats = self.values[lo] + share * (self.values[hi] - self.values[lo])
        return np.where(inside & (width <= self.gap), found, np.nan)

    def now(self, stops: Floats) -> Floats:
        """The instants from which the future is counted: the last one of the track before each stop.

        Where it lies more than a gap before the stop, the stop itself.
        """
        if not len(self.all_times):
            return stops
        place = np.searchsorted(self.all_times, stops - 1e-6 * self.period) - 1
        last = self.all_times[place.clip(0)]
        return np.where((place >= 0) & (stops - last <= self.gap), last, stops)

    def held(self, when: Floats) -> Floats:
        """The last measured value at or before each instant; the first value before it; NaN if there is none."""
        if not len(self.times):
            return np.full(when.shape, np.nan)
        place = np.searchsorted(self.times, when + 1e-6 * self.period, "right") - 1
        held: Floats = self.values[place.clip(0)]
        return held

    def past(self, now: Floats, lags: int, step: float, since: Floats) -> Floats:
        """Values ``0, step, 2 step ...`` seconds before each instant, [instants, lags]; gaps hold the value before
        them, and before ``since`` [instants] the first one after it stands."""
        when = now[:, None] - step * np.arange(lags)
        when = np.maximum(when, np.minimum(since, now)[:, None])
        found = self.at(when)
        holes = np.isnan(found)
        found[holes] = self.held(when[holes])
        return found

    def change(self, now: Floats, ahead: float) -> tuple[Floats, Floats]:
        """The sum of all absolute changes over ``ahead`` seconds until each instant, and their number."""
        sums, counts, first = self._changes(ahead)
        # The last pair ends at ``now``: no change may be counted that lies in the future.
        place = np.floor((now - first) / self.period + 1e-6).astype(np.int64).clip(-1, len(sums) - 2) + 1
        return sums[place], counts[place]

    def _changes(self, ahead: float) -> tuple[Floats, Floats, float]:
        key = round(ahead / self.period)
        if key not in self._known_changes:
            first = self.all_times[0] if len(self.all_times) else 0.0
            grid = self.at(np.asarray(first + self.period * np.arange(self._slots), np.float64))
            apart = np.full(len(grid), np.nan)
            if 0 < key < len(grid):
                apart[key:] = np.abs(grid[key:] - grid[:-key])
            there = np.isfinite(apart)
            sums = np.concatenate([[0.0], np.where(there, apart, 0.0).cumsum()])
            self._known_changes[key] = sums, np.concatenate([[0.0], there.cumsum()]), float(first)
        return self._known_changes[key]

    @cached_property
    def _known_changes(self) -> dict[int, tuple[Floats, Floats, float]]:
        return {}

    def so_far(self, now: Floats) -> Floats:
        """Mean, standard deviation, least, most, and number of the values measured until each instant, [instants, 5].

        Zeros where there is none yet.
        """
        place = np.searchsorted(self.times, now + 1e-6 * self.period, "right") - 1
        if not len(self.times):
            return np.zeros((len(now), 5))
        found: Floats = np.where(place[:, None] >= 0, self._running[place.clip(0)], 0.0)
        return found

    @cached_property
    def _running(self) -> Floats:
        count, first = np.arange(1.0, len(self.values) + 1), self.values[0]
        # Since the first value: squares of a high level would drown what varies.
        mean, square = ((self.values - first) ** k for k in (1, 2))
        mean, square = mean.cumsum() / count, square.cumsum() / count
        ends = [np.minimum.accumulate(self.values), np.maximum.accumulate(self.values)]
        return np.stack([first + mean, np.sqrt((square - mean**2).clip(0)), *ends, count], 1)

    @property
    def _slots(self) -> int:
        if not len(self.all_times):
            return 1
        # A track of few observations over years has no need of more than its own number of slots, some times over.
        return min(int((self.all_times[-1] - self.all_times[0]) / self.period) + 1, 8 * len(self.all_times))


@dataclass(frozen=True, eq=False)
class Future:
    """What streams do after an item; the target of a forecast.

    Attributes:
        seconds: length of the item.
        start: of the item, in seconds of the tracks.
        tracks: one per target; None where the recording does not have the stream.
    """

    seconds: float
    start: float
    tracks: tuple[Track | None, ...]

    @property
    def stop(self) -> float:
        """End of the item, in seconds of the tracks."""
        return self.start + self.seconds

    def answered(self, notes: Sequence[tuple[float, float]]) -> Future:
        """The same past of a single target, followed by ``(seconds from the item's start, value)``."""
        track = self.tracks[0]
        past = [] if track is None else [(t, v) for t, v in zip(track.times, track.values) if t < self.stop]
        rows = [*past, *((self.start + t, value) for t, value in notes)]
        made = Track(*zip(*rows), regular=False)
        made.period = 1.0 if track is None else track.period
        made.gap = math.inf
        return Future(self.seconds, self.start, (made,))


def tracks_of(recording: Recording, names: Sequence[str]) -> tuple[Track | None, ...]:
    """The tracks of streams of one channel; None where the recording does not have one.

    Raises:
        DataError: a stream is not numbers of one channel.
    """
    return tuple(_track(recording, name) if name in recording.streams else None for name in names)


def _track(recording: Recording, name: str) -> Track:
    stream = recording.streams[name]
    clock: Clock = stream.clock
    width = math.prod(stream.shape[1:])
    if stream.kind != "series" or width != 1:
        what = f"{width} channels" if stream.kind == "series" else f"{stream.kind}"
        raise DataError(
            f"{recording.id}: stream {name!r} is {what}; a forecast takes numbers of one channel. Give each channel "
            "as a stream of its own."
        )
    return Track(clock.times, np.asarray(stream.read(), np.float64).reshape(-1), regular=isinstance(clock, Grid))
