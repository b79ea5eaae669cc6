"""Votes, confidence, experts and stacking: what the laws do not say of them."""

from __future__ import annotations

from collections import Counter
from statistics import median

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.errors import ConfigError
from plait.fusion.confidence import Confidence
from plait.fusion.product_of_experts import ProductOfExperts
from plait.fusion.stacking import Stacking
from plait.fusion.vote import Vote
from plait.models.model import Model
from plait.tasks.classify import Classify
from plait.tasks.regress import Regress
from plait.testing.inputs import part_of, sample

NAMES = ["a", "b", "c"]
outputs = st.lists(st.lists(st.integers(-40, 40), min_size=3, max_size=3, unique=True), min_size=4, max_size=4)


def told(fusion, width=3, values=False):
    fusion.bind(width, is_numeric=values)
    return fusion.eval()


@given(outputs, st.lists(st.booleans(), min_size=4, max_size=4))
@settings(max_examples=60)
def test_the_majority_wins_and_ties_go_to_the_higher_mean(rows, there):
    vote = told(Vote([*NAMES, "d"], 4))
    logits, known = torch.tensor(rows) / 10.0, [i for i, yes in enumerate(there) if yes]
    out = vote.aggregate(logits[:, None], torch.tensor(there)[:, None].float())[0]
    if not known:
        assert torch.allclose(out, torch.zeros(3), atol=1e-6)
        return
    count = Counter(int(logits[i].argmax()) for i in known)
    most = [c for c, n in count.items() if n == max(count.values())]
    mean = logits[known].softmax(-1).mean(0)
    assert mean[out.argmax()] == pytest.approx(float(mean[most].max()))
    assert int(out.argmax()) in most
    assert float(out.softmax(-1).sum()) == pytest.approx(1)


@given(st.lists(st.integers(-50, 50), min_size=3, max_size=3), st.lists(st.booleans(), min_size=3, max_size=3))
@settings(max_examples=40)
def test_values_are_voted_on_by_their_median(numbers, there):
    vote = told(Vote(NAMES, 4), 1, values=True)
    out = vote.aggregate(torch.tensor(numbers).float()[:, None, None], torch.tensor(there)[:, None].float())
    assert out.item() == median([n for n, yes in zip(numbers, there) if yes] or [0])


def test_in_training_a_vote_has_a_gradient():
    vote = told(Vote(NAMES, 4)).train()
    logits = torch.randn(3, 1, 3, requires_grad=True)
    vote.aggregate(logits, torch.ones(3, 1)).softmax(-1)[0, 0].backward()
    torch.testing.assert_close(
        vote.aggregate(logits, torch.ones(3, 1)).softmax(-1), logits.softmax(-1).mean(0), atol=1e-6, rtol=0
    )
    assert (logits.grad.abs().sum(-1) > 0).all()


def test_the_surer_counts_more_and_nobody_is_taught_to_be_sure():
    fusion = told(Confidence(NAMES, 4, by="entropy"))
    logits = torch.tensor([[[4.0, 0.0, 0.0]], [[0.0, 0.3, 0.0]], [[0.0, 0.0, 0.2]]], requires_grad=True)
    out = fusion.aggregate(logits, torch.ones(3, 1))
    assert out.argmax() == 0
    assert out[0, 0] > 4 / 3 + 0.5
    out[0, 0].backward()
    assert (logits.grad[:, 0, 1:] == 0).all()
    with pytest.raises(ConfigError, match="entropy"):
        fusion.bind(1, is_numeric=True)


def test_a_gate_starts_as_the_mean_and_follows_what_it_learns():
    fusion, batch = told(Confidence(NAMES, 4)), {m: sample(4, seed=i) for i, m in enumerate(NAMES)}
    weights = torch.stack(list(fusion.weights(batch).values()))
    torch.testing.assert_close(weights[:, :3], torch.full((3, 3), 1 / 3))
    fusion.gate[1].bias.data += 3.0
    assert fusion.weights(batch)["b"][0] > 0.9


def test_experts_that_agree_are_surer_together():
    fusion = told(ProductOfExperts(NAMES, 4))
    one = torch.tensor([[1.0, 0.0, 0.0]])
    alone, three = (
        fusion.aggregate(one.expand(3, 1, 3), w).softmax(-1)[0, 0] for w in (torch.eye(3)[:, :1], torch.ones(3, 1))
    )
    assert three > alone + 0.2
    values = told(ProductOfExperts(NAMES, 4), 1, values=True)
    # three experts of precision 1 and the prior: three quarters of the way
    assert values.aggregate(torch.full((3, 1, 1), 2.0), torch.ones(3, 1)).item() == pytest.approx(1.5)


def test_stacking_learns_whom_to_believe():
    torch.manual_seed(0)
    fusion = told(Stacking(NAMES, 4))
    target = torch.randint(3, (256,))
    good = torch.nn.functional.one_hot(target, 3).float()
    # the second says the opposite of the truth, the third one noise; in a quarter of the items the first is missing
    outputs = torch.stack([2 * good, -2 * good, torch.randn(256, 3)])
    weights = torch.ones(3, 256)
    weights[0, ::4] = 0
    optimizer = torch.optim.Adam(fusion.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(fusion.aggregate(outputs, weights), target).backward()
        optimizer.step()
    right = fusion.aggregate(outputs, weights).argmax(1) == target
    assert right.float().mean() > 0.95
    assert right[::4].float().mean() > 0.95, "without the first, the second one's opposite is enough"


@pytest.mark.parametrize("fusion", ["vote", "confidence", "product_of_experts", "stacking"])
@pytest.mark.parametrize("task", [Classify(["x", "y", "z"]), Regress([0.0, 2.0])])
def test_a_model_mixes_answers_of_both_kinds(fusion, task, tmp_path):
    torch.manual_seed(0)
    model = Model({"a": 4, "b": 4}, task, encoders={"a": "linear", "b": "linear"}, fusion=fusion, dim=8)
    batch = {"a": sample(4), "b": part_of(sample(4, seed=1), [0, 3, 2, 3])}
    target = task.encode(["x", "y", "z", "x"] if isinstance(task, Classify) else [0.0, 1.0, 2.0, 3.0])
    view = model.view(model.train().encode(batch))
    sum(task.step([view], target).values()).backward()
    assert all(p.grad is not None for p in model.backbone.encoders.parameters())
    model.save(tmp_path)
    torch.testing.assert_close(Model.load(tmp_path)(batch)[""], model.eval()(batch)[""])
    lone, own = model(batch)[""][1], model(batch)["a"][1]
    if fusion != "product_of_experts" or isinstance(task, Classify):
        # one alone answers as by itself
        assert task.scores(lone[None])[0] == pytest.approx(task.scores(own[None])[0], abs=0.35)
        assert lone.argmax() == own.argmax()


def test_an_unknown_kind_of_confidence_is_refused():
    with pytest.raises(ConfigError, match="expected 'gate' or 'entropy'"):
        Confidence(NAMES, 4, by="size")
