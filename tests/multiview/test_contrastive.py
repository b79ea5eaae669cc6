"""Contrastive losses: against naive loops; what is missing changes nothing; they pull pairs together."""

from __future__ import annotations

import math

import pytest
import torch

from plait.core.errors import ConfigError
from plait.multiview.contrastive import CONTRASTS, Contrast, info_nce, sigmoid_loss
from plait.multiview.deep_cca import correlation_loss


def pair(n=6, dim=4, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(n, dim, generator=rng, dtype=torch.float64) for _ in range(2)]


def cosine(a, b):
    return float(a @ b / a.norm() / b.norm())


def test_info_nce_is_the_mean_of_two_cross_entropies():
    a, b = pair()
    total = 0.0
    for x, y in ((a, b), (b, a)):
        for i in range(6):
            weights = [math.exp(5 * cosine(x[i], y[j])) for j in range(6)]
            total -= math.log(weights[i] / sum(weights)) / 12
    assert abs(float(info_nce(a, b, 5.0)) - total) < 1e-9


def test_the_sigmoid_loss_asks_of_each_pair_by_itself():
    a, b = pair()
    total = 0.0
    for i in range(6):
        for j in range(6):
            logit = 5 * cosine(a[i], b[j]) - 2
            total -= math.log(1 / (1 + math.exp(-(logit if i == j else -logit)))) / 6
    assert abs(float(sigmoid_loss(a, b, 5.0, -2.0)) - total) < 1e-9


def relations(n=6):
    """Which rows belong together and which are compared; neither symmetric."""
    rng = torch.Generator().manual_seed(3)
    same = torch.eye(n, dtype=torch.bool) | (torch.rand(n, n, generator=rng) < 0.2)
    return same, same | (torch.rand(n, n, generator=rng) < 0.5)


def test_info_nce_asks_only_what_it_is_told_to_and_takes_the_mean_of_several_answers():
    (a, b), (same, asked) = pair(), relations()
    total = 0.0
    for x, y, mine, known in ((a, b, same, asked), (b, a, same.T, asked.T)):
        for i in range(6):
            weights = [math.exp(5 * cosine(x[i], y[j])) if known[i, j] else 0.0 for j in range(6)]
            found = [math.log(weights[j] / sum(weights)) for j in range(6) if mine[i, j]]
            total -= sum(found) / len(found) / 12
    assert abs(float(info_nce(a, b, 5.0, same=same, asked=asked)) - total) < 1e-9


def test_the_sigmoid_loss_asks_only_what_it_is_told_to():
    (a, b), (same, asked) = pair(), relations()
    total = 0.0
    for i in range(6):
        for j in range(6):
            logit = 5 * cosine(a[i], b[j]) - 2
            total -= math.log(1 / (1 + math.exp(-(logit if same[i, j] else -logit)))) / 6 if asked[i, j] else 0
    assert abs(float(sigmoid_loss(a, b, 5.0, -2.0, same=same, asked=asked)) - total) < 1e-9


@pytest.mark.parametrize("kind", ["info_nce", "sigmoid"])
def test_within_groups_the_loss_is_that_of_the_pairs_of_a_group(kind):
    (a, b), groups = pair(), torch.tensor([0, 1, 0, 1, 1, 0])
    contrast = Contrast(kind, 0.2, within=True).double()
    inside = groups[:, None] == groups[None]
    whole = info_nce(a, b, 5.0, asked=inside) if kind == "info_nce" else sigmoid_loss(a, b, 5.0, -10.0, asked=inside)
    assert torch.allclose(contrast([a, b], groups=groups), whole)
    assert torch.equal(contrast([a, b], groups=7 - groups), contrast([a, b], groups=groups))
    assert torch.equal(contrast([a, b], groups=torch.zeros(6)), contrast([a, b]))
    assert bool(contrast([a, b], groups=torch.arange(6)) < contrast([a, b]))


def test_what_a_group_has_in_common_helps_no_one_within_it():
    """A number that tells groups apart, and nothing else: with the rest of the world to compare, it pays."""
    groups = torch.arange(12) % 3
    mark = torch.eye(3)[groups].requires_grad_()
    for within, pays in ((False, True), (True, False)):
        (grad,) = torch.autograd.grad(Contrast(within=within)([mark * 1.0, mark.detach() + 0.5], groups=groups), mark)
        assert bool(grad.abs().sum() > 1e-6) is pays


def test_items_that_belong_together_count_as_one_of_any_group():
    places = torch.eye(4, dtype=torch.float64)
    views = [torch.cat([places, places]), torch.cat([places, places]) + 0.01]
    groups, same = torch.tensor([0] * 4 + [1] * 4), torch.eye(4, dtype=torch.bool).repeat(2, 2)
    for within, asked in ((False, None), (True, groups[:, None] == groups[None])):
        contrast = Contrast("info_nce", 0.2, within=within).double()
        found = contrast(views, groups=groups, same=same)
        assert torch.allclose(found, info_nce(*views, 5.0, same=same, asked=asked))
    there = torch.ones(8, 2, dtype=torch.bool)
    there[7] = False
    holed = [torch.where(there[:, :1], x, float("nan")) for x in views]
    kept = contrast([x[:7] for x in views], groups=groups[:7], same=same[:7, :7])
    assert torch.equal(contrast(holed, there, groups, same), kept)


@pytest.mark.parametrize("kind", CONTRASTS)
def test_what_is_missing_changes_nothing_nor_the_gradient(kind):
    views = [*pair(n=8, dim=2), pair(n=8, dim=2, seed=1)[0]]
    there = torch.ones(8, 3, dtype=torch.bool)
    there[:3, 2] = False
    loss, values = Contrast(kind).double(), []
    for hole in (0.0, 1e3, float("nan")):
        parts = [x.clone().requires_grad_() for x in views]
        holed = [torch.where(there[:, i : i + 1], x, hole) for i, x in enumerate(parts)]
        value = loss(holed, there)
        value.backward()
        assert all(bool(p.grad.isfinite().all()) for p in parts)
        assert bool((parts[2].grad[:3] == 0).all())
        values.append(float(value.detach()))
    assert values[0] == values[1] == values[2]


def test_rows_of_one_view_neither_ask_nor_are_asked_about():
    a, b = pair()
    there = torch.tensor([True] * 4 + [False] * 2)
    assert torch.equal(info_nce(a, b, 3.0, there), info_nce(a[:4], b[:4], 3.0))
    nobody = torch.zeros(6, dtype=torch.bool)
    assert float(info_nce(a, b, 3.0, nobody)) == float(sigmoid_loss(a, b, 3.0, 0.0, nobody)) == 0


def test_several_views_lose_the_mean_of_their_pairs():
    a, b = pair()
    c = pair(seed=2)[0]
    loss = Contrast("info_nce", 0.5).double()
    pairs = [info_nce(x, y, 2.0) for x, y in ((a, b), (a, c), (b, c))]
    assert torch.allclose(loss([a, b, c]), torch.stack(pairs).mean())
    assert torch.allclose(Contrast("cca").double()([a[:, :2], b[:, :2]]), correlation_loss([a[:, :2], b[:, :2]]) / 2)
    assert float(Contrast("none")([a, b])) == 0


@pytest.mark.parametrize("kind", ["info_nce", "sigmoid", "cca"])
def test_steps_against_the_gradient_bring_pairs_together(kind):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        free = [torch.randn(12, 3, requires_grad=True) for _ in range(2)]
        loss = Contrast(kind)
        optimizer = torch.optim.Adam([*free, *loss.parameters()], lr=0.05)
        for _ in range(150):
            optimizer.zero_grad()
            loss(free).backward()
            optimizer.step()
    a, b = (x.detach() for x in free)
    if kind == "cca":
        assert correlation_loss([a, b]) < -2.9
    else:
        a, b = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)
        assert ((a @ b.T).argmax(1) == torch.arange(12)).all()


def test_the_temperature_stays_above_one_hundredth():
    a, b = pair()
    cold = Contrast("info_nce", 1e-4).double()
    assert torch.allclose(cold([a, b]), info_nce(a, b, 100.0))


def test_wrong_options_are_told():
    with pytest.raises(ConfigError, match="info_nce, sigmoid, cca, none"):
        Contrast("triplet")
    with pytest.raises(ConfigError, match="temperature 0"):
        Contrast(temperature=0.0)
    with pytest.raises(ConfigError, match="within groups; expected info_nce or sigmoid"):
        Contrast("cca", within=True)
