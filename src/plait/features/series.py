"""Numbers over time: unchanged, or their statistics in windows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError, DataError
from plait.features import Feature
from plait.features.checks import above_zero, as_float32, differences, flat_numbers, one_of, place_of
from plait.streams.clock import Clock, Grid, rational, windows
from plait.streams.stream import Stream

if TYPE_CHECKING:
    from plait.align.resample import How

__all__ = ["Series", "Statistics", "on_grid", "window_statistics"]

Values = NDArray[np.float64]

HOW = ("mean", "linear", "hold", "nearest")


def on_grid(values: Values, clock: Clock, rate: Fraction, how: How, gap: float) -> tuple[Values, Grid]:
    """Values on a grid within the recording, NaN where unknown; [n, d].

    The grid starts at the first observation; for means half a step later, so that the intervals tile the recording.
    """
    from plait.align.resample import resample  # brings scipy, which is slow to import

    start = clock.start_exact if isinstance(clock, Grid) else Fraction(float(clock.times[0]))
    end = Fraction(float(clock.times[-1]))
    first = Fraction(0)
    if how == "mean":
        first = 1 / (2 * rate)
        end = start + len(clock) / clock.rate if isinstance(clock, Grid) else end
    # Exact fractions; a millionth allows for times that were rounded before.
    count = max(math.floor((end - start - 2 * first) * rate + Fraction(1, 10**6)) + 1, 1)
    grid = Grid(start + first, rate, count)
    known, mask = resample(values, clock, grid, how, longest_gap=gap)
    return np.where(mask, known, np.nan), grid


class Series(Feature):
    """Numbers unchanged, [n, channels]; the default for series. NaN stays NaN.

    Args:
        rate: None: at the stream's own times; else on a grid of that rate (Hz).
        how: ``mean`` over the grid's intervals (prevents aliasing), ``linear``, ``hold`` or ``nearest``;
            see `plait.align.resample.resample`.
        differences: append the difference to the previous row (not per second); 0 for the first, and after more than
            ``gap`` seconds.
        scale: ``recording``: each channel to mean 0 and standard deviation 1 within the recording (constant channels
            to 0). It uses no labels, but the recording's future: ``causal`` is then False.
        gap: longest pause, in seconds, over which differences are taken and values are interpolated.

    >>> values, clock = Series(rate=10)(Stream.of(np.arange(100.0), rate=100))
    >>> values.ravel()[:3].round(3).tolist(), clock.times[:3].round(3).tolist()
    ([5.0, 15.0, 25.0], [0.05, 0.15, 0.25])
    """

    kinds = ("series",)
    default_for: ClassVar[tuple[str, ...]] = ("series",)

    def __init__(
        self,
        *,
        rate: float | str | None = None,
        how: str = "mean",
        differences: bool = False,
        scale: str = "none",
        gap: float = 2.0,
    ) -> None:
        one_of("series.scale", scale, ("none", "recording"))
        one_of("series.how", how, HOW)
        above_zero("series", gap=gap)
        self._rate, self._how = None if rate is None else rational(rate), cast("How", how)
        self._differences, self._scale, self._gap = differences, scale == "recording", gap
        self.causal = not self._scale
        self._empty = self._constant = 0

    @property
    def receptive_field(self) -> float:
        grid = float(1 / (2 * self._rate)) + self._gap if self._rate else 0.0
        return grid + (self._gap if self._differences else 0.0)

    @property
    def rate(self) -> Fraction | None:
        return self._rate

    def dim(self, shape: tuple[int, ...]) -> int:
        return int(np.prod(shape)) * (2 if self._differences else 1)

    def notes(self) -> dict[str, int]:
        counts = {"instants that nothing is known of": self._empty, "constant channels": self._constant}
        return {name: count for name, count in counts.items() if count}

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        values, clock = flat_numbers(stream), stream.clock
        self._empty = self._constant = 0
        if self._rate and len(values):
            values, clock = self._gridded(values, stream, self._rate)
        if self._scale:
            values, self._constant = _standard(values)
        if self._differences:
            change = differences(values, clock, self._gap, place_of(stream))
            values = np.concatenate([values, change], 1)
        return as_float32(values, stream), clock

    def _gridded(self, values: Values, stream: Stream, rate: Fraction) -> tuple[Values, Grid]:
        out, grid = on_grid(values, stream.clock, rate, self._how, self._gap)
        self._empty = int(np.isnan(out).all(1).sum())
        if self._empty == len(out) and not np.isnan(values).all():
            raise DataError(
                f"{place_of(stream)}: observations are so far apart that nothing is known on a grid of "
                f"{float(rate):g} Hz with gap {self._gap:g} s. Raise the option gap, or leave rate out."
            )
        return out, grid


def _standard(values: Values) -> tuple[Values, int]:
    """Columns to mean 0 and standard deviation 1 over observed values; and the number of constant columns."""
    seen = ~np.isnan(values)
    count = np.maximum(seen.sum(0), 1)
    mean = np.where(seen, values, 0.0).sum(0) / count
    centred = values - mean
    spread = np.sqrt((np.where(seen, centred, 0.0) ** 2).sum(0) / count)
    # Relative to the mean: rounding makes a large constant vary a little.
    flat = spread <= 1e-9 * np.maximum(np.abs(mean), 1e-3)
    return np.where(flat, centred * 0.0, centred / np.where(flat, 1.0, spread)), int(flat.sum())


PLAIN = ("mean", "std", "min", "max", "slope", "change")
CHUNK = 1 << 21
"""Most numbers in memory."""


class Statistics(Feature):
    """Statistics of each channel in windows that overlap, [n, channels * (6 + quantiles)].

    For each channel in turn: mean, standard deviation, minimum, maximum, slope (per second, least squares), mean
    absolute change between successive observations, then the quantiles (linear between neighbours, as
    ``numpy.quantile``). NaN is left out. A window without observations is NaN; with a single observation, standard
    deviation, slope and change are 0. The time of each row is the middle of its window. Windows lie wholly between the
    first and the last observation, so a recording shorter than a window gives no rows.

    Args:
        window: seconds; hop: seconds from window to window.
        quantiles: each in 0..1.

    >>> values, clock = Statistics(window=4, hop=2)(Stream.of(np.arange(40.0), rate=4))
    >>> values[0].tolist(), clock.times.tolist()
    ([7.5, 4.609772205352783, 0.0, 15.0, 4.0, 1.0, 3.75, 7.5, 11.25], [2.0, 4.0, 6.0, 8.0])
    """

    kinds = ("series",)

    def __init__(
        self, *, window: float = 10.0, hop: float = 1.0, quantiles: Sequence[float] = (0.25, 0.5, 0.75)
    ) -> None:
        above_zero("statistics", window=window, hop=hop)
        if not all(0 <= q <= 1 for q in quantiles):
            raise ConfigError(f"statistics.quantiles: got {list(quantiles)}; expected numbers in 0..1.")
        self._window, self._hop, self._quantiles = window, hop, tuple(quantiles)
        self._empty = 0

    @property
    def receptive_field(self) -> float:
        return self._window / 2

    @property
    def rate(self) -> Fraction | None:
        return 1 / Fraction(str(self._hop))

    def dim(self, shape: tuple[int, ...]) -> int:
        return int(np.prod(shape)) * (len(PLAIN) + len(self._quantiles))

    def notes(self) -> dict[str, int]:
        return {"windows without an observation": self._empty} if self._empty else {}

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        values, clock = flat_numbers(stream), stream.clock
        pieces = [clock.window(a, b) for a, b in windows(clock.start, clock.stop, self._window, self._hop)]
        bounds = np.array([(p.start, p.stop) for p in pieces], np.int64).reshape(-1, 2)
        columns = [window_statistics(own, clock.times, bounds, self._quantiles) for own in values.T]
        out = np.concatenate([np.zeros((len(bounds), 0)), *columns], 1)
        self._empty = int(np.isnan(out).all(1).sum())
        start = clock.start_exact if isinstance(clock, Grid) else Fraction(clock.start)
        # Through the text, so that 0.1 is a tenth and not its nearest float.
        hop, half = Fraction(str(self._hop)), Fraction(str(self._window)) / 2
        return as_float32(out, stream), Grid(start + half, 1 / hop, len(out))


def window_statistics(
    values: Values, times: Values, bounds: NDArray[np.int64], quantiles: Sequence[float] = ()
) -> Values:
    """Statistics of one channel in runs of observations, [windows, 6 + quantiles]; see `Statistics`."""
    # Each window by itself, not from cumulative sums: one huge value elsewhere would cost digits here.
    parts = [np.zeros((0, len(PLAIN) + len(quantiles)))]
    for rows in _chunks(bounds):
        length = int((rows[:, 1] - rows[:, 0]).max(initial=0))
        index = rows[:, :1] + np.arange(length)
        inside = index < rows[:, 1:]
        index = np.minimum(index, len(values) - 1)
        own = np.where(inside, values[index], np.nan)
        mean_std, slope_change = np.split(_moments(own, times[index]), 2, 1)
        least_most, inner = np.split(_order(own, quantiles), [2], 1)
        parts.append(np.concatenate([mean_std, least_most, slope_change, inner], 1))
    return np.concatenate(parts)


def _chunks(bounds: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    longest = int((bounds[:, 1] - bounds[:, 0]).max(initial=1))
    size = max(1, CHUNK // max(longest, 1))
    for lo in range(0, len(bounds), size):
        yield bounds[lo : lo + size]


def _moments(own: Values, times: Values) -> Values:
    """Mean, standard deviation, slope and mean absolute change of rows padded with NaN, [windows, 4]."""
    seen = ~np.isnan(own)
    count = seen.sum(1)
    divisor = np.maximum(count, 1)[:, None]
    mean = np.where(seen, own, 0.0).sum(1, keepdims=True) / divisor
    level = np.where(seen, own - mean, 0.0)
    middle = np.where(seen, times, 0.0).sum(1, keepdims=True) / divisor
    when = np.where(seen, times - middle, 0.0)
    spread = np.sqrt((level**2).sum(1) / divisor[:, 0])
    lever = (when**2).sum(1)
    slope = (when * level).sum(1) / np.where(lever > 0, lever, 1.0)
    step = np.abs(np.diff(own, axis=1))
    both = ~np.isnan(step)
    change = np.where(both, step, 0.0).sum(1) / np.maximum(both.sum(1), 1)
    out = np.stack([mean[:, 0], spread, slope, change], 1)
    return np.where(count[:, None] > 0, out, np.nan)


def _order(own: Values, quantiles: Sequence[float]) -> Values:
    """Minimum, maximum and quantiles of rows padded with NaN, [windows, 2 + quantiles]."""
    if own.shape[1] == 0:
        return np.full((len(own), 2 + len(quantiles)), np.nan)
    # NaN sorts last, so the padding needs no mask.
    ordered = np.sort(own, axis=1)
    top = np.maximum((~np.isnan(own)).sum(1) - 1, 0)[:, None]
    place = np.array([0.0, 1.0, *quantiles]) * top
    below = np.floor(place).astype(np.int64)
    low = np.take_along_axis(ordered, below, 1)
    high = np.take_along_axis(ordered, np.minimum(below + 1, top), 1)
    out: Values = low + (high - low) * (place - below)
    return out
