"""Kernel canonical correlation: nonlinear relations between views, with low-rank kernels. NumPy and SciPy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from scipy import linalg
from scipy.spatial.distance import cdist

from plait.core.errors import ConfigError, DataError
from plait.multiview.cca import Cca, checked_views

__all__ = ["KernelCca"]

Array = NDArray[np.float64]
SAMPLE = 1000
"""Rows from which the median distance is computed."""


class KernelCca:
    """`plait.multiview.cca.Cca` in the feature space of a kernel: two or more views, rows may lack a view.

    Kernel CCA (Akaho 2001; Hardoon, Szedmak and Shawe-Taylor 2004) with a ridge; without a ridge any two views would
    correlate perfectly. Each kernel matrix is replaced by its incomplete Cholesky factor ``G G'`` (Fine and Scheinberg
    2001, for CCA: Bach and Jordan 2002, section 4.2): pivots are chosen greedily, each the row that the earlier ones
    explain least. So memory and time grow with ``n * rank`` and ``n * rank^2`` rather than with their square and cube.
    The rows of G are features, and the relation is linear in them; with ``rank >= n`` it is exact.

    Args:
        components: as for `Cca`.
        kernel: ``rbf``, ``exp(-|x - y|^2 / (2 width^2))``, or ``linear``.
        width: of ``rbf``, in the units of the columns (bring them to one scale first); None: the median distance
            between training rows.
        ridge: as for `Cca`, in the feature space: a share of the mean variance of its features.
        rank: the most pivots per view.
        tolerance: stop when this share of the kernel's trace is left.

    Attributes:
        cca_: the linear `Cca` of the features.

    Raises:
        ConfigError: an unknown kernel, a width or rank that is not above 0, or what `Cca` refuses.

    >>> rng = np.random.default_rng(0)
    >>> angle = rng.uniform(0, 2 * np.pi, 300)
    >>> seen, heard = np.stack([np.cos(angle), np.sin(angle)], 1), np.cos(2 * angle)[:, None]
    >>> float(round(Cca(1).fit([seen, heard]).correlations_[0], 1)), \\
    ...     float(round(KernelCca(1).fit([seen, heard]).correlations_[0], 2))
    (0.1, 1.0)
    """

    cca_: Cca

    def __init__(
        self,
        components: int | None = None,
        *,
        kernel: str = "rbf",
        width: float | None = None,
        ridge: float | Sequence[float] = 0.1,
        rank: int = 512,
        tolerance: float = 1e-6,
    ) -> None:
        if kernel not in ("rbf", "linear"):
            raise ConfigError(f"kernel_cca.kernel: got {kernel!r}; expected 'rbf' or 'linear'.")
        if rank < 1 or (width is not None and not width > 0):
            raise ConfigError(f"kernel_cca: rank {rank}, width {width}; expected both above 0.")
        self.components, self.kernel, self.width, self.ridge = components, kernel, width, ridge
        self.rank, self.tolerance = rank, tolerance
        Cca(components, ridge=ridge)  # raises for wrong arguments now, not in `fit`

    def fit(self, views: Sequence[ArrayLike]) -> KernelCca:
        """Choose the pivots and find the directions. See `Cca.fit` for views, missing rows and errors."""
        arrays, there = checked_views(views)
        self._maps = [self._map(x[seen], i) for i, (x, seen) in enumerate(zip(arrays, there.T))]
        self.cca_ = Cca(self.components, ridge=self.ridge).fit([x for x in self._features(arrays) if x is not None])
        return self

    @property
    def correlations_(self) -> Float[np.ndarray, " components"]:
        """Correlations of the training rows, see `Cca`."""
        return self.cca_.correlations_

    def transform(self, views: Sequence[ArrayLike | None]) -> list[Float[np.ndarray, "n components"]]:
        """Each view's variates. See `Cca.transform`."""
        return self.cca_.transform(self._features(views))

    def fit_transform(self, views: Sequence[ArrayLike]) -> list[Float[np.ndarray, "n components"]]:
        """`fit`, then `transform` of the same views."""
        return self.fit(views).transform(views)

    def common(self, views: Sequence[ArrayLike | None]) -> Float[np.ndarray, "n components"]:
        """One point in the joint space per item. See `Cca.common`."""
        return self.cca_.common(self._features(views))

    def correlations(self, views: Sequence[ArrayLike | None]) -> Float[np.ndarray, " components"]:
        """Mean correlation over all pairs of views, per component. See `Cca.correlations`."""
        return self.cca_.correlations(self._features(views))

    def score(self, views: Sequence[ArrayLike | None]) -> float:
        """Mean of `correlations` over the components."""
        return float(self.correlations(views).mean())

    def _map(self, x: Array, view: int) -> _Map:
        if len(x) == 0:
            raise DataError(f"view {view}: no row is there. Leave the view out.")
        mean = x.mean(0)
        width = None if self.kernel == "linear" else self.width or _median_distance(x)
        pivots = _pivots(x - mean, width, self.rank, self.tolerance)
        chosen = (x - mean)[pivots]
        return _Map(mean, chosen, width, linalg.cholesky(_kernel(chosen, chosen, width), lower=True))

    def _features(self, views: Sequence[ArrayLike | None]) -> list[ArrayLike | None]:
        if len(views) != len(self._maps):
            raise DataError(f"{len(views)} views, fitted on {len(self._maps)}. Give each, or None where it is missing.")
        return [
            None if v is None else one(np.asarray(v, np.float64), i)
            for i, (v, one) in enumerate(zip(views, self._maps))
        ]


class _Map:
    """From rows to features whose inner products are the kernel, as far as the pivots span it."""

    def __init__(self, mean: Array, pivots: Array, width: float | None, root: Array) -> None:
        self.mean, self.pivots, self.width, self.root = mean, pivots, width, root

    def __call__(self, x: Array, view: int) -> Float[np.ndarray, "n rank"]:
        if x.ndim != 2 or x.shape[1] != len(self.mean):
            raise DataError(f"view {view}: shape {x.shape}; expected [n, {len(self.mean)}], as in fit.")
        there = ~np.isnan(x).all(1)
        out = np.full((len(x), len(self.root)), np.nan)
        kernel = _kernel(self.pivots, x[there] - self.mean, self.width)
        # G = K L^-T, so that G G' is the kernel on the pivots (Nystroem).
        out[there] = linalg.solve_triangular(self.root, kernel, lower=True, check_finite=False).T
        return out


def _kernel(a: Array, b: Array, width: float | None) -> Array:
    """[len(a), len(b)]; linear without a width."""
    if width is None:
        return np.asarray(a @ b.T)
    return np.asarray(np.exp(cdist(a, b, "sqeuclidean") / (-2 * width**2)))


def _median_distance(x: Array) -> float:
    """The median distance between evenly spaced rows; 1 if all are the same."""
    some = x[:: -(-len(x) // SAMPLE)]
    distance = cdist(some, some)[np.triu_indices(len(some), 1)]
    apart = distance[distance > 0]
    return float(np.median(apart)) if len(apart) else 1.0


def _pivots(x: Array, width: float | None, rank: int, tolerance: float) -> list[int]:
    """Rows in the order of the incomplete Cholesky factorisation of their kernel (Bach and Jordan 2002, fig. 2)."""
    left = (x**2).sum(1) if width is None else np.ones(len(x))
    factor = np.zeros((len(x), min(rank, len(x))))
    total, pivots = left.sum(), list[int]()
    while len(pivots) < factor.shape[1]:
        i, k = int(left.argmax()), len(pivots)
        if left.sum() <= tolerance * total or left[i] <= 1e-10 * total / len(x):
            break
        column = _kernel(x, x[i : i + 1], width)[:, 0] - factor[:, :k] @ factor[i, :k]
        factor[:, k] = column / np.sqrt(left[i])
        # Rounding may leave less than nothing, or enough of the pivot itself to choose it again.
        left = (left - factor[:, k] ** 2).clip(0)
        left[i] = 0.0
        pivots.append(i)
    return pivots or [0]
