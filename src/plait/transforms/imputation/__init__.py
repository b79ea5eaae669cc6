"""Imputation of gaps: observed values never change, and a mask marks imputed values. One file per method.

A method is a part: a concrete subclass of `Imputer` in this package is found by its name. Each fills a gap from its own
neighbourhood, so that results do not depend on the length of a recording or on reading it in pieces.
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
    """Values for the gaps of a table of channels. Options are keyword-only arguments of ``__init__``."""

    causal: ClassVar[bool] = False
    """Whether the method uses no later data than the value that it fills. It then also fills after the last
    observation, because it cannot know that none will follow."""

    look: float = 0.0
    """Seconds of context to each side of a gap."""

    @abstractmethod
    def gap(self, values: Array, times: Array, first: int, last: int, channels: NDArray[np.int64]) -> Array:
        """Values for observations first..last of some channels, [last - first, channels]; NaN where unknown.

        Args:
            values: the gap and `look` seconds to each side of it, [n, all channels]; NaN means not observed.
            times: seconds, [n].
        """

    def fill(self, values: Array, times: Array, wanted: Mask) -> Array:
        """The table with the ``wanted`` values filled, [n, channels]; NaN where unknown."""
        out = values.copy()
        for first, last, channels in _together(wanted):
            reach = self.look + 1e-9 * (1 + abs(times[last - 1]))  # rounding must not exclude an instant `look` away
            lo = int(np.searchsorted(times, times[first] - reach))
            hi = int(np.searchsorted(times, times[last - 1] + reach, "right"))
            lo, hi = max(min(lo, first - 1), 0), min(max(hi, last + 1), len(times))
            made = self.gap(values[lo:hi], times[lo:hi], first - lo, last - lo, channels)
            near = values[lo:hi, channels]
            seen = np.isfinite(near)
            # Models may overshoot; a filled value outside everything seen nearby is not credible.
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
    """Values with their gaps filled, and which of them were observed. Observed values are never changed.

    ==================  ==============================================================================================
    method              a gap is filled with
    ==================  ==============================================================================================
    hold                the last observation before it; the one method that is causal
    linear              the straight line between the observations around it
    seasonal            the same phase of the periods around it, tilted to meet both ends
    knn                 the stretches most like its surroundings (or the instants, over channels), tilted likewise
    low_rank            the low-rank completion of the matrix of lagged copies of all channels
    autoregressive      the values with the least prediction error of an autoregressive model of its surroundings
    ==================  ==============================================================================================

    Where a method finds no basis (no period, no stretch without gaps), a straight line is used instead. No method
    leaves the range of the values observed in its neighbourhood.

    Args:
        values: [n] or [n, ...] numbers; NaN means not observed. Each number has its own mask.
        clock: when each of the n was observed.
        method: a name, or a mapping of its name and options; see the classes of this package.
        max_gap: longest gap that is filled, in seconds between the observations around it; None: no limit. ``hold``
            fills up to this far.
        edges: also fill, up to ``max_gap`` from the nearest observation, before the first and after the last one.

    Returns:
        (values [n, ...] float64, NaN where still unknown; mask of observed values, of the same shape).

    Raises:
        ConfigError: no such method.
        DataError: lengths differ, values are infinite, or the method needs even steps and the clock is irregular.

    >>> from plait.streams.clock import Grid
    >>> filled, observed = impute([0.0, np.nan, 2.0, np.nan, np.nan], Grid(0, 10, 5))
    >>> filled.tolist(), observed.tolist()
    ([0.0, 1.0, 2.0, nan, nan], [True, False, True, False, False])
    """
    table = np.array(values, np.float64)
    if table.ndim == 0 or len(table) != len(clock):
        raise DataError(f"{table.shape} values on a clock of {len(clock)}; expected one row per observation.")
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
    """The wanted values filled, by a straight line where the method finds nothing; and the mask of these."""
    filled = imputer.fill(flat, times, wanted)
    left = wanted & np.isnan(filled)
    if left.any():
        filled = np.where(left, straight_line(flat, times, wanted), filled)
    return np.where(wanted, filled, flat), left


def straight_line(values: Array, times: Array, wanted: Mask) -> Array:
    """The wanted values of [n, channels] interpolated linearly in time; at the edges, the nearest observation."""
    out = values.copy()
    for channel in np.flatnonzero(wanted.any(0)):
        seen = np.isfinite(values[:, channel])
        rows = wanted[:, channel]
        if seen.any():
            out[rows, channel] = np.interp(times[rows], times[seen], values[seen, channel])
    return out


def imputable(flat: Array, times: Array, imputer: Imputer, max_gap: float, edges: tuple[bool, bool]) -> Mask:
    """The missing values of [n, channels] that may be filled.

    Args:
        edges: whether to fill before the first and after the last observation.
    """
    wanted = np.zeros(flat.shape, np.bool_)
    # Rounding must not exclude a gap of exactly the limit.
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
    """All gaps; equal gaps of several channels are one."""
    found: dict[tuple[int, int], list[int]] = {}
    for channel, column in enumerate(wanted.T):
        for gap in gaps_of(~column):
            found.setdefault(gap, []).append(channel)
    for (first, last), channels in sorted(found.items()):
        yield first, last, np.array(channels)


def observations(seconds: float, step: float) -> int:
    """Number of whole steps in a number of seconds, independent of rounding.

    >>> observations(0.3, 0.1)
    3
    """
    return int(seconds / step * (1 + 1e-9) + 1e-6)


def steady_step(times: Array) -> float:
    """Seconds between observations, for methods that count observations.

    Raises:
        DataError: the steps differ by more than a fifth.
    """
    steps = np.diff(times)
    usual = float(np.median(steps)) if len(steps) else 1.0
    if len(steps) and not (usual > 0 and np.abs(steps - usual).max() <= usual / 5):
        raise DataError(
            f"observations {steps.min():g} to {steps.max():g} s apart; this method of imputing needs even steps. "
            "Resample the values to a grid first, or use linear or hold."
        )
    return usual
