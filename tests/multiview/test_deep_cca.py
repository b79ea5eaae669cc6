"""Deep CCA: the loss against NumPy's, its gradient, missing rows; the estimator on a curved relation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plait.core.errors import ConfigError
from plait.multiview.cca import Cca
from plait.multiview.deep_cca import DeepCca, correlation_loss


def views(n=60, dims=(3, 3), seed=0):
    rng = torch.Generator().manual_seed(seed)
    cause = torch.randn(n, 2, generator=rng, dtype=torch.float64)
    return [
        cause @ torch.randn(2, d, generator=rng, dtype=torch.float64)
        + torch.randn(n, d, generator=rng, dtype=torch.float64)
        for d in dims
    ]


def test_two_views_lose_minus_the_trace_norm_of_the_paper():
    x, y = views()
    centred = [v - v.mean(0) for v in (x, y)]
    c = [[a.T @ b for b in centred] for a in centred]
    roots = [torch.linalg.inv(torch.linalg.cholesky(c[i][i])) for i in (0, 1)]
    trace_norm = torch.linalg.svdvals(roots[0] @ c[0][1] @ roots[1].T).sum()  # Andrew et al. 2013, equation 10
    assert torch.allclose(correlation_loss([x, y], ridge=0.0), -trace_norm)
    assert abs(-float(trace_norm) + Cca().fit([x.numpy(), y.numpy()]).correlations_.sum()) < 1e-9


def test_more_views_lose_what_linear_cca_shares():
    parts = views(dims=(3, 3, 3))
    model = Cca(3, ridge=0.1).fit([p.numpy() for p in parts])
    assert abs(float(correlation_loss(parts, ridge=0.1)) + ((3 * model.shared_ - 1) / 2).sum()) < 1e-9


def test_missing_rows_lose_as_in_the_projections_of_the_paper():
    parts = views(n=40, dims=(2, 2, 2))
    seen = torch.rand(40, 3, generator=torch.Generator().manual_seed(1)) < 0.7
    kept = seen & (seen.sum(1, keepdim=True) > 1)
    # van de Velden and Bijmolt 2006: eigenvalues of D^-1/2 (sum of the views' projections) D^-1/2, naively n by n
    total = torch.zeros(40, 40, dtype=torch.float64)
    for v, there in zip(parts, kept.T):
        x = torch.where(there[:, None], v - v[there].mean(0), 0.0)
        total += x @ torch.linalg.pinv(x)
    root = kept.sum(1).clamp(min=1).double().rsqrt()
    values = 3 * torch.linalg.eigvalsh(root[:, None] * total * root)[-2:]
    assert torch.allclose(correlation_loss(parts, seen, ridge=0.0), -(values - 1).sum() / 2)


def test_what_is_missing_changes_nothing_nor_the_gradient():
    parts = [p.requires_grad_() for p in views()]
    seen = torch.ones(60, 2, dtype=torch.bool)
    seen[::4, 1] = False
    grown = [parts[0], torch.where(seen[:, 1:], parts[1], float("nan"))]
    loss, same = correlation_loss(grown, seen), correlation_loss(parts, seen)
    assert torch.equal(loss, same)
    loss.backward()
    assert all(bool(p.grad.isfinite().all()) for p in parts)
    assert bool((parts[1].grad[::4] == 0).all())
    assert bool((parts[0].grad != 0).any())


def test_the_gradient_is_right():
    x, y = views(n=12, dims=(2, 2))
    assert torch.autograd.gradcheck(
        lambda a, b: correlation_loss([a, b], ridge=0.01), (x.requires_grad_(), y.requires_grad_())
    )


def curved(n, seed):
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, n)
    return [np.stack([np.cos(angle), np.sin(angle)], 1), np.cos(2 * angle)[:, None] + 0.1 * rng.standard_normal((n, 1))]


@pytest.mark.slow
def test_it_finds_on_new_items_what_linear_cca_does_not_and_keeps_the_generator():
    train, test = curved(400, 0), curved(200, 1)
    before = torch.get_rng_state()
    small = {"hidden": (32,), "batch": 100, "dropout": 0.0, "epochs": 25}
    model = DeepCca(1, **small).fit(train)
    assert torch.equal(before, torch.get_rng_state())
    assert model.score(test) > 0.9 > Cca(1).fit(train).score(test) + 0.3
    again = DeepCca(1, **small).fit(train)
    assert np.array_equal(model.transform(test)[0], again.transform(test)[0])
    holed = [train[0], train[1].copy()]
    holed[1][::2] = np.nan
    some = DeepCca(1, **small).fit(holed)
    assert some.score(test) > 0.9
    assert np.isnan(some.transform([test[0], None])[1]).all()
    assert np.allclose(some.common([test[0], None]), some.transform([test[0], None])[0])


def test_wrong_options_are_told():
    for options in ({"components": 0}, {"hidden": ()}, {"epochs": 0}):
        with pytest.raises(ConfigError, match="deep_cca"):
            DeepCca(**options)
