"""Fusions with joint tokens: what the laws do not say of them."""

from __future__ import annotations

import pytest
import torch

from plait.core.errors import ConfigError
from plait.core.parts import parts
from plait.fusion import Fusion, Hybrid
from plait.fusion.bottleneck import Bottleneck
from plait.fusion.latents import Latents
from plait.fusion.mixture import Mixture
from plait.models.model import Model
from plait.tasks.classify import Classify
from plait.tasks.heads import PooledLinear
from plait.testing.inputs import part_of, sample
from plait.tokens import Tokens

JOINT = [name for name, cls in parts(Fusion).items() if issubclass(cls, Hybrid)]


@pytest.mark.parametrize("name", JOINT)
def test_one_alone_answers_by_its_own_head_unless_there_are_none(name):
    cls, batch = parts(Fusion)[name], {"a": sample(16), "b": part_of(sample(16, seed=1), [0, 3, 3, 3])}
    alone, mean, total, none = (
        cls(["a", "b"], 16, unimodal_heads=own).eval() for own in ("alone", "mean", "sum", "none")
    )
    assert alone.joint_weight(batch).tolist() == [1, 0, 0, 1]
    assert alone.weights(batch)["a"].tolist() == [0, 1, 1, 0]
    assert mean.joint_weight(batch).tolist() == [0.5, 0, 0, 1]
    assert mean.weights(batch)["a"].tolist() == [0.25, 1, 1, 0]
    assert total.weights(batch)["a"].tolist() == [1, 1, 1, 0]
    assert none.joint_weight(batch).tolist() == [1] * 4
    assert not none.weights(batch)["a"].any()
    with pytest.raises(ConfigError, match=f"{name}: unimodal_heads is 'max'"):
        cls(["a", "b"], 16, unimodal_heads="max")


@pytest.mark.parametrize("name", JOINT)
def test_modalities_tell_each_other_something(name):
    # the joint part is no sum of what each modality alone gives
    torch.manual_seed(0)
    fusion = parts(Fusion)[name](["a", "b"], 16).eval()
    with torch.no_grad():
        for weight in fusion.parameters():
            weight += 0.1 * torch.randn_like(weight)
    one, other = sample(16), sample(16, seed=1)
    cross = torch.zeros(())
    for sign_a, sign_b in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        batch = {"a": one.with_values(sign_a * one.values), "b": other.with_values(sign_b * other.values)}
        cross = cross + sign_a * sign_b * fusion(batch).values[0].detach().mean(0)
    assert cross.abs().max() > 1e-4


@pytest.mark.parametrize("name", JOINT)
def test_a_single_modality_can_be_fused(name):
    out = parts(Fusion)[name](["a"], 16).eval()({"a": sample(16)})
    assert out.present.tolist() == [True, True, True, False]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tensor_fusion", {"size": 0}),
        ("tensor_fusion", {"size": 2000}),
        ("low_rank", {"rank": 0}),
        ("mixture", {"top": 1}),
        ("misa", {"heads": 3}),
        ("bottleneck", {"heads": 3}),
        ("bottleneck", {"tokens": 0}),
        ("latents", {"periods": [3, 1]}),
        ("crossmodal", {"positions": "place"}),
        ("crossmodal", {"layers": 0}),
        ("crossmodal", {"heads": 3}),
    ],
)
def test_wrong_options_say_whose_they_are(name, options):
    with pytest.raises(ConfigError, match=name):
        parts(Fusion)[name](["a", "b"], 16, **options)


@pytest.mark.parametrize("name", ["misa", "mixture"])
def test_a_fusions_own_loss_is_added_in_training(name):
    torch.manual_seed(0)
    model = Model({"a": 4, "b": 4}, Classify(["x", "y"]), encoders={"a": "linear", "b": "linear"}, fusion=name, dim=8)
    batch = {"a": sample(4), "b": sample(4, seed=1)}
    encoded = model.eval().encode(batch)
    found = model.backbone.auxiliary_losses(encoded)
    torch.testing.assert_close(found, {"fusion": model.backbone.fusion.loss(encoded)})
    assert found["fusion"] > 0
    nothing = {m: t._replace(mask=t.mask & False) for m, t in encoded.items()}
    assert model.backbone.fusion.loss(nothing).isfinite()


def test_losses_of_misa_learn_what_is_shared():
    torch.manual_seed(0)
    fusion = parts(Fusion)["misa"](["a", "b"], 8)
    common = torch.randn(64, 1, 8)
    batch = {
        m: Tokens(common + torch.randn(64, 3, 8), torch.arange(3.0).expand(64, 3), torch.ones(64, 3) > 0) for m in "ab"
    }
    optimizer, losses = torch.optim.Adam(fusion.parameters(), lr=0.01), []
    for _ in range(40):
        optimizer.zero_grad()
        losses.append(fusion.loss(batch))
        losses[-1].backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


def test_all_experts_are_asked_by_some_batch():
    torch.manual_seed(0)
    fusion = Mixture(["a", "b"], 8).train()
    gates = fusion.gates(torch.randn(64, 2, 16), torch.ones(64, 2) > 0)
    assert (gates.sum(0) > 0).all()
    assert ((gates > 0).sum(1) == 2).all()
    torch.testing.assert_close(gates.sum(1), torch.ones(64))


@torch.no_grad()
def test_a_bottleneck_is_all_that_passes():
    torch.manual_seed(0)
    fusion = Bottleneck(["a", "b"], 16, tokens=1, layers=1).eval()
    a = sample(16)
    b = sample(16, seed=1)._replace(times=a.times)
    between = fusion.between.expand(4, -1, -1)
    turn = fusion._turn(torch.where(a.mask, a.times, 0.0))
    mine, shared = fusion._layer(fusion.layers[0][0], a, between, turn)
    # in its layer a modality sees itself and the bottleneck only
    keys = torch.cat([a.mask, torch.ones(4, 1) > 0], 1)
    want = fusion.layers[0][0](torch.cat([a.values, between], 1), turn, keys)
    torch.testing.assert_close(mine.values, torch.where(a.mask[..., None], want[:, :-1], 0.0))
    torch.testing.assert_close(shared, want[:, -1:])
    last = fusion.last
    fusion.last = torch.nn.Sequential(torch.nn.Identity())
    for piece in fusion.pool:
        piece.weight.zero_(), piece.bias.zero_()
    both, alone = fusion({"a": a, "b": b}).values[:3, 0], fusion({"a": a}).values[:3, 0]
    other = fusion({"b": b}).values[:3, 0]
    torch.testing.assert_close(both, (alone + other) / 2, msg="the mean over the modalities")
    fusion.last = last


@torch.no_grad()
def test_latents_do_not_see_the_order_of_tokens_but_their_times():
    torch.manual_seed(0)
    fusion, t, order = Latents(["a"], 16).eval(), sample(16), torch.randperm(13)
    want = fusion({"a": t}).values
    torch.testing.assert_close(want, fusion({"a": Tokens(*(x[:, order] for x in t))}).values, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(want[:3], fusion({"a": t._replace(times=t.times * 3)}).values[:3], atol=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", JOINT)
def test_what_only_two_together_tell_is_learnt(name):
    # exclusive or: neither stream alone says anything of the label
    torch.manual_seed(0)
    cls, options = parts(Fusion)[name], {"unimodal_heads": "none"} if name in JOINT else {}
    fusion, head = cls(["a", "b"], 16, dropout=0.0, **options), PooledLinear(16, 2, 0.0)
    if name == "concat":
        fusion.gru = None  # the slots alone
    optimizer = torch.optim.Adam([*fusion.parameters(), *head.parameters()], lr=0.01)
    for _ in range(120):
        batch, label = exclusive_or(64)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(head(fusion(batch)), label).backward()
        optimizer.step()
    batch, label = exclusive_or(256)
    with torch.no_grad():
        assert (head(fusion.eval()(batch)).argmax(1) == label).float().mean() > 0.9


def exclusive_or(rows):
    signs, batch = torch.randint(2, (rows, 2)) * 2.0 - 1, {}
    for i, (m, steps) in enumerate((("a", 4), ("b", 7))):
        values = signs[:, i, None, None] * torch.linspace(-1, 1, 16) + 0.3 * torch.randn(rows, steps, 16)
        batch[m] = Tokens(values, torch.linspace(0, 2, steps).expand(rows, -1), torch.ones(rows, steps) > 0)
    return batch, (signs[:, 0] == signs[:, 1]).long()
