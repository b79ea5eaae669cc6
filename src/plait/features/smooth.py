"""Low-pass filters of finite length that ignore gaps, so that a feature's receptive field is bounded."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from plait.features.series import on_grid
from plait.streams.clock import Clock, Grid, rational

__all__ = ["low_pass", "low_pass_receptive_field", "regular"]

Values = NDArray[np.float64]


def low_pass_receptive_field(cutoff: float) -> float:
    """Half the length of `low_pass`'s kernel, seconds: one period of the cutoff."""
    return 1 / cutoff


def low_pass(values: Values, rate: float, cutoff: float, *, causal: bool = False) -> Values:
    """Each column low-pass filtered at ``cutoff`` Hz, [n, d]; NaN is ignored.

    The kernel is the non-negative part of a Hamming-windowed sinc of two periods' length. Its weights are renormalised
    over the observations that exist (without NaN and beyond the ends), so that a level next to a gap is not drawn
    towards 0. ``causal`` uses the past half of a Hann window instead, which lags by about a third of its period. The
    result is NaN where nothing was observed.

    Source: normalised convolution, Knutsson & Westin, "Normalized and differential convolution", CVPR 1993.

    >>> low_pass(np.ones((5, 1)), 1.0, 0.4).ravel().tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0]
    """
    from scipy.signal import oaconvolve

    if not len(values):
        return values
    half = max(int(np.floor(rate * low_pass_receptive_field(cutoff))), 1)
    kernel = _past(half) if causal else _both(half, cutoff / rate)
    seen = ~np.isnan(values)
    total = oaconvolve(np.where(seen, values, 0.0), kernel[:, None], axes=0, mode="full")
    weight = oaconvolve(seen.astype(np.float64), kernel[:, None], axes=0, mode="full")
    first = 0 if causal else half
    total, weight = total[first : first + len(values)], weight[first : first + len(values)]
    # An observation amid a long gap has too little around it for a mean; it stays as it is.
    enough = weight > 0.05 * kernel.sum()
    out: Values = np.where(seen & enough, total / np.where(enough, weight, 1.0), np.where(seen, values, np.nan))
    return out


def _both(half: int, cutoff: float) -> Values:
    k = np.arange(-half, half + 1)
    # Without negative lobes: renormalised over few observations, the weights could otherwise sum to almost nothing.
    out: Values = np.maximum(np.sinc(2 * cutoff * k) * np.hamming(2 * half + 1), 0.0)
    return out


def _past(half: int) -> Values:
    out: Values = np.hanning(2 * half + 3)[half + 1 : -1]
    return out


def regular(values: Values, clock: Clock, rate: float | str | None, gap: float) -> tuple[Values, Grid]:
    """Values on a grid: unchanged if they are on one and no rate is given, else interpolated linearly.

    Args:
        values: [n, d], NaN where not observed.
        clock: clock of the values.
        rate: Hz; None: the clock's own, or one over the median step, to a hundredth of a Hz.
        gap: longest gap that is interpolated, seconds.
    """
    if rate is None and isinstance(clock, Grid):
        return values, clock
    if len(values) == 0:
        return values, Grid(0, rational(rate or 1), 0)
    own = rational(rate) if rate is not None else _usual(clock)
    return on_grid(values, clock, own, "linear", gap)


def _usual(clock: Clock) -> Fraction:
    steps = np.diff(clock.times)
    steps = steps[steps > 0]
    return Fraction(round(100 / float(np.median(steps))) or 1, 100) if len(steps) else Fraction(1)
