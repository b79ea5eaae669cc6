"""Nearest neighbours: the most similar stretches or instants."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plait.core.errors import ConfigError
from plait.transforms.imputation import Array, Imputer, Mask, observations, steady_step
from plait.transforms.imputation.patterns import tilted

__all__ = ["Knn", "distances"]

BATCH = 1 << 21
"""Most distances in memory."""


class Knn(Imputer):
    """The mean of the k stretches whose surroundings are most similar to the gap's.

    The pattern is all channels from ``around`` seconds before the gap to ``around`` seconds after it, including other
    channels within the gap. It is compared at every place within ``look`` seconds where the channel was fully observed.
    The distance is Euclidean over the values that both have, scaled up for missing ones (as
    ``nan_euclidean_distances`` of scikit-learn); a place within half a pattern of a better one is left out. The mean is
    tilted to meet the observations at both ends. Patterns of whole gaps instead of single instants: Wellenzohn et al.
    2017, "Continuous imputation of missing values in streams of pattern-determining time series" (EDBT).

    With ``around=0`` each instant is compared by its channels alone, and neighbours may be anywhere within ``look``:
    Troyanskaya et al. 2001, as ``KNNImputer`` of scikit-learn with uniform weights.

    Args:
        neighbours: number of neighbours.
        around: seconds of surroundings to each side.
        look: seconds to each side of the gap that are searched.
        scale: divide each channel by its standard deviation within ``look``, so that units do not matter.
    """

    def __init__(self, *, neighbours: int = 5, around: float = 0.5, look: float = 60.0, scale: bool = True) -> None:
        if neighbours < 1 or not around >= 0 or not look > 0:
            raise ConfigError(
                f"knn: neighbours {neighbours}, around {around}, look {look}; expected 1, 0 or more, and above 0."
            )
        self.neighbours, self.around, self.look, self.scale = neighbours, around, look, scale

    def gap(self, values: Array, times: Array, first: int, last: int, channels: NDArray[np.int64]) -> Array:
        scaled = values / _deviation(values) if self.scale else values
        if not self.around:
            return self._instants(values, scaled, first, last, channels)
        near = max(observations(self.around, steady_step(times)), 1)
        lo, hi = max(first - near, 0), min(last + near, len(values))
        away = distances(scaled, scaled[lo:hi])
        return np.stack([self._stretch(values[:, c], away, first, last, lo) for c in channels], 1)

    def _instants(self, values: Array, scaled: Array, first: int, last: int, channels: NDArray[np.int64]) -> Array:
        out = np.full((last - first, len(channels)), np.nan)
        known = np.flatnonzero(np.isfinite(scaled[first:last]).any(1))  # the others have no channel to compare
        size = max(BATCH // len(values), 1)
        for rows in (known[i : i + size] for i in range(0, len(known), size)):
            away = _between(scaled[first + rows], scaled)
            for i, column in enumerate(values[:, channels].T):
                donors = np.where(np.isfinite(column), away, np.inf)
                count = min(self.neighbours, len(column))
                best = np.argpartition(donors, count - 1, axis=1)[:, :count]
                used = np.isfinite(np.take_along_axis(donors, best, 1))
                total = np.where(used, column[best], 0.0).sum(1)
                out[rows, i] = np.where(used.any(1), total / np.maximum(used.sum(1), 1), np.nan)
        return out

    def _stretch(self, x: Array, away: Array, first: int, last: int, lo: int) -> Array:
        length, before = last - first, first - lo
        missing = np.concatenate([[0], np.cumsum(~np.isfinite(x))])
        begin = np.arange(len(away)) + before
        usable = np.isfinite(away) & (missing[np.minimum(begin + length, len(x))] == missing[begin])
        places = _apart(np.where(usable, away, np.inf), self.neighbours, (length + 2 * before) // 2)
        if not len(places):
            return np.full(length, np.nan)
        padded = np.concatenate([[np.nan], x, [np.nan]])
        found = padded[places[:, None] + before + np.arange(length + 2)]
        inner = found[:, 1:-1].mean(0)
        pattern = np.concatenate([[_mean(found[:, 0])], inner, [_mean(found[:, -1])]])
        return tilted(pattern, padded[first], padded[last + 1])


def _mean(values: Array) -> float:
    return float(values.mean()) if np.isfinite(values).all() else float("nan")


def _deviation(values: Array) -> Array:
    seen = np.isfinite(values)
    count = np.maximum(seen.sum(0), 1)
    mean = np.where(seen, values, 0.0).sum(0) / count
    spread = np.sqrt(np.where(seen, (values - mean) ** 2, 0.0).sum(0) / count)
    return np.where(spread > 0, spread, 1.0)


def distances(values: Array, pattern: Array) -> Array:
    """Mean square difference between a pattern [m, channels] and [n, channels] at each of its n - m + 1 places, over
    the values that both have; NaN where they have none in common."""
    a, b = np.isfinite(values), np.isfinite(pattern)
    x, q = np.where(a, values, 0.0), np.where(b, pattern, 0.0)
    total = _slide(x**2, b) + _slide(a, q**2) - 2 * _slide(x, q)
    # Counts come out of a Fourier transform, so they are rounded back to whole numbers.
    common = np.rint(_slide(a, b))
    return np.where(common > 0, np.maximum(total, 0.0) / np.maximum(common, 1), np.nan)


def _between(rows: Array, values: Array) -> Array:
    """Mean square difference of [m, channels] and [n, channels] over the channels that both have, [m, n]; infinite
    where they have none in common."""
    a, b = np.isfinite(rows).astype(np.float64), np.isfinite(values).astype(np.float64)
    x, y = np.nan_to_num(rows), np.nan_to_num(values)
    total, common = x**2 @ b.T + a @ (y**2).T - 2 * x @ y.T, a @ b.T
    return np.where(common > 0, np.maximum(total, 0.0) / np.maximum(common, 1), np.inf)


def _slide(values: Array | Mask, pattern: Array | Mask) -> Array:
    """Cross-correlation, summed over channels, at each place."""
    # The wrap-around falls on the places that are cut off, so no padding for the pattern is needed.
    size = 1 << (len(values) - 1).bit_length()
    product = np.fft.rfft(values, size, axis=0) * np.conj(np.fft.rfft(pattern, size, axis=0))
    total: Array = np.fft.irfft(product.sum(1), size)[: len(values) - len(pattern) + 1]
    return total


def _apart(away: Array, count: int, distance: int) -> NDArray[np.int64]:
    """The places with the least distances, none within ``distance`` observations of a better one."""
    left = away.copy()
    found: list[int] = []
    while len(found) < count and len(left):
        best = int(left.argmin())
        if not np.isfinite(left[best]):
            break
        found.append(best)
        left[max(best - distance, 0) : best + distance + 1] = np.inf
    return np.array(found, np.int64)
