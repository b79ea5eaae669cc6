"""Pre-training: every part gets a gradient, missing streams are passed over, and there is nothing to score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from plait.core.errors import ConfigError, DataError
from plait.models.model import Model
from plait.tasks.pretrain import Pretrain
from plait.tasks.view import Moment
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
    return Model({"a": 3, "b": 2}, Pretrain([], projection_dim=4, **options), dim=16)


def seen(model, tokens, drop=None):
    """As training sees a batch; without hiding if ``drop`` is None."""
    shown = tokens if drop is None else model.task.corrupt(tokens, drop)
    features = {m: model.backbone.prepare(m, t) for m, t in tokens.items()}
    return replace(model.view(model.encode(shown)), features=features, shown=shown)


def step(model, batches, drop, groups=None, moment=None):
    return sum(model.task.step([seen(model, tokens, drop) for tokens in batches], groups, moment).values())


def at(model, items, tokens, done):
    training = model.training
    with torch.no_grad():
        plain = seen(model.eval(), tokens)
    model.train(training)
    return Moment(items, done, plain)


@pytest.mark.parametrize("options", [{}, {"contrast": "sigmoid"}, {"contrast": "cca", "views": 1}, {"masked": 0.0}])
def test_encoders_fusion_and_projections_all_learn(options):
    model = made(**options)
    loss = step(model, [batch() for _ in range(model.task.views)], 0.1)
    loss.backward()
    bad = [n for n, p in model.named_parameters() if p.grad is None or not bool(p.grad.isfinite().all())]
    assert bool(loss.isfinite())
    assert bad == []


def test_without_contrast_encoders_learn_from_what_is_hidden_alone():
    model = made(contrast="none", views=1)
    step(model, [batch()], 0.0).backward()
    assert all(float(p.grad.abs().sum()) > 0 for n, p in model.named_parameters() if n.startswith("task.ask.leave"))
    assert any(float(p.grad.abs().sum()) > 0 for p in model.backbone.encoders[0].parameters())


def test_what_is_masked_changes_nothing():
    model, one = made().eval(), batch()
    other = {m: t._replace(values=torch.where(t.mask[..., None], t.values, 1e4)) for m, t in one.items()}
    found = []
    for tokens in (one, other):
        torch.manual_seed(1)
        found.append(float(step(model, [tokens, tokens], 0.2).detach()))
    assert found[0] == found[1]


GROUPS = ["ada", "eve"] * 4


@pytest.mark.parametrize(("option", "value"), [("within", True), ("neighbours", 0.0)])
def test_groups_count_where_they_are_asked_for(option, value):
    tokens, items, losses = batch(8), torch.arange(8), []
    for options in ({}, {option: value}):
        torch.manual_seed(4)
        model = Model({"a": 3, "b": 2}, Pretrain(GROUPS, projection_dim=4, **options), dim=16)
        for groups, moment in ((None, None), (model.task.encode(GROUPS), at(model, items, tokens, 0.5))):
            torch.manual_seed(5)
            losses.append(step(model, [tokens, tokens], 0.1, groups, moment))
    assert losses[0] == losses[1] == losses[2]
    assert losses[3] != losses[2]
    losses[3].backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


def test_neighbours_count_from_a_share_of_the_training_on():
    torch.manual_seed(4)
    model = Model({"a": 3, "b": 2}, Pretrain(GROUPS, projection_dim=4, neighbours=0.5), dim=16)
    tokens, losses = batch(8), []
    for moment in (at(model, torch.arange(8), tokens, 0.4), at(model, torch.arange(8), tokens, 0.5), None):
        torch.manual_seed(5)
        losses.append(float(step(model, [tokens, tokens], 0.1, None, moment).detach()))
    assert losses[0] == losses[2] != losses[1]


def test_the_memory_keeps_what_the_model_answers_to_the_batch_unvaried():
    model = Model({"a": 3, "b": 2}, Pretrain(GROUPS, projection_dim=4, neighbours=0.0), dim=16)
    tokens, items = batch(4), torch.tensor([5, 0, 6, 2])
    out = model.eval().forward_subset(model.encode({"b": tokens["b"]}))
    step(model.train(), [tokens, tokens], 0.3, None, at(model, items, {"b": tokens["b"]}, 0.0))
    assert model.training
    kept = model.task.memory.kept
    for space, name in ((1, "b"), (2, "")):
        seen = torch.tensor([True, False, True, True])  # the second item has no b
        expected = torch.nn.functional.normalize(out[name], dim=-1) * seen[:, None]
        assert torch.allclose(kept[space, items], expected, atol=1e-6)
    assert not kept[0].any()
    assert not kept[:, [1, 3, 4, 7]].any()


def test_groups_that_tell_nothing_are_refused():
    for groups, words in ((["a", "b", "c"], "3 training items are of 3 groups"), (["a", "a"], "of 1 group;")):
        with pytest.raises(DataError, match=words):
            Pretrain(list(groups), within=True)
    Pretrain(["a", "a", "b"], neighbours=0.0)


def test_a_modality_that_nobody_has_is_passed_over():
    model, tokens = made(), batch()
    tokens["b"] = tokens["b"]._replace(mask=torch.zeros_like(tokens["b"].mask))
    loss = step(model, [tokens, tokens], 0.1)
    loss.backward()
    assert bool(loss.isfinite())
    assert bool(step(model, [{"a": tokens["a"]}] * 2, 0.1).isfinite())


@pytest.mark.slow
def test_steps_make_the_loss_fall():
    model, tokens = made(views=1), batch(12)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = step(model, [tokens], 0.1)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.2


def test_the_answer_is_an_embedding_of_length_1():
    model = made().eval()
    output = model(batch())[""]
    rows = model.task.decode(output)
    assert all(abs(np.linalg.norm(r.embedding) - 1) < 1e-6 for r in rows)
    assert np.allclose(model.task.scores(output), [r.embedding for r in rows])


def test_it_is_saved_and_restored(tmp_path):
    model = Model({"a": 3, "b": 2}, Pretrain(GROUPS, projection_dim=4, views=3, within=True, neighbours=0.0), dim=16)
    step(model, [batch(8)] * 3, 0.0, None, at(model, torch.arange(8), batch(8), 1.0))
    model.eval().save(tmp_path)
    again = Model.load(tmp_path)
    assert torch.equal(again.task.memory.kept, model.task.memory.kept)
    assert again.task.options == model.task.options
    tokens = batch()
    assert torch.equal(again(tokens)[""], model(tokens)[""])
    assert torch.equal(again.task.ask.query, model.task.ask.query)


def test_there_is_nothing_to_score():
    task = Pretrain([])
    assert task.encode(["eve", "ada", "eve"]).tolist() == [0, 1, 0]
    for ask in (
        lambda: task.loss(torch.zeros(1, 64), torch.zeros(1)),
        lambda: task.metrics(np.zeros((1, 64)), np.zeros(1)),
        lambda: task.baseline(np.zeros(1), 1),
    ):
        with pytest.raises(ConfigError, match="Fine-tune it"):
            ask()


@pytest.mark.parametrize(
    "options",
    [
        {"projection_dim": 0},
        {"views": 0},
        {"mask_ratio": 1.0},
        {"mask_span": 0.0},
        {"masked": -1.0},
        {"contrast": "triplet"},
    ]
    + [{"contrast": "none", "masked": 0.0}, {"contrastive": 0.0, "masked": 0.0}, {"temperature": 0.0}]
    + [{"contrast": "cca", "within": True}, {"contrast": "none", "neighbours": 0.5}, {"neighbours": 1.5}],
)
def test_wrong_options_are_told(options):
    with pytest.raises(ConfigError, match="expected"):
        Pretrain([], **options)
