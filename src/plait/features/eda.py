"""Electrodermal activity (EDA), as skin conductance: its slow level and its quick responses."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from plait.features import Feature
from plait.features.checks import above_zero, as_float32, flat_numbers
from plait.features.smooth import low_pass, low_pass_receptive_field, regular
from plait.streams.clock import Clock, rational
from plait.streams.stream import Stream

__all__ = ["Eda", "responses"]

Values = NDArray[np.float64]

RISE = 5.0
"""Longest rise of a response from onset to peak, seconds (Boucsein et al. 2012: 1 to 3 s; here with a margin)."""


def responses(conductance: Values, rate: float, least: float) -> tuple[NDArray[np.int64], Values]:
    """Skin conductance responses: indices of their peaks, and their amplitudes.

    A peak is the maximum within a second about it. Its amplitude counts from the lowest point of the `RISE` seconds
    before it and must be at least ``least``.

    Args:
        conductance: [n] in microsiemens, NaN where not observed.
        rate: Hz.
        least: microsiemens; 0.01 to 0.05 are usual (Boucsein et al. 2012).

    >>> t = np.arange(0, 30, 0.25)
    >>> places, rises = responses(2 + 0.5 * np.exp(-((t - 12) ** 2)), 4.0, 0.05)
    >>> (places / 4).tolist(), rises.round(2).tolist()
    ([12.0], [0.5])
    """
    from scipy.ndimage import maximum_filter1d, minimum_filter1d

    seen = ~np.isnan(conductance)
    near, before = 2 * max(round(rate), 1) + 1, max(round(RISE * rate), 1)
    high = maximum_filter1d(np.where(seen, conductance, -np.inf), near, mode="nearest")
    # The origin moves the window into the past alone.
    low = minimum_filter1d(np.where(seen, conductance, np.inf), before + 1, origin=before // 2, mode="nearest")
    rise = np.where(seen, conductance - low, -np.inf)
    place = np.flatnonzero(seen & (conductance == high) & (rise >= least))
    # A maximum at either end may be the flank of a response that was not recorded whole.
    place = place[(place > 0) & (place < len(conductance) - 1)]
    first = np.diff(place, prepend=-near) > 1  # a flat top counts once
    return place[first], rise[place[first]]


class Eda(Feature):
    """Electrodermal activity: tonic level and phasic part of skin conductance, and its responses, [n, 4].

    Columns: the tonic level, below ``cutoff``; the phasic part, the rest; responses per minute and their mean amplitude
    over the last ``window`` seconds (0 without a response). The unit is the stream's (uS).

    Source: Boucsein et al., "Publication recommendations for electrodermal measurements", Psychophysiology 49,
    2012; the split at 0.05 Hz is usual (BIOPAC), here by a finite filter that ignores gaps, see
    `plait.features.smooth.low_pass`.

    Args:
        cutoff: Hz.
        least: least amplitude of a response, uS.
        window: seconds over which responses are counted.
        rate: rate of the grid, Hz; null: the stream's own.
        gap: longest gap in seconds that is interpolated on the grid.

    >>> t = np.arange(0, 200, 0.25)
    >>> eda = Stream.of(2 + 0.5 * np.exp(-((t % 20 - 10) ** 2)), rate=4)
    >>> values, _ = Eda()(eda)
    >>> [round(float(v), 1) for v in values[600]]
    [2.1, 0.4, 3.0, 0.5]
    """

    kinds = ("series",)

    def __init__(
        self,
        *,
        cutoff: float = 0.05,
        least: float = 0.02,
        window: float = 60.0,
        rate: float | str | None = None,
        gap: float = 1.0,
    ) -> None:
        above_zero("eda", cutoff=cutoff, least=least, window=window, gap=gap)
        self._cutoff, self._least, self._window, self._rate, self._gap = cutoff, least, window, rate, gap

    @property
    def rate(self) -> Fraction | None:
        return None if self._rate is None else rational(self._rate)

    @property
    def receptive_field(self) -> float:
        return max(low_pass_receptive_field(self._cutoff), self._window + RISE) + 1.0 + 2 * self._gap

    def dim(self, shape: tuple[int, ...]) -> int:
        return 4 * int(np.prod(shape))

    def compute(self, stream: Stream) -> tuple[NDArray[np.float32], Clock]:
        values, clock = regular(flat_numbers(stream), stream.clock, self._rate, self._gap)
        tonic = low_pass(values, float(clock.rate), self._cutoff)
        columns = [np.zeros((len(values), 0))]
        for level, own in zip(tonic.T, values.T):
            count, rise = self._recent(own, float(clock.rate))
            columns.append(np.stack([level, own - level, count, rise], 1))
        return as_float32(np.concatenate(columns, 1), stream), clock

    def _recent(self, own: Values, rate: float) -> tuple[Values, Values]:
        """Responses per minute and their mean amplitude over the last window, at each observation."""
        place, rises = responses(own, rate, self._least)
        # A response is known once the second after its peak is: it counts from its peak on all the same.
        marks, sizes = np.zeros(len(own)), np.zeros(len(own))
        marks[place], sizes[place] = 1.0, rises
        size = max(round(self._window * rate), 1)
        count, total = _trailing(marks, size), _trailing(sizes, size)
        unknown = np.isnan(own)
        mean = np.where(count > 0.5, total / np.maximum(count, 1.0), 0.0)
        per_minute = np.round(count) * 60 / self._window
        return np.where(unknown, np.nan, per_minute), np.where(unknown, np.nan, mean)


def _trailing(values: Values, size: int) -> Values:
    total = np.concatenate([np.zeros(size), np.cumsum(values)])
    return np.asarray(total[size:] - total[: len(values)])
