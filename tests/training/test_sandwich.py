"""The sandwich rule trains smaller models on slices of the largest one's weights."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from plait.core.errors import ConfigError
from plait.models.model import Model
from plait.models.slicing import Slices
from plait.recipe import Augment, Train
from plait.tasks.classify import Classify
from plait.testing.inputs import seeded
from plait.tokens import Tokens
from plait.training.module import TrainingModule
from plait.training.sandwich import Sandwich, hidden_as


def model_of(dim: int, seed: int = 0, task: object = None) -> Model:
    with seeded(seed):
        return Model({"a": 3, "b": 3}, task or Classify(["x", "y"]), encoders={"a": "gru", "b": "gru"}, dim=dim)


def tokens_of(seed: int = 0) -> dict[str, Tokens]:
    with seeded(seed):
        times = torch.arange(5.0).expand(6, 5)
        return {m: Tokens(torch.randn(6, 5, 3), times, times >= 0) for m in "ab"}


def test_each_step_trains_the_smallest_or_another_one() -> None:
    sandwich = Sandwich(model_of(32), [model_of(dim) for dim in (16, 4, 24, 8)])
    assert sandwich.per_step == 2
    with seeded(0):
        count = Counter(sandwich.drawn().small.dim for _ in range(600))
    assert set(count) == {4, 8, 16, 24}
    assert 260 < count[4] < 340
    assert min(count[dim] for dim in (8, 16, 24)) > 60
    assert Sandwich(model_of(8), [model_of(4)]).drawn().small.dim == 4


def test_the_loss_is_that_of_labels_and_of_the_largest_ones_answers() -> None:
    """The gradient of a step, against copies of the smaller model trained by themselves."""
    large = model_of(8).eval()
    small = model_of(4, seed=1)
    module = TrainingModule(
        large, Train(epochs=1), Augment(modality_dropout=0), seed=0, steps=2, regular=set(), smaller=[small]
    )
    target, given = torch.tensor([0, 1, 0, 1, 1, 0]), [(tokens_of(), None)]
    for model in (large, small):
        for part in model.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
    module._trainer = type("T", (), {"current_epoch": 0})()  # the epoch decides the share that is hidden
    loss, (view,), seen = module._loss(large, given, target, None)
    copy = model_of(4, seed=2)
    copy.load_state_dict(Slices(large, copy).of(large.state_dict()))
    for part in copy.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    own, (looked,), _ = module._loss(copy, given, target, None, seen)
    answers = [(looked.fused, view.fused), *((looked.unimodal[m], view.unimodal[m]) for m in "ab")]
    told = sum(
        (b.detach().softmax(-1) * (b.detach().log_softmax(-1) - a.log_softmax(-1))).sum(-1).mean() for a, b in answers
    )
    want = own + told
    within = module.sandwich.drawn()
    found = within.do(lambda model: module._smaller(model, given, target, None, (view, seen)))
    torch.testing.assert_close(found, want)
    assert loss.isfinite()


def test_what_was_hidden_from_the_largest_is_hidden_from_the_others() -> None:
    encoded = tokens_of()
    seen = {m: t._replace(mask=t.mask & (torch.arange(6) != k)[:, None]) for k, (m, t) in enumerate(encoded.items())}
    found = hidden_as(encoded, seen)
    assert [found[m].present.tolist() for m in "ab"] == [seen[m].present.tolist() for m in "ab"]
    assert torch.equal(found["a"].values, encoded["a"].values)


def test_tasks_that_compare_items_are_refused() -> None:
    task = Classify(["x", "y"])
    task.momentum = 0.9
    with pytest.raises(ConfigError, match="weight sharing: this task learns from several views"):
        Sandwich(model_of(8, task=task), [model_of(4)])
    with pytest.raises(ConfigError, match="cannot share weights"):
        Sandwich(model_of(4), [model_of(8)])
