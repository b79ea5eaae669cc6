"""How fast a table of numbers changes: other measures of activity than how far it is from its usual value.

What two devices saw of one event need not be the same quantity. Where a jaw is, how fast a mouth moves and how loud a
voice is are out of step by up to a quarter of a cycle, as a sine and its rate of change are; so a table is measured in
several ways, and `plait.clocks.alike` finds out which of them the other stream shares.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from plait.clocks.views import main_shapes

__all__ = ["HEARD", "rates"]

Array = NDArray[np.float64]

HEARD = "heard"
"""The name of the measure for what is compared with a sound."""

QUIET = 0.3
"""For this share of the time there is taken to be silence."""

FLUCTUATION = 20.0
"""How fast the compressed level of noise changes, parts of itself per second, in windows of 12 ms."""

SMOOTH = 0.015
"""Deviation of the smoothing before rates are taken, seconds."""


def rates(times: Array, values: Array) -> dict[str, Array]:
    """Ways in which ``values`` [n, ...] at ascending ``times`` [n] change, each [n], none below 0.

    Returns:
        ``speed``: the size of the rate of change, each channel by its own quiet. ``rise`` and ``fall``: how fast the
        main component of all channels goes up, and down. ``heard``: the spectral flux of a sound that is as loud as it.
        Empty where nothing changes.

    >>> t = np.arange(400) / 100
    >>> found = rates(t, np.tanh((t - 2) / 0.05)[:, None])
    >>> [round(float(t[np.argmax(found[name])]), 2) for name in ("speed",)]
    [2.0]
    """
    if len(times) < 8:
        return {}
    step = max(float(np.median(np.diff(times))), 1e-6)
    grid = np.arange(times[0], times[-1] + step / 2, step)
    columns = [_smooth(times, column, grid, step) for column in values.reshape(len(times), -1).T]
    columns = [column / column.std() for column in columns if column.std() > 0]
    if not columns:
        return {}
    place = main_shapes(np.column_stack(columns).astype(np.float32), 1)[0]
    main = np.gradient(place, step)
    speed = np.sqrt(np.mean([_by_quiet(np.gradient(column, step)) ** 2 for column in columns], axis=0))
    found = {"speed": speed, "rise": np.maximum(main, 0), "fall": np.maximum(-main, 0), HEARD: _flux(place, step)}
    return {name: np.interp(times, grid, each) for name, each in found.items()}


def _flux(place: Array, step: float) -> Array:
    """What the rises of a sound are on average where ``place`` is its loudness.

    A sound's level fluctuates in proportion to itself, so the larger of its changes and 0 is more than the rise of its
    mean: for a steady sound it is not 0, and for one that swells it is largest between the steepest rise and the peak.
    """
    up = place if np.mean((place - np.median(place)) ** 3) > 0 else -place
    above = np.maximum(up - np.quantile(up, QUIET), 0)
    loud = np.sqrt(above + 0.1 * up.std()) - np.sqrt(0.1 * up.std())
    rise = np.gradient(loud, step)
    return np.asarray((rise + np.hypot(rise, FLUCTUATION * loud)) / 2)


def _smooth(times: Array, column: Array, grid: Array, step: float) -> Array:
    there = np.isfinite(column)
    if there.sum() < 2:
        return np.zeros(len(grid))
    return np.asarray(gaussian_filter1d(np.interp(grid, times[there], column[there]), max(SMOOTH / step, 0.5)))


def _by_quiet(rate: Array) -> Array:
    quiet = 1.4826 * float(np.median(np.abs(rate))) or float(rate.std())
    return rate / quiet if quiet > 0 else rate
