"""Activity of a table of numbers measured by how fast it changes, not by how far it is from its usual value.

Two devices need not measure the same quantity of one event. The position of a jaw, the speed of a mouth and the
loudness of a voice differ in phase by up to a quarter of a cycle, as a sine and its derivative do. So a table is
measured in several ways, and `plait.clocks.alike` finds out which of them matches the other stream.
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
"""Share of the time that is taken to be silence."""

FLUCTUATION = 20.0
"""Relative change per second of the compressed level of steady noise, in windows of 12 ms."""

SMOOTH = 0.015
"""Standard deviation of the smoothing before derivatives are taken, seconds."""


def rates(times: Array, values: Array) -> dict[str, Array]:
    """Ways in which ``values`` [n, ...] at ascending ``times`` [n] change, each [n], none below 0.

    Returns:
        ``speed``: root mean square rate of change, each channel relative to its own usual rate. ``rise`` and
        ``fall``: how fast the first principal component of all channels goes up, and down. ``heard``: the spectral
        flux of a sound that is as loud as that component. Empty where nothing changes.

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
    """The spectral flux to be expected of a sound whose loudness is ``place``.

    A sound's level fluctuates in proportion to itself, and flux counts rises only. So the flux of a steady sound is not
    0, and the flux of a swelling sound is largest between its steepest rise and its peak.
    """
    # The sign of a principal component is arbitrary: loud is the side of the long tail.
    up = place if np.mean((place - np.median(place)) ** 3) > 0 else -place
    above = np.maximum(up - np.quantile(up, QUIET), 0)
    # Compressed as the level of a sound is; the offset keeps the root's slope finite at silence.
    loud = np.sqrt(above + 0.1 * up.std()) - np.sqrt(0.1 * up.std())
    rise = np.gradient(loud, step)
    # A smooth max(rise, 0): about half of the fluctuation remains where the mean does not rise.
    return np.asarray((rise + np.hypot(rise, FLUCTUATION * loud)) / 2)


def _smooth(times: Array, column: Array, grid: Array, step: float) -> Array:
    there = np.isfinite(column)
    if there.sum() < 2:
        return np.zeros(len(grid))
    return np.asarray(gaussian_filter1d(np.interp(grid, times[there], column[there]), max(SMOOTH / step, 0.5)))


def _by_quiet(rate: Array) -> Array:
    # The median is 0 for a channel that rests most of the time.
    quiet = 1.4826 * float(np.median(np.abs(rate))) or float(rate.std())
    return rate / quiet if quiet > 0 else rate
