"""Linear CCA: against scikit-learn, naive eigenproblems and its own invariances."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg
from sklearn.cross_decomposition import CCA as SklearnCca

from plait.core.errors import ConfigError, DataError
from plait.multiview.cca import Cca


def related(rng, n=200, dims=(6, 4), common=2, noise=0.5):
    """Views of one hidden cause, [n, d] each."""
    cause = rng.standard_normal((n, common))
    return [cause @ rng.standard_normal((common, d)) + noise * rng.standard_normal((n, d)) for d in dims]


def by_eigenproblem(x, y):
    """Canonical correlations straight from the definition: roots of Cxx^-1 Cxy Cyy^-1 Cyx."""
    c = np.cov(x.T, y.T)
    d = x.shape[1]
    product = linalg.solve(c[:d, :d], c[:d, d:]) @ linalg.solve(c[d:, d:], c[d:, :d])
    return np.sqrt(np.sort(linalg.eigvals(product).real)[::-1][: min(d, y.shape[1])].clip(0))


def test_the_same_as_scikit_learn():
    x, y = related(np.random.default_rng(0))
    ours = Cca().fit([x, y])
    theirs = SklearnCca(4, max_iter=20_000, tol=1e-14).fit(x, y)
    a, b = theirs.transform(x, y)
    correlation = [np.corrcoef(a[:, i], b[:, i])[0, 1] for i in range(4)]
    assert np.abs(ours.correlations_ - correlation).max() < 1e-6
    u, _ = ours.transform([x, y])
    assert np.abs(np.abs([np.corrcoef(u[:, i], a[:, i])[0, 1] for i in range(4)]) - 1).max() < 1e-6


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), dims=st.tuples(st.integers(1, 7), st.integers(1, 7)))
def test_correlations_are_those_of_the_definition_sorted_and_between_0_and_1(seed, dims):
    x, y = related(np.random.default_rng(seed), 60, dims, noise=0.3)
    model = Cca().fit([x, y])
    assert np.abs(model.correlations_ - by_eigenproblem(x, y)).max() < 1e-6
    assert (np.diff(model.correlations_) <= 1e-12).all()
    assert ((model.correlations_ >= 0) & (model.correlations_ <= 1)).all()
    assert np.allclose(model.correlations([x, y]), model.correlations_, atol=1e-9)
    assert np.allclose(2 * model.shared_ - 1, model.correlations_, atol=1e-9)


@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), shift=st.floats(-1e4, 1e4), scale=st.floats(1e-3, 1e3))
def test_affine_maps_of_a_view_change_nothing(seed, shift, scale):
    rng = np.random.default_rng(seed)
    views = related(rng, 80, (5, 3, 4))
    turned = [scale * v @ linalg.qr(rng.standard_normal((v.shape[1],) * 2))[0] + shift for v in views]
    for chosen in ((0, 1), (0, 1, 2)):
        one, other = (Cca(3).fit([vs[i] for i in chosen]) for vs in (views, turned))
        assert np.allclose(one.correlations_, other.correlations_, atol=1e-6)
        assert np.allclose(one.shared_, other.shared_, atol=1e-6)


def test_variates_are_white_and_meet_across_views_only_in_pairs():
    x, y = related(np.random.default_rng(1))
    model = Cca().fit([x, y])
    u, v = model.transform([x, y])
    assert np.allclose(np.cov(u.T), np.eye(4), atol=1e-9)
    assert np.allclose(np.cov(v.T), np.eye(4), atol=1e-9)
    assert np.allclose(np.cov(u.T, v.T)[:4, 4:], np.diag(model.correlations_), atol=1e-9)


def test_three_views_solve_the_generalised_eigenproblem_of_sumcor():
    views = related(np.random.default_rng(2), dims=(5, 4, 3))
    dims = np.cumsum([5, 4])
    scatter = np.cov(np.concatenate(views, 1).T)
    within = linalg.block_diag(*[np.cov(v.T) for v in views])
    values, vectors = linalg.eigh(scatter, within)
    model = Cca(3).fit(views)
    assert np.allclose(model.shared_, values[::-1][:3] / 3, atol=1e-9)
    for ours, theirs in zip(model.weights_, np.split(vectors[:, ::-1][:, :3], dims)):
        cosine = (ours * theirs).sum(0) / np.linalg.norm(ours, axis=0) / np.linalg.norm(theirs, axis=0)
        assert np.abs(np.abs(cosine) - 1).max() < 1e-6


def test_missing_rows_give_each_block_of_the_rows_that_have_both():
    rng = np.random.default_rng(3)
    views = related(rng, 90, (3, 2, 4))
    for v in views:
        v[rng.random(90) < 0.3] = np.nan
    model = Cca(2).fit(views)
    seen = [~np.isnan(v).any(1) for v in views]
    centred = [v - np.nanmean(v, 0) for v in views]
    blocks = [
        [centred[i][s].T @ centred[j][s] / (s.sum() - 1) for j in range(3) for s in [seen[i] & seen[j]]]
        for i in range(3)
    ]
    values = linalg.eigh(np.block(blocks), linalg.block_diag(*[blocks[i][i] for i in range(3)]), eigvals_only=True)
    assert np.allclose(model.shared_, values[::-1][:2] / 3, atol=1e-9)
    out = model.transform(views)
    assert all(np.array_equal(np.isnan(o).all(1), ~there) for o, there in zip(out, seen))
    assert np.isfinite(model.common(views)[np.any(seen, 0)]).all()
    assert np.isnan(model.common(views)[~np.any(seen, 0)]).all()


def test_with_many_rows_a_third_of_which_is_missing_the_directions_are_the_same():
    rng = np.random.default_rng(4)
    views = related(rng, 4000, (6, 4, 5), noise=1.0)
    holed = [np.where(rng.random((4000, 1)) < 0.33, np.nan, v) for v in views]
    assert np.allclose(Cca(2).fit(holed).correlations(views), Cca(2).fit(views).correlations_, atol=0.005)


def test_the_ridge_is_vinods_once_a_view_is_standardised():
    x, y = (v / v.std(0) for v in related(np.random.default_rng(5)))
    model, r = Cca(2, ridge=[0.3, 0.1]).fit([x, y]), (0.3, 0.1)
    c = np.cov(x.T, y.T)
    reg = [b + k * np.eye(len(b)) * np.trace(b) / len(b) for k, b in zip(r, (c[:6, :6], c[6:, 6:]))]
    product = linalg.solve(reg[0], c[:6, 6:]) @ linalg.solve(reg[1], c[6:, :6])
    roots = np.sqrt(np.sort(linalg.eigvals(product).real)[::-1][:2])
    assert np.allclose(2 * model.shared_ - 1, roots, atol=1e-9)
    assert np.allclose(model.correlations_, model.correlations([x, y]), atol=1e-9)


def test_three_views_with_a_ridge_are_two_where_the_third_says_nothing():
    x, y = related(np.random.default_rng(6))
    model = Cca(1, ridge=0.2).fit([x, y, np.random.default_rng(7).standard_normal((200, 1)) * 1e-3])
    assert (
        abs(
            np.corrcoef(
                model.transform([x, y, None])[0][:, 0], Cca(1, ridge=0.2).fit([x, y]).transform([x, y])[0][:, 0]
            )[0, 1]
        )
        > 0.99
    )


def test_a_view_of_less_rank_than_columns_gives_as_many_components_as_its_rank():
    x, y = related(np.random.default_rng(8), dims=(6, 5))
    wide = np.concatenate([x, x @ np.ones((6, 3)), np.full((200, 1), 3.0)], 1)
    model = Cca().fit([wide, y])
    assert np.allclose(model.correlations_, Cca().fit([x, y]).correlations_, atol=1e-7)
    assert Cca().fit([wide[:, 6:], y]).correlations_.shape == (1,)


def test_columns_far_from_zero_lose_no_digits():
    x, y = related(np.random.default_rng(9))
    assert np.allclose(Cca().fit([x + 1e6, y - 1e7]).correlations_, Cca().fit([x, y]).correlations_, atol=1e-6)


def test_a_missing_view_is_left_out_of_the_common_place():
    x, y = related(np.random.default_rng(10))
    model = Cca(2).fit([x, y])
    assert np.allclose(model.common([x, None]), model.transform([x, None])[0])
    assert np.allclose(model.common([x, y]), np.mean(model.transform([x, y]), 0))


@pytest.mark.parametrize(
    ("views", "say"),
    [
        ([np.ones((5, 2))], "1 view; expected two"),
        ([np.ones((5, 2)), np.ones((4, 2))], r"view 1: shape \(4, 2\); expected \[5"),
        ([np.ones((5, 2)), np.ones(5)], "view 1: shape"),
        ([np.eye(5), np.where(np.eye(5) > 0, np.inf, 1)], "view 1: 5 rows have cells that are not finite"),
        ([np.eye(5), np.where(np.eye(5) > 0, np.nan, 1)], "view 1: 5 rows .* the first row 0"),
        ([np.eye(5), np.ones((5, 2))], "view 1: no column varies"),
        ([np.eye(4), np.eye(4) + np.array([[np.nan]] * 3 + [[0]])], "views 0 and 1: 1 rows have both"),
    ],
)
def test_what_cannot_be_fitted_is_told(views, say):
    with np.errstate(invalid="ignore"), pytest.raises(DataError, match=say):
        Cca().fit(views)


def test_wrong_options_and_other_shapes_are_told():
    x, y = related(np.random.default_rng(11))
    with pytest.raises(ConfigError, match="components: got 0"):
        Cca(0)
    with pytest.raises(ConfigError, match="0 or more"):
        Cca(ridge=-1)
    with pytest.raises(ConfigError, match="3 ridges for 2 views"):
        Cca(ridge=[0, 0, 0]).fit([x, y])
    model = Cca(1).fit([x, y])
    with pytest.raises(DataError, match="view 1: 6 columns; fitted on 4"):
        model.transform([x, x])
    with pytest.raises(DataError, match="2 views, fitted on 2"):
        model.transform([None, None])
    with pytest.raises(DataError, match="no two views"):
        model.correlations([x, None])


def test_it_needs_no_torch():
    code = "import sys, plait.multiview.cca, plait.multiview.kernel_cca; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
