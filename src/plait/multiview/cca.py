"""Linear canonical correlation of two or more views; rows may lack a view. NumPy and SciPy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from jaxtyping import Bool, Float, Shaped
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from plait.core.errors import ConfigError, DataError, raise_all

__all__ = ["Cca", "checked_views"]

Array = NDArray[np.float64]

ROWS = 1024
"""Rows per block when products are summed, so that no copy of the views is made."""


class Cca:
    """Directions in two or more views along which the views of the same items correlate most.

    Two views: canonical correlation (Hotelling 1936), with ``ridge`` the canonical ridge (Vinod 1976). More views:
    SUMCOR under a bound on the sum of the variances, which without a ridge is also MAXVAR, the directions nearest to
    one common variate (Kettenring 1971; Carroll 1968): the largest eigenvalues of the blocks ``C_ii^-1/2 C_ij
    C_jj^-1/2``, with 1 on the diagonal. For two views they are one plus and minus the canonical correlations. Rows that
    lack a view are neither dropped nor filled: ``C_ii`` is computed from the rows that have the view, ``C_ij`` from
    those that have both (available cases; Little and Rubin 2002, section 3.4). Departure from Vinod: the ridge is in
    units of the view's mean variance, ``C + ridge * trace(C) / d * I``, so that units do not matter.

    Args:
        components: number of directions; by default the smallest rank of a view.
        ridge: 0 for none; with a larger ridge covariance is maximised rather than correlation. One number, or one per
            view.

    Attributes:
        weights_: per view [d_i, components], for its centred columns; variates have variance 1 on the training rows.
        means_: per view [d_i].
        correlations_: [components], of the training rows, see `correlations`. Decreasing for two views without a ridge.
        shared_: [components], decreasing, 0..1: the share of the views' variates that is common to them
            (eigenvalue / M; for two views without a ridge ``(1 + correlation) / 2``).

    Raises:
        ConfigError: a number of components below 1, or a ridge below 0.

    >>> rng = np.random.default_rng(0)
    >>> common = rng.standard_normal((200, 1))
    >>> seen, heard = (common @ rng.standard_normal((1, d)) + 0.1 * rng.standard_normal((200, d)) for d in (6, 4))
    >>> Cca(2).fit([seen, heard]).correlations_.round(2).tolist()
    [1.0, 0.17]
    """

    weights_: list[Array]
    means_: list[Array]
    correlations_: Array
    shared_: Array

    def __init__(self, components: int | None = None, *, ridge: float | Sequence[float] = 0.0) -> None:
        ridges = [ridge] if isinstance(ridge, int | float) else list(ridge)
        if components is not None and components < 1:
            raise ConfigError(f"cca.components: got {components}; expected 1 or more, or None for all.")
        if not all(0 <= r < np.inf for r in ridges):
            raise ConfigError(f"cca.ridge: got {ridge}; expected numbers of 0 or more.")
        self.components, self.ridge = components, ridge

    def fit(self, views: Sequence[ArrayLike]) -> Cca:
        """Find the directions.

        Args:
            views: two or more [n, d_i], row by row the same items. A row all NaN is missing in that view.

        Raises:
            DataError: fewer than two views, other shapes, single cells that are not finite, a view without variation,
                or two views with fewer than two rows in common.
            ConfigError: the number of ridges is not that of the views.
        """
        arrays, there = checked_views(views)
        raise_all(DataError, _lonely(there))
        ridges = [self.ridge] * len(arrays) if isinstance(self.ridge, int | float) else list(self.ridge)
        if len(ridges) != len(arrays):
            raise ConfigError(f"cca.ridge: {len(ridges)} ridges for {len(arrays)} views. Give one, or one per view.")
        self._solve(arrays, there, ridges)
        variates = None if there.all() else self.transform(arrays)
        self.correlations_ = self._own if variates is None else _pairwise(variates)
        del self._own
        return self

    def _solve(self, arrays: list[Array], there: Bool[np.ndarray, "n views"], ridges: list[float]) -> None:
        edges = np.cumsum([0, *(x.shape[1] for x in arrays)])
        parts = [slice(a, b) for a, b in pairwise(edges)]
        spread, self.means_ = _covariance(arrays, there)
        whiten = []
        for i, (part, ridge) in enumerate(zip(parts, ridges)):
            # Cholesky is fast; singular values of the view itself are better where its covariance is nearly singular.
            one = _cholesky(spread[part, part], ridge, i)
            if one is None:
                one = _singular(_centred(arrays[i : i + 1], there[:, i : i + 1], self.means_[i : i + 1]), ridge)
            whiten.append(one)
        count = min([w.matrix.shape[1] for w in whiten] + ([self.components] if self.components else []))
        values, vectors = (_two if len(parts) == 2 else _top)(spread, parts, whiten, count)
        self.shared_ = values.clip(0, len(parts)) / len(parts)
        self.weights_ = [w.back(v) for w, v in zip(whiten, vectors)]
        self._normalise(spread, parts)

    def _normalise(self, spread: Array, parts: list[slice]) -> None:
        """Scale variates to variance 1 and fix their sign: the first view's largest weight is positive."""
        sign = np.sign(np.take_along_axis(self.weights_[0], np.abs(self.weights_[0]).argmax(0)[None], 0))
        for i, part in enumerate(parts):
            size = np.sqrt(((spread[part, part] @ self.weights_[i]) * self.weights_[i]).sum(0))
            self.weights_[i] *= sign / np.where(size > 0, size, 1.0)
        pairs = [
            ((spread[parts[i], parts[j]] @ self.weights_[j]) * self.weights_[i]).sum(0)
            for i, j in combinations(range(len(parts)), 2)
        ]
        self._own = np.clip(np.mean(pairs, 0), -1, 1)

    def transform(self, views: Sequence[ArrayLike | None]) -> list[Float[np.ndarray, "n components"]]:
        """Each view's variates; rows of NaN where a row is missing, and for a view that is None.

        Raises:
            DataError: other shapes than in `fit`, no view at all, or single cells that are not finite.
        """
        if len(views) != len(self.weights_) or all(v is None for v in views):
            raise DataError(
                f"{len(views)} views, fitted on {len(self.weights_)}. Give each, or None where it is missing."
            )
        rows = len(next(np.asarray(v) for v in views if v is not None))
        given = [np.full((rows, len(m)), np.nan) if v is None else v for v, m in zip(views, self.means_)]
        arrays, _ = checked_views(given)
        wrong = [i for i, (x, m) in enumerate(zip(arrays, self.means_)) if x.shape[1] != len(m)]
        raise_all(
            DataError,
            [f"view {i}: {arrays[i].shape[1]} columns; fitted on {len(self.means_[i])}." for i in wrong],
        )
        return [(x - m) @ w for x, m, w in zip(arrays, self.means_, self.weights_)]

    def fit_transform(self, views: Sequence[ArrayLike]) -> list[Float[np.ndarray, "n components"]]:
        """`fit`, then `transform` of the same views."""
        return self.fit(views).transform(views)

    def common(self, views: Sequence[ArrayLike | None]) -> Float[np.ndarray, "n components"]:
        """One point in the joint space per item: the mean of the variates that it has; NaN if it has none."""
        variates = np.stack(self.transform(views))
        there = np.isfinite(variates)
        total = np.where(there, variates, 0.0).sum(0)
        mean: Array = np.where(there.any(0), total / np.maximum(there.sum(0), 1), np.nan)
        return mean

    def correlations(self, views: Sequence[ArrayLike | None]) -> Float[np.ndarray, " components"]:
        """Correlation of the variates per component: the mean over all pairs of views, from rows that have both.

        Raises:
            DataError: as `transform`; or no two views have two rows in common.
        """
        return _pairwise(self.transform(views))

    def score(self, views: Sequence[ArrayLike | None]) -> float:
        """Mean of `correlations` over the components."""
        return float(self.correlations(views).mean())


def checked_views(views: Sequence[ArrayLike]) -> tuple[list[Array], Bool[np.ndarray, "n views"]]:
    """Views as float64 [n, d_i], and which of their rows are there (not all NaN).

    Raises:
        DataError: fewer than two views, other shapes, or single cells that are not finite; all problems at once.
    """
    arrays = [np.asarray(v, np.float64) for v in views]
    if len(arrays) < 2:
        raise DataError(f"{len(arrays)} view; expected two or more, [n, d_i] each.")
    problems = [
        f"view {i}: shape {x.shape}; expected [{len(arrays[0])}, 1 or more]: rows are items, columns numbers."
        for i, x in enumerate(arrays)
        if x.ndim != 2 or x.shape[1] == 0 or len(x) != len(arrays[0])
    ]
    raise_all(DataError, problems)
    whole = [_finite(x) for x in arrays]
    there = np.stack([np.ones(len(x), bool) if fine else ~np.isnan(x).all(1) for x, fine in zip(arrays, whole)], 1)
    for i, x in enumerate(arrays):
        broken = [] if whole[i] else np.flatnonzero(there[:, i] & ~np.isfinite(x).all(1)).tolist()
        if broken:
            problems.append(
                f"view {i}: {len(broken)} rows have cells that are not finite, the first row {broken[0]}. "
                "Fill them, or make the whole row NaN: then it counts as missing."
            )
    raise_all(DataError, problems)
    return arrays, there


def _finite(x: Array) -> bool:
    """Whether all cells are finite, in one quick pass; False too if the sum overflows: then each cell is checked."""
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(x.sum()))


def _lonely(there: Bool[np.ndarray, "n views"]) -> list[str]:
    """Pairs of views that have no two rows in common."""
    pairs = combinations(range(there.shape[1]), 2)
    both = {(i, j): int((there[:, i] & there[:, j]).sum()) for i, j in pairs}
    return [f"views {i} and {j}: {n} rows have both; expected two or more." for (i, j), n in both.items() if n < 2]


def _centred(arrays: list[Array], there: Bool[np.ndarray, "n views"], means: list[Array]) -> Array:
    """The views concatenated, each minus its mean, 0 where a row is missing."""
    out = np.concatenate(arrays, 1)
    out -= np.concatenate(means)
    if not there.all():
        out[~there.repeat([x.shape[1] for x in arrays], 1)] = 0.0
    return out


def _covariance(arrays: list[Array], there: Bool[np.ndarray, "n views"]) -> tuple[Array, list[Array]]:
    """The covariance of the concatenated views, each block from the rows that have both of its views; and the means."""
    if there.all():
        return _complete(arrays)
    means = [x[seen].mean(0) for x, seen in zip(arrays, there.T)]
    centred = _centred(arrays, there, means)
    # Missing rows are 0 in `centred`, so one product sums the right rows of every block; only the divisor differs.
    number = (there.T.astype(float) @ there).repeat(d := [x.shape[1] for x in arrays], 0).repeat(d, 1)
    return np.asarray(centred.T @ centred / (number - 1)), means


def _complete(arrays: list[Array]) -> tuple[Array, list[Array]]:
    """The same if no row is missing; a second pass over the rows is needed only if means are far from 0."""
    n = len(arrays[0])
    raw = _products(arrays)
    mean = shift = raw[-1, :-1] / n
    # Sums of squares less n * mean^2 lose as many digits as the first exceeds the rest: here three at most.
    around = n * mean**2
    if not (around <= 1e3 * (raw.diagonal()[:-1] - around)).all():
        raw = _products(arrays, mean)
        shift = raw[-1, :-1] / n
    spread = (raw[:-1, :-1] - n * np.outer(shift, shift)) / (n - 1)
    return spread, np.split(mean, np.cumsum([x.shape[1] for x in arrays])[:-1])


def _products(arrays: list[Array], shift: Array | None = None) -> Float[np.ndarray, "one_more one_more"]:
    """``Z' Z`` of the concatenated views minus ``shift``, with a last column of ones that gives the sums."""
    n, width = len(arrays[0]), sum(x.shape[1] for x in arrays) + 1
    total, rows = np.zeros((width, width), order="F"), np.ones((min(ROWS, n), width))
    for first in range(0, n, ROWS):
        block = rows[: n - first]
        np.concatenate([x[first : first + ROWS] for x in arrays], 1, out=block[:, :-1])
        if shift is not None:
            block[:, :-1] -= shift
        # Only the upper half: half the work of a general product.
        total = linalg.blas.dsyrk(1.0, block.T, beta=1.0, c=total, overwrite_c=1)
    return np.asarray(total + np.triu(total, 1).T)


@dataclass(frozen=True)
class _Whitener:
    """W [d, rank] with W' C W = 1, C with its ridge: the matrix itself, or its inverse, which is upper triangular."""

    matrix: Shaped[np.ndarray, "d rank"]
    inverse: bool = False

    def across(self, other: Shaped[np.ndarray, "d k"]) -> Shaped[np.ndarray, "rank k"]:
        """W' times another matrix."""
        if self.inverse:
            return np.asarray(linalg.blas.dtrsm(1.0, self.matrix, other, trans_a=1))
        return np.asarray(self.matrix.T @ other)

    def back(self, vectors: Shaped[np.ndarray, "rank k"]) -> Shaped[np.ndarray, "d k"]:
        """W times vectors."""
        return np.asarray(linalg.blas.dtrsm(1.0, self.matrix, vectors) if self.inverse else self.matrix @ vectors)


def _between(spread: Array, left: _Whitener, right: _Whitener) -> Shaped[np.ndarray, "left_rank right_rank"]:
    """The covariance of two views, both whitened."""
    return right.across(left.across(spread).T).T


def _cholesky(spread: Array, ridge: float, view: int) -> _Whitener | None:
    """A view's whitener from its covariance; None if that is too close to singular."""
    block = spread + ridge * np.diagonal(spread).mean() * np.eye(len(spread)) if ridge else spread
    diagonal = block.diagonal()
    if not diagonal.max() > 0:
        raise DataError(f"view {view}: no column varies. Leave the view out.")
    # With a unit diagonal, so that a column in small units does not look singular. A pivot of 1e-5 has lost ten digits.
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    root, failed = linalg.lapack.dpotrf((block / scale / scale[:, None]).T, overwrite_a=1)
    return None if failed or root.diagonal().min() < 1e-5 else _Whitener(root * scale, inverse=True)


def _singular(centred: Array, ridge: float) -> _Whitener:
    """The same from the singular values of the view itself [n, d], which keep twice the digits; for its rank only."""
    centred = centred[centred.any(1)] if len(centred) else centred
    size = np.sqrt((centred**2).mean(0))
    scale = np.where(size > 0, size, 1.0) if ridge == 0 else np.ones_like(size)
    _, values, vectors = linalg.svd(centred / scale, full_matrices=False, check_finite=False)
    # The tolerance of numpy.linalg.matrix_rank.
    kept = values > values.max() * max(centred.shape) * np.finfo(float).eps
    values = values[kept] / np.sqrt(len(centred) - 1)
    level = ridge * (values**2).sum() / len(size)
    return _Whitener(vectors[kept].T / np.sqrt(values**2 + level) / scale[:, None])


def _two(spread: Array, parts: list[slice], whiten: list[_Whitener], count: int) -> tuple[Array, list[Array]]:
    """The same as `_top` for two views, but faster."""
    block = _between(spread[parts[0], parts[1]], *whiten)
    if block.shape[0] < block.shape[1]:
        values, vectors = _two(spread, parts[::-1], whiten[::-1], count)
        return values, vectors[::-1]
    last = block.shape[1] - 1
    squares, right = linalg.eigh(block.T @ block, subset_by_index=[last - count + 1, last], check_finite=False)
    # Squared, small correlations lose half of their digits: with any below 0.01 of the largest, use the slower SVD.
    if squares[0] > 1e-4 * squares[-1]:
        values, right = np.sqrt(squares[::-1]), right[:, ::-1]
        return 1 + values, [block @ right / values, right]
    left, values, right = linalg.svd(block, full_matrices=False, check_finite=False)
    return 1 + values[:count], [left[:, :count], right[:count].T]


def _top(spread: Array, parts: list[slice], whiten: list[_Whitener], count: int) -> tuple[Array, list[Array]]:
    """The largest eigenvalues of the whitened blocks, decreasing, and their vectors, split by view."""
    edges = np.cumsum([0, *(w.matrix.shape[1] for w in whiten)])
    spans = [slice(a, b) for a, b in pairwise(edges)]
    blocks = np.eye(edges[-1])
    for i, j in combinations(range(len(parts)), 2):
        blocks[spans[j], spans[i]] = _between(spread[parts[i], parts[j]], whiten[i], whiten[j]).T
    last = edges[-1] - 1
    # `eigh` reads the lower half only, so only that is filled.
    values, vectors = linalg.eigh(blocks, subset_by_index=[last - count + 1, last], check_finite=False)
    return values[::-1], [vectors[span, ::-1] for span in spans]


def _pairwise(variates: Sequence[Array]) -> Array:
    found = []
    for a, b in combinations(variates, 2):
        both = np.isfinite(a).all(1) & np.isfinite(b).all(1)
        if both.sum() > 1:
            found.append(_correlation(a[both], b[both]))
    if not found:
        raise DataError("no two views have two rows in common. Give rows that hold more than one view.")
    mean: Array = np.mean(found, 0)
    return mean


def _correlation(a: Array, b: Array) -> Array:
    """Pearson's correlation per column; 0 if a column does not vary."""
    a, b = a - a.mean(0), b - b.mean(0)
    size = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    return np.asarray(np.where(size > 0, (a * b).sum(0) / np.where(size > 0, size, 1.0), 0.0))
