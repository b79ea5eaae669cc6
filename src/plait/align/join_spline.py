"""The cubic spline through many points at few instants, as weights of the nearest knots shared by all channels.

Solving for the whole spline costs knots times channels; weights cost only the number of instants.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["KNOTS", "spline_weights"]

Times = NDArray[np.float64]

KNOTS = 48
"""Knots used about an instant. A knot k places away changes the value by about 0.27^k of itself if knots are evenly
spaced and by less than 0.5^k for any spacing, so knots beyond are below float64's and float32's last digit."""


def spline_weights(knots: Times, at: Times) -> Times:
    """Weights of the values at ``knots`` [m, k], increasing along m, in the spline's value at ``at`` [k]; [m, k].

    The spline is cubic between knots, has two continuous derivatives and not-a-knot ends (de Boor, A Practical Guide
    to Splines, ch. IV); it is a parabola through three points, a line through two. Its slopes s solve A s = R y with A
    tridiagonal. The value is linear in y and s, so the weights follow from one solution with A transposed.

    >>> x = np.arange(6.0)
    >>> weights = spline_weights(x[:, None], np.array([2.5]))
    >>> round(float(weights[:, 0] @ x**3), 9)
    15.625
    """
    if len(knots) < 4:
        return _lagrange(knots, at)
    # Counted from the first knot: differences of large seconds lose digits.
    knots, at = knots - knots[0], at - knots[0]
    step, own = np.diff(knots, axis=0), np.arange(len(at))
    left = np.clip((knots <= at).sum(0) - 1, 0, len(knots) - 2)
    h = step[left, own]
    u = (at - knots[left, own]) / h
    of_slopes = np.zeros_like(knots)
    of_slopes[left, own], of_slopes[left + 1, own] = h * u * (1 - u) ** 2, -h * u * u * (1 - u)
    out = _through_secants(_solve_transposed(step, of_slopes), step)
    out[left, own] += (1 + 2 * u) * (1 - u) ** 2
    out[left + 1, own] += u * u * (3 - 2 * u)
    return out


def _lagrange(knots: Times, at: Times) -> Times:
    """The polynomial through all knots."""
    out = np.ones_like(knots)
    for i in range(len(knots)):
        for j in range(len(knots)):
            if i != j:
                out[i] *= (at - knots[j]) / (knots[i] - knots[j])
    return out


def _solve_transposed(step: Times, wanted: Times) -> Times:
    """Solve A' z = wanted by elimination along the knots, for all instants at once.

    Row j of A: step_j s_(j-1) + 2 (step_(j-1) + step_j) s_j + step_(j-1) s_(j+1).
    """
    pivot = np.empty_like(wanted)
    pivot[1:-1] = 2 * (step[:-1] + step[1:])
    # The not-a-knot conditions at both ends.
    pivot[0], pivot[-1] = step[1], step[-2]
    below = [step[0] + step[1], *step[:-1]]
    above = [*step[1:], step[-1] + step[-2]]
    z = wanted.copy()
    # No pivoting is needed: every pivot stays above a step.
    for j in range(1, len(z)):
        factor = below[j - 1] / pivot[j - 1]
        pivot[j] -= factor * above[j - 1]
        z[j] -= factor * z[j - 1]
    z[-1] /= pivot[-1]
    for j in range(len(z) - 2, -1, -1):
        z[j] = (z[j] - above[j] * z[j + 1]) / pivot[j]
    return z


def _through_secants(z: Times, step: Times) -> Times:
    """Weights R' z of the values, from those of the secants (y_(j+1) - y_j) / step_j."""
    secant = np.zeros_like(step)
    secant[:-1] += 3 * step[1:] * z[1:-1]
    secant[1:] += 3 * step[:-1] * z[1:-1]
    for end, inner, slope in ((0, 1, z[0]), (-1, -2, z[-1])):
        both = step[end] + step[inner]
        secant[end] += slope * (step[end] + 2 * both) * step[inner] / both
        secant[inner] += slope * step[end] ** 2 / both
    secant /= step
    out = np.zeros_like(z)
    out[1:] += secant
    out[:-1] -= secant
    return out
