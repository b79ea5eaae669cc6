"""Coarse views of a stream, each with a flat spectrum, so that chance correlations have a known size.

Correlations of raw signals are hard to judge: loudness, movement and pulse are autocorrelated over seconds, so
unrelated recordings correlate too. Each view is therefore whitened by a short autoregressive filter (Box and
Jenkins' prewhitening before a cross-correlation). Then the correlation of n observations of unrelated streams is
about normal with standard deviation 1 / sqrt(n).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

__all__ = ["COARSE", "View", "longest_gap", "main_shapes", "view"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

COARSE = 50
"""Observations per second of every view."""

ORDER = 10
"""Length of the whitening filter, observations."""

SLOW = 2.0
"""The moving mean over this many seconds is subtracted from a view."""

BOUND = 5.0
"""Values are clipped at this many standard deviations."""


@dataclass(frozen=True)
class View:
    """One number over time, `COARSE` per second: observation i is at ``(first + i) / COARSE`` seconds.

    Attributes:
        name: which view of its stream it is.
        first: number of the first observation, counted from second 0.
        white: [n], whitened, deviation 1, 0 where unknown.
        plain: [n], before whitening, deviation 1, 0 where unknown.
        known: [n], where the stream has data.
    """

    name: str
    first: int
    white: Array
    plain: Array
    known: Mask


def longest_gap(step: float) -> float:
    """Values further apart than this many seconds are not joined; ``step`` is the usual distance."""
    return max(1.0, 4 * step)


def view(name: str, times: Array, values: Array) -> View | None:
    """A view of ``values`` [n] at ``times`` [n] in ascending order; None where nothing ever changes.

    >>> rng = np.random.default_rng(0); walk = np.cumsum(rng.standard_normal(3000))
    >>> got = view("walk", np.arange(3000) / 50, walk)
    >>> bool(abs(np.corrcoef(got.white[1:], got.white[:-1])[0, 1]) < 0.1), len(got.white)
    (True, 3000)
    """
    good = np.isfinite(times) & np.isfinite(values)
    times, values = times[good], values[good]
    if len(times) < 2 * ORDER:
        return None
    first, last = int(np.ceil(times[0] * COARSE)), int(np.floor(times[-1] * COARSE))
    at = np.arange(first, last + 1) / COARSE
    step = float(np.median(np.diff(times)))
    right = np.clip(np.searchsorted(times, at), 1, len(times) - 1)
    known = times[right] - times[right - 1] <= longest_gap(step)
    plain = _level(_sampled(at, times, values, step), known)
    if len(at) < 4 * ORDER or plain is None:
        return None
    return View(name, first, _whitened(plain, known), plain, known)


def _sampled(at: Array, times: Array, values: Array, step: float) -> Array:
    """The mean over one step of the view where values are denser than the view, else linear interpolation."""
    if step >= 0.7 / COARSE:
        return np.asarray(np.interp(at, times, values))
    # Differences of the cumulative sum give each step's mean at once; picking single values would alias.
    area = np.concatenate([[0.0], np.cumsum(values)])
    edges = np.concatenate([[times[0] - step / 2], (times[1:] + times[:-1]) / 2, [times[-1] + step / 2]])
    lo, hi = np.interp(at - 0.5 / COARSE, edges, area), np.interp(at + 0.5 / COARSE, edges, area)
    return np.asarray(hi - lo)


def _level(values: Array, known: Mask) -> Array | None:
    """Subtract the local mean and scale to standard deviation 1."""
    # An odd window is centred: an even one would move the mean by half a step.
    size = round(SLOW * COARSE) | 1
    # The mean of known values only: filter values and mask alike, then divide.
    weight = np.maximum(uniform_filter1d(known.astype(float), size, mode="constant"), 1e-9)
    local = uniform_filter1d(np.where(known, values, 0.0), size, mode="constant") / weight
    level = np.where(known, values - local, 0.0)
    deviation = float(level[known].std()) if known.any() else 0.0
    # Relative to the largest value: rounding alone makes a constant signal of a large value vary a little.
    return level / deviation if deviation > 1e-9 * (1 + float(np.abs(values[known]).max(initial=0))) else None


def _whitened(values: Array, known: Mask) -> Array:
    """Filtered by the autoregressive model's inverse gain, without its phase, so that no event moves in time."""
    from scipy.fft import irfft, next_fast_len, rfft
    from scipy.linalg import solve_toeplitz

    n = len(values)
    own = np.array([values[: n - k] @ values[k:] for k in range(ORDER + 1)])
    # White noise 25 dB below the signal keeps the Toeplitz system well conditioned for narrow-band signals.
    own[0] *= 1.003
    taps = np.concatenate([[1.0], -solve_toeplitz(own[:-1], own[1:])])
    # The padding keeps the end of the signal from wrapping round to its start.
    size = next_fast_len(n + 4 * ORDER)
    white = irfft(rfft(values, size) * np.abs(rfft(taps, size)), size)[:n]
    white[~known] = 0
    # Clipped, then scaled again: one bang must not carry the whole correlation.
    white = np.clip(white / max(float(white[known].std()), 1e-12), -BOUND, BOUND)
    return np.asarray(white / max(float(white[known].std()), 1e-12))


def main_shapes(pictures: NDArray[np.float32], n: int = 3) -> list[Array]:
    """The first n principal components of small pictures [time, cells], each [time]."""
    centred = pictures - pictures.mean(axis=0)
    # The covariance of few cells is small, an SVD of all pictures is not; eigh sorts in ascending order.
    _, ways = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
    return [np.asarray(centred @ ways[:, -k], np.float64) for k in range(1, min(n, ways.shape[1]) + 1)]
