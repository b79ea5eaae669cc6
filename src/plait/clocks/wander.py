"""How far a clock may leave its line where there are no lags: between them, before and after them.

A clock's drift wanders, so its lag is an integrated Wiener process: the prior of the cubic smoothing spline (Wahba,
J. Roy. Stat. Soc. B 1978). The posterior error of such a curve contains what a straight line's error leaves out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["hats", "second_differences", "wander"]

Array = NDArray[np.float64]

TYPICAL_DRIFT = 200e-6
"""Prior standard deviation of the mean drift, seconds per second."""

UNSTEADY = 1.5e-5
"""Standard deviation of the change of drift in one second, seconds per second; ten times as much (150 ppm) in 100 s."""

NODES = 24
"""Number of nodes; the curve is linear between them."""


def wander(times: Array, roots: Array, span: tuple[float, float]) -> tuple[Array, Array]:
    """Standard error of a wandering lag over ``span`` seconds, given lags at ``times`` [n].

    Args:
        times: seconds.
        roots: [n], one over the standard deviation of each lag; 0 for a lag that does not count.
        span: first and last second.

    Returns:
        Instants [m], and the standard error at each, seconds.

    >>> at, error = wander(np.linspace(0, 100, 50), np.full(50, 1e3), (0.0, 200.0))
    >>> bool(error[0] < 0.001 < 0.002 < error[-1])
    True
    """
    lo, hi = min(span[0], float(times.min())), max(span[1], float(times.max()))
    nodes = np.linspace(lo, max(hi, lo + 1.0), NODES)
    step = float(nodes[1] - nodes[0])
    rows = hats(times, nodes) * roots[:, None]
    # A Wiener process' increments grow with the root of the step.
    bends = second_differences(nodes) / (UNSTEADY * np.sqrt(step))
    drift = np.zeros((1, NODES))
    drift[0, [0, -1]] = np.array([-1, 1]) / (TYPICAL_DRIFT * (nodes[-1] - nodes[0]))
    # Offsets have no prior: the tiny ridge lets the matrix be inverted where no lag counts.
    normal = sum(each.T @ each for each in (rows, bends, drift)) + 1e-12 * np.eye(NODES)
    return nodes, np.asarray(np.sqrt(np.diag(np.linalg.inv(normal))))


def hats(at: Array, nodes: Array) -> Array:
    """Weights that interpolate values at ``nodes``, and extrapolate linearly beyond, [len(at), len(nodes)]."""
    left = np.clip(np.searchsorted(nodes, at, "right") - 1, 0, len(nodes) - 2)
    run = nodes[left + 1] - nodes[left]
    # Knots of a jump stand at one instant, which must not divide by 0.
    share = np.where(run > 0, (at - nodes[left]) / np.where(run > 0, run, 1.0), 1.0)
    out = np.zeros((len(at), len(nodes)))
    np.add.at(out, (np.arange(len(at)), left), 1 - share)
    np.add.at(out, (np.arange(len(at)), left + 1), share)
    return out


def second_differences(nodes: Array) -> Array:
    """Rows that compute the change of slope at each inner node, [len(nodes) - 2, len(nodes)]."""
    slopes = np.diff(np.eye(len(nodes)), axis=0) / np.diff(nodes)[:, None]
    return np.asarray(np.diff(slopes, axis=0))
