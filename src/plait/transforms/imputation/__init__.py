"""Filling gaps: what was observed stays as it is, and what was not is marked for ever. One file a method.

A method is a part: a concrete subclass of `Imputer` standing here is found by its name. Each fills a gap from its own
neighbourhood, so that an hour is filled as a minute is, and reading a stream in pieces changes nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from plait.core.errors import ConfigError, DataError
from plait.core.parts import Spec, build
from plait.streams.clock import Clock

__all__ = ["Imputer", "gaps_of", "imputable", "impute", "imputer_of", "observations", "steady_step"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Imputer(ABC):
    """Gaps of a table of channels -> values. Options are keyword-only arguments of ``__init__``."""

    causal: ClassVar[bool] = False
    """Whether it looks at nothing later than what it fills. It then also goes on after the last observation, since it
    cannot know that there is none to come."""

    look: float = 0.0
    """Seconds to each side of a gap that it learns from."""

    @abstractmethod
    def gap(self, values: Array, times: Array, first: int, last: int, channels: NDArray[np.int64]) -> Array:
        """Values for observations first..last of some channels, [last - first, channels]; NaN where it knows none.

        Args:
            values: the gap and `look` seconds to each side of it, [n, all channels]; NaN is: not observed.
            times: seconds, [n].
        """

    def fill(self, values: Array, times: Array, wanted: Mask) -> Array:
        """The table with what is ``wanted`` filled, [n, channels]; NaN where nothing is known."""
        out = values.copy()
        for first, last, channels in _together(wanted):
            reach = self.look + 1e-9 * (1 + abs(times[last - 1]))  # an instant just `look` away is in, rounded or not
            lo = int(np.searchsorted(times, times[first] - reach))
            hi = int(np.searchsorted(times, times[last - 1] + reach, "right"))
            lo, hi = max(min(lo, first - 1), 0), min(max(hi, last + 1), len(times))
            made = self.gap(values[lo:hi], times[lo:hi], first - lo, last - lo, channels)
            near = values[lo:hi, channels]
            seen = np.isfinite(near)
            low, high = np.where(seen, near, np.inf).min(0), np.where(seen, near, -np.inf).max(0)
            out[first:last, channels] = np.where(low <= high, np.clip(made, low, np.maximum(low, high)), made)
        return out


def imputer_of(method: Spec, where: str = "method") -> Imputer:
    """The method that a spec names: a name, or a mapping of its name and options.

    Raises:
        ConfigError: there is no such method, or it has no such option.
    """
    return build(Imputer, method, where=where)


def impute(
    values: ArrayLike,
    clock: Clock,
    method: Spec | Imputer = "linear",
    *,
    max_gap: float | None = None,
    edges: bool = False,
) -> tuple[Array, Mask]:
    """Values with their gaps filled, and which of them were observed. What was observed is never changed.

    ==================  ==============================================================================================
    method              a gap is filled with
    ==================  ==============================================================================================
    hold                the last observation before it; the one method that is causal
    linear              the straight line between the observations around it
    seasonal            the same phase of the periods around it, tilted to meet both ends
    knn                 the stretches most like its surroundings (or the instants, over channels), tilted likewise
    low_rank            the low-rank completion of the matrix of lagged copies of all channels
    autoregressive      what an autoregressive model of its surroundings is least surprised by
    ==================  ==============================================================================================

    Where a method finds nothing to go by (no period, no stretch without gaps), the straight line stands in. None leaves
    the range of what was observed in the neighbourhood that it learns from.

    Args:
        values: [n] or [n, ...] numbers; NaN is: not observed. Each number has a mask of its own.
        clock: when each of the n was observed.
        method: a name, or a mapping of its name and options; see the classes of this package.
        max_gap: seconds between the two observations around a gap beyond which it stays; None: no limit. ``hold``
            goes so far and no further.
        edges: also fill, up to ``max_gap`` from the nearest observation, before the first one and after the last.

    Returns:
        (values [n, ...] float64, NaN where nothing is known still, mask of what was observed, of the same shape).

    Raises:
        ConfigError: no such method.
        DataError: lengths differ, values are infinite, or the method needs even steps and the clock has none.

    >>> from plait.streams.clock import Grid
    >>> filled, observed = impute([0.0, np.nan, 2.0, np.nan, np.nan], Grid(0, 10, 5))
    >>> filled.tolist(), observed.tolist()
    ([0.0, 1.0, 2.0, nan, nan], [True, False, True, False, False])
    """
    table = np.array(values, np.float64)
    if table.ndim == 0 or len(table) != len(clock):
        raise DataError(f"{table.shape} values on a clock of {len(clock)}; expected one (row) an observation.")
    if np.isinf(table).any():
        raise DataError(f"{int(np.isinf(table).sum())} infinite values; write NaN for what was not observed.")
    if max_gap is not None and not max_gap > 0:
        raise ConfigError(f"max_gap: got {max_gap} s; expected above 0.")
    imputer = method if isinstance(method, Imputer) else imputer_of(method)
    flat = table.reshape(len(table), int(np.prod(table.shape[1:], dtype=int)))
    wanted = imputable(flat, clock.times, imputer, np.inf if max_gap is None else max_gap, (edges, edges))
    filled = fill_in(imputer, flat, clock.times, wanted)[0] if wanted.any() else flat
    return filled.reshape(table.shape), np.isfinite(table)


def fill_in(imputer: Imputer, flat: Array, times: Array, wanted: Mask) -> tuple[Array, Mask]:
    """What is wanted filled, by the straight line where the method knows nothing; and where that was."""
    filled = imputer.fill(flat, times, wanted)
    left = wanted & np.isnan(filled)
    if left.any():
        filled = np.where(left, straight_line(flat, times, wanted), filled)
    return np.where(wanted, filled, flat), left


def straight_line(values: Array, times: Array, wanted: Mask) -> Array:
    """What is wanted of [n, channels], in time between the observations around; at the edges the nearest one."""
    out = values.copy()
    for channel in np.flatnonzero(wanted.any(0)):
        seen = np.isfinite(values[:, channel])
        rows = wanted[:, channel]
        if seen.any():
            out[rows, channel] = np.interp(times[rows], times[seen], values[seen, channel])
    return out


def imputable(flat: Array, times: Array, imputer: Imputer, max_gap: float, edges: tuple[bool, bool]) -> Mask:
    """What of [n, channels] is missing and may be filled.

    Args:
        edges: whether to fill before the first and after the last observation.
    """
    wanted = np.zeros(flat.shape, np.bool_)
    limit = max_gap * (1 + 1e-9)
    for channel, column in enumerate(flat.T):
        for first, last in gaps_of(np.isfinite(column)):
            before = times[first - 1] if first else -np.inf
            after = times[last] if last < len(times) else np.inf
            inside = times[first:last]
            if imputer.causal:
                wanted[first:last, channel] = inside - before <= limit
            elif np.isfinite(after - before):
                wanted[first:last, channel] = after - before <= limit
            if edges[0] and not first and np.isfinite(after):
                wanted[first:last, channel] = after - inside <= limit
            if edges[1] and last == len(times) and np.isfinite(before):
                wanted[first:last, channel] = inside - before <= limit
    return wanted


def gaps_of(observed: Mask) -> list[tuple[int, int]]:
    """Runs of False, as (first, past the last).

    >>> gaps_of(np.array([False, True, False, False]))
    [(0, 1), (2, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[True], observed, [True]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _together(wanted: Mask) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """The gaps, those of several channels that begin and end together as one."""
    found: dict[tuple[int, int], list[int]] = {}
    for channel, column in enumerate(wanted.T):
        for gap in gaps_of(~column):
            found.setdefault(gap, []).append(channel)
    for (first, last), channels in sorted(found.items()):
        yield first, last, np.array(channels)


def observations(seconds: float, step: float) -> int:
    """How many whole steps are in so many seconds, however either is rounded.

    >>> observations(0.3, 0.1)
    3
    """
    return int(seconds / step * (1 + 1e-9) + 1e-6)


def steady_step(times: Array) -> float:
    """Seconds from observation to observation, for methods that count them.

    Raises:
        DataError: they differ by more than a fifth.
    """
    steps = np.diff(times)
    usual = float(np.median(steps)) if len(steps) else 1.0
    if len(steps) and not (usual > 0 and np.abs(steps - usual).max() <= usual / 5):
        raise DataError(
            f"observations {steps.min():g} to {steps.max():g} s apart; this method of imputing needs even steps. "
            "Lay the values on a grid first (resample), or use linear or hold."
        )
    return usual
