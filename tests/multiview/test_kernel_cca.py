"""Kernel CCA: against the dual eigenproblem, linear CCA and its own low rank."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg
from scipy.spatial.distance import cdist

from plait.core.errors import ConfigError, DataError
from plait.multiview.cca import Cca
from plait.multiview.kernel_cca import KernelCca


def curved(n=150, seed=0):
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, n)
    seen = np.stack([np.cos(angle), np.sin(angle)], 1)
    return seen + 0.05 * rng.standard_normal((n, 2)), np.stack([np.cos(2 * angle), angle**2 / 20], 1)


def test_a_linear_kernel_is_linear_cca():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((80, 5))
    y = x[:, :3] @ rng.standard_normal((3, 4)) + rng.standard_normal((80, 4))
    for ridge in (0.0, 0.2):
        kernel, linear = KernelCca(3, kernel="linear", ridge=ridge).fit([x, y]), Cca(3, ridge=ridge).fit([x, y])
        assert np.allclose(kernel.correlations_, linear.correlations_, atol=1e-9)
        assert np.allclose(np.abs(kernel.transform([x, y])[0]), np.abs(linear.transform([x, y])[0]), atol=1e-7)


def test_the_same_as_the_dual_problem_of_the_whole_kernel():
    x, y = curved(60)
    n, ridge, width = 60, 0.1, 0.7
    centre = np.eye(n) - 1 / n
    kernels = [centre @ np.exp(-cdist(v, v, "sqeuclidean") / (2 * width**2)) @ centre for v in (x, y)]
    model = KernelCca(3, width=width, ridge=ridge, rank=n, tolerance=0.0).fit([x, y])
    ranks = [len(m.root) for m in model._maps]
    # feature space: C + r trace(C) / rank; in the dual, K K + r trace(K) / rank K (Hardoon et al. 2004)
    within = [k @ k + ridge * np.trace(k) / r * k for k, r in zip(kernels, ranks)]
    roots = [linalg.sqrtm(np.linalg.pinv(w, rcond=1e-12)).real for w in within]
    dual = linalg.svdvals(roots[0] @ kernels[0] @ kernels[1] @ roots[1])[:3]
    assert np.allclose(2 * model.cca_.shared_ - 1, dual, atol=1e-4)


def test_a_low_rank_gives_nearly_what_the_whole_gives():
    x, y = curved(600)
    whole, low = (KernelCca(2, width=0.8, ridge=0.01, rank=r).fit([x, y]) for r in (600, 40))
    assert all(m.root.shape[0] <= 40 for m in low._maps)
    new = curved(300, seed=1)
    assert np.allclose(low.correlations(new), whole.correlations(new), atol=0.01)


def test_it_finds_on_new_items_what_linear_cca_does_not():
    train, test = curved(400), curved(200, seed=1)
    linear, kernel = Cca(1).fit(train), KernelCca(1).fit(train)
    assert kernel.score(test) > 0.95 > linear.score(test) + 0.1


def test_missing_rows_are_passed_over():
    x, y = curved(200)
    holed = y.copy()
    holed[::3] = np.nan
    model = KernelCca(1).fit([x, holed])
    assert model.score([x, y]) > 0.9
    assert np.array_equal(np.isnan(model.transform([x, holed])[1][:, 0]), np.isnan(holed[:, 0]))
    assert np.isnan(model.transform([x, None])[1]).all()
    assert np.allclose(model.common([x, None]), model.transform([x, None])[0])


def test_wrong_options_and_shapes_are_told():
    x, y = curved(20)
    for options in ({"kernel": "cubic"}, {"width": 0.0}, {"rank": 0}, {"ridge": -0.1}):
        with pytest.raises(ConfigError):
            KernelCca(**options)
    model = KernelCca(1).fit([x, y])
    with pytest.raises(DataError, match=r"view 0: shape \(20, 1\)"):
        model.transform([x[:, :1], y])
    with pytest.raises(DataError, match="3 views, fitted on 2"):
        model.transform([x, y, y])
