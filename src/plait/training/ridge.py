"""Ridge regression in closed form; its shrinkage is chosen by leaving out whole groups, without fitting again.

Hoerl and Kennard 1970, "Ridge regression". What a fit without a group predicts for it has a closed form. With centred
``y`` and ``A = (K + alpha I)^-1`` of the centred kernel ``K = X X'``, the residuals of a group ``g`` are
``(alpha A_gg - 1/n)^-1 (alpha A y)_g`` (for single items Allen's PRESS, 1974; for groups e.g. Pahikkala et al. 2006,
"Fast n-fold cross-validation for regularized least-squares").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg
from numpy.typing import ArrayLike, NDArray

from plait.core.errors import DataError

__all__ = ["Ridge", "fit_ridge"]

ALPHAS = np.logspace(-4, 3, 15)
"""Shrinkages to choose from, for a kernel whose diagonal is 1 on average."""

MIXES = (0.0, 0.1, 0.3, 0.5, 1.0)
"""Shares of the second kind of features to choose from, if there are two kinds."""

ENOUGH = 600
"""Most items on which shrinkage and mix are chosen; of more, a random sample."""

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Ridge:
    """A ridge regression.

    Attributes:
        weight: [features, width].
        bias: [width].
        held_out: the prediction for each item by a fit without its group, [items, width].
        told: [items], whether that prediction is usable: False if all items of its class were left out with it.
        alpha: the shrinkage.
        shares: how much each kind of features counts.
    """

    weight: Floats
    bias: Floats
    held_out: Floats
    told: NDArray[np.bool_]
    alpha: float
    shares: tuple[float, ...]


def fit_ridge(
    features: NDArray[np.float32],
    sizes: Sequence[int],
    target: ArrayLike,
    groups: ArrayLike,
    *,
    classes: bool,
    seed: int = 0,
) -> Ridge:
    """Regress targets on features. Shrinkage and the share of each kind of features have the least squared error on
    groups that are left out.

    Args:
        features: [items, features], finite.
        sizes: number of features of each kind (one kind or two), in order; each kind is weighted as a whole.
        target: [items, width].
        groups: [items], the group of each item. With one group only, or if most items are of a class that no other
            group has, items are left out one by one.
        classes: whether targets are classes (one column each, 1 for the item's).
        seed: of the sample on which shrinkage and mix are chosen.

    Raises:
        DataError: fewer than two items.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(60, 3)).astype(np.float32)
    >>> found = fit_ridge(x, [3], x[:, :1] + 5, np.arange(60) // 10, classes=False)
    >>> (found.weight.round(2) + 0.0).ravel().tolist(), found.bias.round(2).tolist()
    ([1.0, 0.0, 0.0], [5.0])
    """
    wanted = np.asarray(target, np.float64)
    if len(wanted) < 2:
        raise DataError(f"ridge regression of {len(wanted)} item{'s' * (len(wanted) != 1)}; expected two or more.")
    numbers = _numbered(np.asarray(groups), wanted, classes)
    told = _told(numbers, wanted, classes)
    # In the dual: fixed features usually outnumber the items.
    kernels = [_Kernel(part) for part in _parts(features, sizes)]
    some = np.random.default_rng(seed).permutation(len(wanted))[:ENOUGH]
    some.sort()
    alpha, shares = _chosen([k.of(some) for k in kernels], wanted[some], numbers[some], classes)
    kernel = _mixed([k.of(None) for k in kernels], shares)
    held_out, dual = _solved(kernel, wanted, numbers, alpha)
    weight = np.concatenate([share * k.primal(dual) for share, k in zip(shares, kernels)])
    bias = wanted.mean(0) - features.mean(0, dtype=np.float64) @ weight
    return Ridge(weight, bias, held_out, told, float(alpha), shares)


def _parts(features: NDArray[np.float32], sizes: Sequence[int]) -> list[NDArray[np.float32]]:
    return np.split(features, np.cumsum(sizes)[:-1], axis=1)


class _Kernel:
    """The linear kernel of one kind of features, of mean diagonal 1."""

    def __init__(self, features: NDArray[np.float32]) -> None:
        self.features = features
        # float64 for the sum alone: a copy of all features would be too large.
        squares = np.einsum("nf,nf->", features, features, dtype=np.float64) / len(features)
        self.scale = 1 / squares if squares > 0 else 0.0

    def of(self, items: Places | None) -> Floats:
        some = self.features if items is None else self.features[items]
        # The product in float32: it takes half the time, and shrinkage hides its rounding.
        return (some @ some.T).astype(np.float64) * self.scale

    def primal(self, dual: Floats) -> Floats:
        """Weights of the features, from the dual weights of the items."""
        found: Floats = self.scale * (self.features.T @ dual.astype(np.float32)).astype(np.float64)
        return found


def _mixed(kernels: Sequence[Floats], shares: Sequence[float]) -> Floats:
    """The weighted sum of the kernels, centred as if all features had mean 0."""
    total = sum((share * k for share, k in zip(shares, kernels) if share), start=np.zeros_like(kernels[0]))
    rows = total.mean(0)
    centred: Floats = total - rows - rows[:, None] + rows.mean()
    return centred


def _numbered(groups: NDArray[np.generic], target: Floats, classes: bool) -> Places:
    """Groups as numbers; each item its own group if groups cannot be left out."""
    _, numbers = np.unique(groups, return_inverse=True)
    found: Places = numbers.reshape(-1).astype(np.int64)
    if found.max() == 0 or 2 * _told(found, target, classes).sum() < len(target):
        return np.arange(len(target))
    return found


def _told(groups: Places, target: Floats, classes: bool) -> NDArray[np.bool_]:
    """Whether other groups have the class of each item."""
    if not classes:
        return np.ones(len(target), bool)
    own = target.argmax(1)
    pairs = np.unique(np.stack([own, groups]), axis=1)
    found: NDArray[np.bool_] = np.bincount(pairs[0], minlength=target.shape[1])[own] > 1
    return found


def _chosen(
    kernels: Sequence[Floats], target: Floats, groups: Places, classes: bool
) -> tuple[float, tuple[float, ...]]:
    """Shrinkage and shares with the least squared error."""
    told = _told(groups, target, classes)
    told = told if told.any() else ~told  # if no class is in two groups, all items count
    mixes = [(1.0,)] if len(kernels) == 1 else [(1 - second, second) for second in MIXES]
    errors = {
        (alpha, shares): float(np.square(held_out - target)[told].mean())
        for shares in mixes
        for alpha, held_out in _path(_mixed(kernels, shares), target, groups)
    }
    return min(errors, key=lambda found: errors[found])


def _path(kernel: Floats, target: Floats, groups: Places) -> Iterator[tuple[float, Floats]]:
    """For each shrinkage, the predictions for each item by a fit without its group."""
    # One decomposition serves all shrinkages; it is too slow for all items, see `_solved`.
    values, vectors = scipy.linalg.eigh(kernel, driver="evd")
    values = values.clip(min=0)  # below 0 by rounding only
    turned = vectors.T @ (target - target.mean(0))
    sets = _sets(groups)
    own = [vectors[s] for s in sets]
    for alpha in ALPHAS:
        left = alpha / (values + alpha)
        blocks = [(rows * left) @ rows.swapaxes(1, 2) for rows in own]
        yield alpha, _held_out(target, vectors @ (left[:, None] * turned), sets, blocks)


def _solved(kernel: Floats, target: Floats, groups: Places, alpha: float) -> tuple[Floats, Floats]:
    """Predictions for held-out groups, and the dual weights, for one shrinkage; ``kernel`` is overwritten."""
    kernel[np.diag_indices_from(kernel)] += alpha
    inverse = _inverse(kernel)
    dual = inverse @ (target - target.mean(0))
    sets = _sets(groups)
    blocks = [alpha * inverse[s[:, :, None], s[:, None, :]] for s in sets]
    return _held_out(target, alpha * dual, sets, blocks), dual


def _inverse(matrix: Floats) -> Floats:
    """The inverse of a symmetric positive definite matrix."""
    # By Cholesky: half the work of a general inverse. dpotri fills the lower triangle only.
    factor, _ = scipy.linalg.cho_factor(matrix, lower=True)
    (inverse, _) = scipy.linalg.lapack.dpotri(factor, lower=1)
    found: Floats = np.tril(inverse) + np.tril(inverse, -1).T
    return found


def _sets(groups: Places) -> list[Places]:
    """The indices of each group's items; one array [groups, size] per size of group."""
    order = np.argsort(groups, kind="stable")
    cuts = np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)
    # Stacked by size: `np.linalg.solve` takes many small systems at once, but only of one size.
    sizes = {len(c) for c in cuts}
    return [np.stack([c for c in cuts if len(c) == size]) for size in sorted(sizes)]


def _held_out(target: Floats, residual: Floats, sets: Sequence[Places], blocks: Sequence[Floats]) -> Floats:
    """Targets minus the residuals that groups have if they are left out."""
    found = np.empty_like(target)
    for places, block in zip(sets, blocks):
        # 1 / n, since without the group the mean of the targets changes too.
        found[places] = target[places] - np.linalg.solve(block - 1 / len(target), residual[places])
    return found
