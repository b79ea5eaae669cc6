"""Pre-training: every part gets a gradient, missing streams are passed over, and there is nothing to score."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plait.errors import ConfigError
from plait.model import Model
from plait.tasks.pretrain import Pretrain
from plait.tokens import Tokens


@pytest.fixture(autouse=True)
def _seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def batch(rows=6):
    """Of an item each modality is missing once, and another has a hole and cells that are not numbers."""
    found = {}
    for i, (m, steps, dim, rate) in enumerate((("a", 24, 3, 10.0), ("b", 40, 2, 20.0))):
        mask = torch.ones(rows, steps, dtype=torch.bool)
        mask[i], mask[2, 5:9] = False, False
        values = torch.randn(rows, steps, dim)
        values[3, 4, 0] = float("nan")
        values = torch.where(mask[..., None], values, float("nan"))
        found[m] = Tokens(values, (torch.arange(steps) / rate).expand(rows, -1), mask)
    return found


def made(**options):
    return Model({"a": 3, "b": 2}, Pretrain([], width=4, **options), dim=16)


@pytest.mark.parametrize("options", [{}, {"contrast": "sigmoid"}, {"contrast": "cca", "views": 1}, {"masked": 0.0}])
def test_encoders_fusion_and_projections_all_learn(options):
    model = made(**options)
    loss = model.task.learn(model, [batch() for _ in range(model.task.views)], 0.1)
    loss.backward()
    bad = [n for n, p in model.named_parameters() if p.grad is None or not bool(p.grad.isfinite().all())]
    assert bool(loss.isfinite())
    assert bad == []


def test_without_contrast_encoders_learn_from_what_is_hidden_alone():
    model = made(contrast="none", views=1)
    model.task.learn(model, [batch()], 0.0).backward()
    assert all(float(p.grad.abs().sum()) > 0 for n, p in model.named_parameters() if n.startswith("task.ask.leave"))
    assert any(float(p.grad.abs().sum()) > 0 for p in model.encoders[0].parameters())


def test_what_is_masked_changes_nothing():
    model, one = made().eval(), batch()
    other = {m: t._replace(values=torch.where(t.mask[..., None], t.values, 1e4)) for m, t in one.items()}
    found = []
    for tokens in (one, other):
        torch.manual_seed(1)
        found.append(float(model.task.learn(model, [tokens, tokens], 0.2).detach()))
    assert found[0] == found[1]


def test_a_modality_that_nobody_has_is_passed_over():
    model, tokens = made(), batch()
    tokens["b"] = tokens["b"]._replace(mask=torch.zeros_like(tokens["b"].mask))
    loss = model.task.learn(model, [tokens, tokens], 0.1)
    loss.backward()
    assert bool(loss.isfinite())
    assert bool(model.task.learn(model, [{"a": tokens["a"]}] * 2, 0.1).isfinite())


def test_steps_make_the_loss_fall():
    model, tokens = made(views=1), batch(12)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = model.task.learn(model, [tokens], 0.1)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.2


def test_the_answer_is_an_embedding_of_length_1():
    model = made().eval()
    output = model(batch())[""]
    rows = model.task.decode(output)
    assert all(abs(np.linalg.norm(r["embedding"]) - 1) < 1e-6 for r in rows)
    assert np.allclose(model.task.scores(output), [r["embedding"] for r in rows])


def test_it_is_saved_and_restored(tmp_path):
    model = made(span=0.2, views=3).eval()
    model.save(tmp_path)
    again = Model.load(tmp_path)
    assert again.task.options == model.task.options
    tokens = batch()
    assert torch.equal(again(tokens)[""], model(tokens)[""])
    assert torch.equal(again.task.ask.query, model.task.ask.query)


def test_there_is_nothing_to_score():
    task = Pretrain([])
    assert task.encode(["a", None]).tolist() == [0, 0]
    for ask in (
        lambda: task.loss(torch.zeros(1, 64), torch.zeros(1)),
        lambda: task.metrics(np.zeros((1, 64)), np.zeros(1)),
        lambda: task.baseline(np.zeros(1), 1),
    ):
        with pytest.raises(ConfigError, match="Fine-tune it"):
            ask()


@pytest.mark.parametrize(
    "options",
    [{"width": 0}, {"views": 0}, {"share": 1.0}, {"span": 0.0}, {"masked": -1.0}, {"contrast": "triplet"}]
    + [{"contrast": "none", "masked": 0.0}, {"contrastive": 0.0, "masked": 0.0}, {"temperature": 0.0}],
)
def test_wrong_options_are_told(options):
    with pytest.raises(ConfigError, match="expected"):
        Pretrain([], **options)
