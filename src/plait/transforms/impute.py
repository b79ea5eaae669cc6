"""The step that fills gaps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.core.parts import Spec
from plait.streams.clock import Grid
from plait.streams.stream import Stream, Values
from plait.transforms import Step
from plait.transforms.imputation import fill_in, gaps_of, imputable, imputer_of

__all__ = ["Impute"]


class Impute(Step):
    """Fill gaps (NaN) that are short enough; observed values are never changed.

    For the methods see `plait.transforms.imputation`.

    A value depends on data within `receptive_field`: ``max_gap`` plus the context of the method, to both sides; only
    ``hold`` uses no later data. Each gap is filled from its own surroundings on reading, so memory does not grow with
    the stream.

    Args:
        method: ``hold``, ``linear``, ``seasonal``, ``knn``, ``low_rank`` or ``autoregressive``, or a mapping of a name
            and its options.
        max_gap: longest gap that is filled, in seconds between the observations around it.
        edges: also fill up to ``max_gap`` before the first observation and after the last.
        mask: append to a series one channel per channel that is 1 where a value was observed and 0 where not, so that a
            model can distinguish imputed values.

    >>> gappy = Stream.of([[0.0], [np.nan], [2.0]], rate=1)
    >>> Impute(mask=True)(gappy).read().tolist()
    [[0.0, 1.0], [1.0, 0.0], [2.0, 1.0]]
    """

    kinds = ("series", "pose", "waveform")

    def __init__(
        self, *, method: Spec = "linear", max_gap: float = 2.0, edges: bool = False, mask: bool = False
    ) -> None:
        if not 0 < max_gap < np.inf:
            raise ConfigError(f"impute.max_gap: got {max_gap} s; expected a number above 0.")
        self.imputer = imputer_of(method, "impute.method")
        self.max_gap, self.edges, self.mask = max_gap, edges, mask
        self._made: _Filled | None = None

    @property
    def receptive_field(self) -> float:
        return self.max_gap + self.imputer.look

    def apply(self, stream: Stream) -> Stream:
        if self.mask and (stream.kind != "series" or len(stream.source.shape) != 1):
            raise DataError(
                f"{stream.where or 'stream'}: mask=true appends channels to a series; this is {stream.kind} of shape "
                f"{stream.shape}. Leave it out."
            )
        self._made = _Filled(stream, self)
        channels = stream.channels
        if self.mask and channels:
            channels = (*channels, *(f"{name} observed" for name in channels))
        return replace(stream, source=self._made, channels=channels, first=0)

    def notes(self) -> dict[str, int]:
        counts = self._made.counts if self._made else {}
        return {name: count for name, count in counts.items() if count}


class _Filled:
    """A view with its gaps filled; indices count from the view's first observation."""

    def __init__(self, stream: Stream, step: Impute) -> None:
        self.stream, self.step = stream, step
        inner = stream.source.shape
        self.shape = (2 * inner[0],) if step.mask else inner
        self.counts = dict.fromkeys(FILLED, 0)
        self._counted = 0  # observations up to here are counted

    def read(self, lo: int, hi: int) -> Values:
        values = self.stream[lo:hi].read()
        table = values.reshape(len(values), int(np.prod(values.shape[1:], dtype=int)))
        if values.dtype.kind != "f" or np.isfinite(table).all() or not len(values):
            return self._with_mask(values, np.ones(values.shape, np.bool_))
        seen = np.isfinite(table)
        filled, plain = self._fill(lo, hi)
        if hi > self._counted:
            new = slice(max(self._counted - lo, 0), None)
            self._count(seen[new], filled[new], plain[new])
            self._counted = hi
        made = np.where(seen, table, filled).astype(values.dtype)
        return self._with_mask(made.reshape(values.shape), seen.reshape(values.shape))

    def _fill(self, lo: int, hi: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Observations lo..hi with filled gaps, [n, channels], and which values are from straight lines."""
        step, n = self.step, len(self.stream)
        # Slightly more: a neighbour exactly at the limit must not be lost by rounding.
        begin, end = self._around(lo, hi, step.receptive_field * (1 + 1e-6))
        values = self.stream[begin:end].read()
        table = np.asarray(values, np.float64).reshape(len(values), int(np.prod(values.shape[1:], dtype=int)))
        if np.isinf(table).any():
            raise DataError(f"{self.stream.where or 'stream'}: infinite values; write NaN for what was not observed.")
        times = self._times(begin, end)
        edges = (step.edges and begin == 0, step.edges and end == n)
        wanted = imputable(table, times, step.imputer, step.max_gap, edges)
        # Gaps that lie wholly outside the read part cost time and would change nothing.
        for column in wanted.T:
            for first, last in gaps_of(~column):
                if last <= lo - begin or first >= hi - begin:
                    column[first:last] = False
        filled, plain = fill_in(step.imputer, table, times, wanted)
        return filled[lo - begin : hi - begin], plain[lo - begin : hi - begin]

    def _around(self, lo: int, hi: int, receptive_field: float) -> tuple[int, int]:
        clock = self.stream.clock
        if isinstance(clock, Grid):
            more = int(receptive_field * float(clock.rate)) + 2
            return max(lo - more, 0), min(hi + more, len(clock))
        times = clock.times
        begin, end = np.searchsorted(times, [times[lo] - receptive_field, times[hi - 1] + receptive_field])
        return max(int(begin) - 1, 0), min(int(end) + 1, len(times))

    def _times(self, lo: int, hi: int) -> NDArray[np.float64]:
        """Seconds; for a grid counted from the view's start, so that they do not depend on where a read begins."""
        clock = self.stream.clock
        if isinstance(clock, Grid):
            return np.arange(lo, hi, dtype=np.float64) * (clock.rate.denominator / clock.rate.numerator)
        return clock.times[lo:hi]

    def _count(self, seen: NDArray[np.bool_], filled: NDArray[np.float64], plain: NDArray[np.bool_]) -> None:
        left = np.isnan(filled)
        for name, what in zip(FILLED, (~seen & ~left, plain, left)):
            self.counts[name] += int(what.sum())

    def _with_mask(self, values: NDArray[np.generic], seen: NDArray[np.bool_]) -> NDArray[np.generic]:
        return np.concatenate([values, seen.astype(values.dtype)], 1) if self.step.mask else values


FILLED = ("values filled", "of them on a straight line for want of a pattern", "values left missing")
