"""Modality dropout by schedule, own heads taught by the whole, distillation from the full to the partial, gradient
modulation."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from plait.models.model import Model
from plait.tasks.classify import Classify
from plait.tasks.regress import Regress
from plait.tasks.view import View
from plait.tokens import Tokens
from plait.tokens.dropout import modality_dropout
from plait.training.missing import dropout_now, ogm_ge


def batch_of(n: int = 12, seed: int = 0) -> dict[str, Tokens]:
    torch.manual_seed(seed)
    times, mask = torch.arange(5.0).expand(n, 5), torch.ones(n, 5) > 0
    return {m: Tokens(torch.randn(n, 5, 3), times, mask) for m in "ab"}


def model_of(task=None) -> Model:
    torch.manual_seed(1)
    return Model(
        {"a": 3, "b": 3}, task or Classify(["x", "y"], dropout=0.0), dim=16, encoders={"a": "linear", "b": "linear"}
    )


def test_the_share_that_is_hidden_follows_its_line() -> None:
    assert [dropout_now((0.1, 0.5), e, 5) for e in range(5)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert dropout_now(0.2, 3, 5) == 0.2
    assert dropout_now([0.4, 0.0], 0, 1) == 0.4


def test_distillation_adds_the_partial_answer_and_its_distance() -> None:
    model, batch, target = model_of().eval().requires_grad_(False), batch_of(), torch.arange(12) % 2
    encoded = model.encode(batch)
    losses = model.task.step([model.view(encoded, part=encoded)], target)
    assert losses["partial"] == losses["fused"], "nothing hidden: the pupil is the teacher"
    assert float(losses["modality_distillation"]) == pytest.approx(0, abs=1e-6)
    torch.manual_seed(3)
    losses = model.task.step([model.view(encoded, part=modality_dropout(encoded, 0.6))], target)
    assert losses["modality_distillation"] > 0
    assert losses["partial"] != losses["fused"]
    assert "partial" not in model.task.step([model.view(encoded)], target)


def test_own_heads_are_taught_by_the_mix_of_all() -> None:
    model, batch = model_of(Classify(["x", "y", "z"])).eval().requires_grad_(False), batch_of()
    batch["b"] = batch["b"]._replace(mask=batch["b"].mask & (torch.arange(12) < 9)[:, None])
    view = model.view(model.encode(batch))
    expected = 0.0
    for i in range(9):  # the other three have only a, whose answer is the whole one
        whole = (view.fused[i] + (view.unimodal["a"][i] + view.unimodal["b"][i]) / 2) / 2
        for m in "ab":
            p, q = whole.softmax(-1), view.unimodal[m][i].softmax(-1)
            expected += float((p * (p / q).log()).sum())
    loss = model.task.step([view], torch.arange(12) % 3)["self_distillation"]
    assert float(loss) == pytest.approx(expected / 12, rel=1e-4)


def test_the_teacher_learns_nothing_from_its_pupils() -> None:
    model, batch = model_of(), batch_of()
    model.task.step([model.view(model.encode(batch))], torch.arange(12) % 2)["self_distillation"].backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
    assert {name.split(".")[1] for name in moved} == {"encoders", "heads"}


@pytest.mark.parametrize(
    ("modalities", "task", "fusion"),
    [
        ("ab", Classify(["x", "y"]), "late"),
        ("a", Classify(["x", "y"]), "concat"),
        ("ab", Regress([0.0, 1.0, 2.0]), "concat"),
    ],
    ids=["no joint head", "one modality", "values"],
)
def test_where_there_is_nothing_to_teach_there_is_no_such_loss(modalities, task, fusion) -> None:
    model = Model(dict.fromkeys(modalities, 3), task, dim=16, fusion=fusion)
    encoded = model.encode({m: t for m, t in batch_of().items() if m in modalities})
    target = task.encode(list(task.classes if isinstance(task, Classify) else [0.0, 1.0]) * 6)
    assert set(task.step([model.view(encoded)], target)) == {"fused", "unimodal"}


@pytest.mark.parametrize("task", [Classify(["x", "y"]), Regress([0.0, 1.0, 2.0])])
def test_the_divergence_of_equals_is_nothing(task) -> None:
    a, b = torch.randn(2, 7, task.n_outputs)
    assert task.divergence(a, a).abs().max() < 1e-6
    assert (task.divergence(a, b) > 0).all()
    assert task.divergence(a, b).shape == (7,)


def test_the_divergence_of_logits_is_that_of_kullback_and_leibler() -> None:
    task, a, b = Classify(["x", "y", "z"]), torch.randn(5, 3), torch.randn(5, 3)
    p, q = b.softmax(-1), a.softmax(-1)
    torch.testing.assert_close(task.divergence(a, b), (p * (p / q).log()).sum(-1))


def learnt(model: Model, batch: dict[str, Tokens], target: torch.Tensor) -> View:
    view = model.view(model.encode(batch))
    losses = model.task.step([view], target)
    (losses["fused"] + losses["unimodal"]).backward()
    return view


def test_what_is_ahead_is_slowed_down_and_what_lags_is_not() -> None:
    model, batch, target = model_of(), batch_of(), torch.arange(12) % 2
    view = learnt(model, batch, target)
    before = [[p.grad.clone() for p in e.parameters()] for e in model.backbone.encoders]
    sure = torch.nn.functional.one_hot(target, 2) * 8.0
    factors = ogm_ge(model, replace(view, unimodal={"a": sure, "b": torch.zeros(12, 2)}), target, 0.5)
    ratio = float(torch.exp(-model.task.loss(sure, target)).mean()) / float(
        torch.exp(-model.task.loss(torch.zeros(12, 2), target)).mean()
    )
    assert factors["a"] == pytest.approx(1 - float(torch.tanh(torch.tensor(0.5 * (ratio - 1)))), rel=1e-4)
    assert factors["b"] == 1.0
    for factor, own, encoder in zip(factors.values(), before, model.backbone.encoders):
        for old, weight in zip(own, encoder.parameters()):
            torch.testing.assert_close(weight.grad, factor * old)


def test_a_modality_is_scored_where_it_is() -> None:
    model, batch, target = model_of(), batch_of(), torch.arange(12) % 2
    batch["b"] = batch["b"]._replace(mask=batch["b"].mask & (torch.arange(12) < 0)[:, None])
    assert ogm_ge(model, learnt(model, batch, target), target, 0.5) == {"a": 1.0}
