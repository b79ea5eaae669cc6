"""Contexts that answer from a state: what it is made of, what it leaves out, and that it is saved with the model."""

from __future__ import annotations

import pytest
import torch

from plait.core.errors import ConfigError
from plait.examples.targets import Annotated
from plait.models.model import Model
from plait.tasks.classify import Classify
from plait.tasks.heads import PooledLinear, StateHead
from plait.tasks.regress import Regress
from plait.tasks.tag import Tag
from plait.testing.inputs import sample
from plait.tokens import Tokens

DIMS = {"a": 5, "a.before": 5, "a.own": 5, "b": 3}


def model(task=None, fusion="speaker_states"):
    torch.manual_seed(0)
    encoders = {"a": "linear", "a.before": "gru", "b": "linear"}
    return Model(DIMS, task or Classify(["x", "y", "z"]), encoders=encoders, fusion=fusion, dim=8).eval()


def batch(seed=0):
    return {m: sample(dim, seed=seed + i) for i, (m, dim) in enumerate(DIMS.items())}


def test_a_context_has_the_encoder_and_the_head_of_its_modality():
    made = model()
    encoders, heads = made.backbone.encoders, made.ensemble.heads
    assert encoders[0] is encoders[1] is encoders[2]
    assert heads[1].head is heads[2].head is heads[0]
    assert heads[1].gru is not heads[2].gru
    assert made.backbone.source("a.own") == "a"
    other = model(fusion="opinion_pool")
    assert other.backbone.encoders[0] is not other.backbone.encoders[1]
    assert other.backbone.source("a.own") == "a.own"


def test_a_saved_model_has_them_again(tmp_path):
    made = model()
    made.save(tmp_path)
    again = Model.load(tmp_path)
    torch.testing.assert_close(again(batch())[""], made(batch())[""])
    assert again.backbone.encoders[0] is again.backbone.encoders[1]
    assert again.describe() == made.describe()


@pytest.mark.parametrize("subset", [("a",), ("a.before",), ("a.before", "a.own"), ("b", "a.own"), ()])
def test_any_part_answers(subset):
    made, full = model(), batch()
    out = made.forward_subset(made.encode(full), subset)[""]
    assert out.shape == (4, 3)
    assert out.isfinite().all()


def naive(head: StateHead, tokens: Tokens, row: int):
    """The state of one item, token by token."""
    seen = sorted((float(t), i) for i, (t, m) in enumerate(zip(tokens.times[row], tokens.mask[row])) if m)
    state = torch.zeros(1, 1, head.gru.hidden_size)
    for _, i in reversed(seen) if head.later else seen:
        token = Tokens(*(x[row : row + 1, i : i + 1] for x in tokens))
        said = head.head(token)
        state = head.gru((said if head.numeric else said.softmax(-1))[:, None], state)[1]
    return head.linear(state[0])[0]


@pytest.mark.parametrize("numeric", [False, True])
@pytest.mark.parametrize("later", [False, True])
def test_the_state_is_a_walk_over_what_each_token_says(numeric, later):
    torch.manual_seed(1)
    head = StateHead(PooledLinear(4, 3), 3, 6, numeric=numeric, later=later).eval()
    tokens = sample(4)
    out = head(tokens)
    for row in range(len(out)):
        torch.testing.assert_close(out[row], naive(head, tokens.clean(), row))
    assert head(Tokens(torch.zeros(2, 0, 4), torch.zeros(2, 0), torch.zeros(2, 0) > 0)).shape == (2, 3)


def test_the_answers_are_not_trained_by_the_state():
    head = StateHead(PooledLinear(4, 3), 3, 6, numeric=False)
    head(sample(4)).sum().backward()
    assert head.head.linear.weight.grad is None
    assert head.gru.weight_ih_l0.grad.abs().sum() > 0


def test_a_shared_encoder_with_running_averages_is_trained():
    full = {m: Tokens(t.values, t.times, torch.ones_like(t.mask)).clean() for m, t in batch().items()}
    encoders = {m: {"name": "conv", "strides": [1]} for m in DIMS}
    made = Model(DIMS, Classify(["x", "y"]), encoders=encoders, fusion="speaker_states", dim=8).train()
    made(full)[""].sum().backward()
    assert made.backbone.encoders[0].layers[0].conv.weight.grad.abs().sum() > 0


def test_values_have_states_and_tasks_over_time_have_none():
    assert model(Regress([0.0, 1.0]))(batch())[""].shape == (4, 1)
    with pytest.raises(ConfigError, match="one answer per item"):
        model(Tag([Annotated(2.0, ((0.0, 1.0, "x"), (1.0, 2.0, "y")))], target="mood"))
    with pytest.raises(ConfigError, match="width"):
        model(fusion={"name": "speaker_states", "width": 0})
