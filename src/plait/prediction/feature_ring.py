"""Features of a stream that is read a little at a time: those of one pass, to the bit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plait.features import Feature
from plait.prediction.inbox import SAME, Keys, Rows
from plait.store.scale import running
from plait.streams.clock import Clock, Grid, Ticks
from plait.streams.stream import ArraySource, Stream, Values

__all__ = ["FeatureRing", "Piece", "RingState"]


class Piece(NamedTuple):
    """Rows of features, [n, dim], and their times, [n], seconds."""

    values: NDArray[np.float32]
    times: NDArray[np.float64]


class RingState(NamedTuple):
    """What is kept of a run of rows without gaps.

    Attributes:
        values: the last raw rows, [n, ...].
        keys: their keys (`plait.prediction.inbox.Rows`); of a regular clock the first one only.
        given: time of the last feature that was given, seconds.
        sums: of running normalization (`plait.store.scale.running`).
    """

    values: Values
    keys: Keys
    given: float = -math.inf
    sums: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class FeatureRing:
    """A feature that streams from the last rows of its stream.

    As many raw rows are kept as its receptive field needs; features whose field is complete are given, each once. What
    it keeps begins at a whole number of the feature's steps, so that the same windows are seen as in one pass.

    Args:
        feature: with its steps before it; a causal one.
        rate: of the raw stream; None: each row has its time.
        where: the stream, for messages.
        running: whether its rows are normalised by those up to each.
        causal: whether a row stands at the instant at which it is known, as a causal model was trained.
    """

    feature: Feature
    rate: Fraction | None
    where: str
    running: bool = False
    causal: bool = False

    @property
    def ahead(self) -> float:
        """Seconds after the time at which a row stands that it looks at."""
        return 0.0 if self.causal else self.field

    @property
    def field(self) -> float:
        """Seconds after a feature's time that it looks at."""
        return self.feature.receptive_field

    def advance(
        self, state: RingState | None, rows: Rows, phase: Fraction = Fraction(0), *, last: bool = False
    ) -> tuple[RingState, Piece]:
        """Read rows that follow the last ones without a gap.

        Args:
            state: what was kept of earlier rows; None: these are the first. It is not changed.
            rows: in order.
            phase: time of row 0 of a regular clock, seconds.
            last: whether no more rows follow, or a gap does.

        Raises:
            DataError: the feature does not take such rows.
        """
        keys, values = rows
        if state is not None:
            before = self.keys_of(state)
            keys, values = np.concatenate([before, keys]), np.concatenate([state.values, values])
        given = -math.inf if state is None else state.given
        found, clock = self.feature(
            Stream(self._clock(keys, phase), ArraySource(values), self._kind(values), where=self.where)
        )
        times = clock.times
        fresh = times > given + SAME
        if not last:
            fresh &= times + self.field <= self._end(keys, phase) + SAME
        piece = Piece(found[fresh], times[fresh])
        given = float(piece.times[-1]) if len(piece.times) else given
        sums = None if state is None else state.sums
        if self.running:
            normal, sums = running(piece.values, sums)
            piece = piece._replace(values=normal)
        if self.causal:
            piece = piece._replace(times=piece.times + self.field)
        keep = self._kept(keys, given, phase)
        kept = keys[keep:] if self.rate is None else keys[keep : keep + 1]
        # a copy: a slice would keep alive what it was cut from
        return RingState(values[keep:].copy(), kept.copy(), given, sums), piece

    def keys_of(self, state: RingState) -> Keys:
        """The keys of all rows that a state keeps."""
        if self.rate is None or not len(state.keys):
            return state.keys
        return np.arange(len(state.values), dtype=np.int64) + int(state.keys[0])

    def _kept(self, keys: Keys, given: float, phase: Fraction) -> int:
        """The first row to keep: the field of a feature may begin where that of what it is made of ends."""
        if math.isinf(given) or not len(keys):
            return 0
        since = given - 2 * self.field
        if self.rate is None:
            return int(np.searchsorted(keys, since))
        step = Fraction(1) if self.feature.rate is None else self.rate / self.feature.rate
        # a whole number of the feature's steps after the first row of the run, and of what it computes at once
        unit = step.numerator * self.feature.together
        place = (since - float(phase + int(keys[0]) / self.rate)) * float(self.rate)
        return min(max(int(place // unit) * unit, 0), len(keys))

    def _clock(self, keys: Keys, phase: Fraction) -> Clock:
        if self.rate is None:
            return Ticks(keys.astype(np.float64))
        first = int(keys[0]) if len(keys) else 0
        return Grid(phase + first / self.rate, self.rate, len(keys))

    def _end(self, keys: Keys, phase: Fraction) -> float:
        """Until when the stream is known, seconds."""
        if not len(keys):
            return -math.inf
        return float(keys[-1]) if self.rate is None else float(phase + (int(keys[-1]) + 1) / self.rate)

    def _kind(self, values: Values) -> str:
        if len(self.feature.kinds) == 1:
            return self.feature.kinds[0]
        guess = Stream.of(values[:0], times=[]).kind
        return guess if guess in self.feature.kinds else self.feature.kinds[0]
