"""Join a stream onto any other clock: words, frames, a grid, ticks. Gaps stay gaps, and unmatched rows are counted.

Cost: a sorted search for the clocks and one pass over the values (`plait.align.join_reduce`), a block at a time, so
neither the stream nor the result needs to be in memory whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plait.align.join_clock import At
from plait.align.join_count import Counter
from plait.align.join_coverage import Coverage
from plait.align.join_work import How, Joining, Piece
from plait.core.errors import ConfigError, DataError, PlaitError, raise_all
from plait.streams.clock import Clock
from plait.streams.stream import ArraySource, Stream, Values

__all__ = ["Coverage", "How", "Joined", "Joining", "Piece", "join", "join_all"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Joined:
    """A stream on another clock.

    Attributes:
        values: [n, ...], 0 ('' for texts) where unknown.
        mask: True where known, of the same shape.
        clock: the clock of the n rows.
        counter: counts the ``coverage``.
    """

    values: Values
    mask: Mask
    clock: Clock
    counter: Counter

    @property
    def coverage(self) -> Coverage:
        """How many rows were matched, and why the others were not; counted on first use."""
        return self.counter.result()

    def stream(self, kind: str = "series") -> Stream:
        """The same as a stream, NaN where unknown."""
        texts = self.values.dtype.kind == "O"
        values = self.values if texts else np.where(self.mask, self.values, np.nan).astype(self.values.dtype)
        return Stream(self.clock, ArraySource(values), "words" if texts else kind)


def join(
    left: Clock | Stream,
    right: Stream,
    how: How = "mean",
    *,
    max_gap: float | None = None,
    causal: bool = False,
    at: At | None = None,
    receptive_field: float = 0.0,
    out: tuple[Values, Mask] | None = None,
) -> Joined:
    """``right`` on the observations of ``left``.

    Over the interval of each row, of the observations that begin in it, ``start <= t < stop``. The interval is that of
    the word, one step about the instant of a grid, or the time nearer to a tick than to other ticks:

    - ``mean``, ``sum``, ``max``, ``min``, ``first``, ``last``, ``count``. An interval without observations is unknown
      (its count is 0). Sums are in float64, however long.

    At the instant of each row:

    - ``nearest``: the observation nearest in time, the earlier one on a tie.
    - ``linear``: linear interpolation between the neighbours.
    - ``cubic``: the cubic spline with two continuous derivatives and not-a-knot ends (as
      ``scipy.interpolate.CubicSpline``), separately between gaps; of the 48 knots about the instant.
    - ``hold``: the last observation at or before; spans hold until they stop.

    NaN means not observed. Every number has its own mask; a method skips NaN to the next number of that channel.

    Args:
        left: the target: a clock, or a stream whose clock is used.
        right: the values: numbers; texts for nearest, hold, first, last and count. Read in order, in blocks.
        how: see above.
        max_gap: longest pause in seconds between two observations over which values are known. ``hold`` reaches this
            far (except for spans), ``nearest`` half as far. Default: 4 median steps of the stream's clock.
        causal: no value may depend on anything recorded after its instant. nearest, linear and cubic are refused; the
            interval of a grid or of ticks ends at its instant, inclusive; spans on the right are known only from
            their stop on.
        at: the instant of a span on the left to which its value belongs; default: its middle, if causal its stop.
        receptive_field: seconds of future from which each observation was computed
            (`plait.features.Feature.receptive_field`): an observation at t is known at t + receptive_field. It counts
            as look-ahead in the coverage, and a causal join waits for it. Infinite: depends on the whole recording.
        out: arrays for values and mask (for example memory-mapped), of the shape and type of `Joining.empty`.

    Returns:
        Values in float32 (float64 for streams of float64 or of integers above 16 bits), mask, clock, coverage.

    Raises:
        ConfigError: no such method, or one that cannot be causal.
        DataError: the stream cannot be read.

    >>> from plait.streams.clock import Spans
    >>> words = Spans([0.0, 0.4, 9.0], [0.4, 0.9, 9.5])
    >>> joined = join(words, Stream.of(np.arange(10.0), rate=10))
    >>> joined.values.ravel().tolist(), joined.mask.ravel().tolist()
    ([1.5, 6.0, 0.0], [True, True, False])
    >>> print(joined.coverage)
    3 intervals: 2 matched, 1 after it; 1 of 10 observations in no interval; looks up to 0.15 s ahead
    """
    joining = Joining(left, right, how, max_gap=max_gap, causal=causal, at=at, receptive_field=receptive_field)
    values, mask = joining.empty() if out is None else _checked(joining, *out)
    for rows, own, known in joining.raw():
        values[rows] = own.reshape(-1, *values.shape[1:])
        mask[rows] = known
    return Joined(values, mask, joining.left, joining.counter)


def join_all(
    left: Clock | Stream,
    rights: Mapping[str, Stream],
    how: How | Mapping[str, How] = "mean",
    *,
    max_gap: float | None = None,
    causal: bool = False,
    at: At | None = None,
    receptive_field: Mapping[str, float] | None = None,
) -> dict[str, Joined]:
    """Join several streams onto one clock: `join` for each, by name.

    ``how`` and ``receptive_field`` may be given per stream; the defaults for other streams are mean and 0.

    Raises:
        ConfigError, DataError: the problems of all streams at once.

    >>> from plait.streams.clock import Spans
    >>> body = {"imu": Stream.of(np.ones((50, 6)), rate=50), "pulse": Stream.of(np.ones(60), rate=60)}
    >>> {name: one.values.shape for name, one in join_all(Spans([0.0], [1.0]), body, {"pulse": "max"}).items()}
    {'imu': (1, 6), 'pulse': (1, 1)}
    """
    problems: list[str] = []
    kind: type[PlaitError] = DataError
    out: dict[str, Joined] = {}
    for name, right in rights.items():
        method: How = how if isinstance(how, str) else how.get(name, "mean")
        own = (receptive_field or {}).get(name, 0.0)
        try:
            out[name] = join(left, right, method, max_gap=max_gap, causal=causal, at=at, receptive_field=own)
        except PlaitError as error:
            problems += [f"{name}: {problem}" for problem in error.problems]
            kind = type(error)
    raise_all(kind, problems)
    return out


def _checked(joining: Joining, values: Values, mask: Mask) -> tuple[Values, Mask]:
    expected = (len(joining.left), *joining.right.source.shape)
    if values.shape != expected or mask.shape != expected:
        raise ConfigError(f"out: arrays of shapes {values.shape} and {mask.shape}; expected {expected} for both.")
    return values, mask
