"""Attributions of parts in time, their faithfulness, and spans that turn the decision."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plait.evaluation.explanation.attribution import METHODS, integrated_gradients, occlusion, sampled_shapley
from plait.evaluation.explanation.faithfulness import areas, order_of, randomised
from plait.evaluation.explanation.parts import Answer, Parts
from plait.evaluation.explanation.turning import turning_spans
from plait.examples.data import Asked, Batch, ItemData
from plait.examples.items import Item
from plait.examples.targets import Annotated
from plait.models.model import Model
from plait.streams.clock import Grid
from plait.tasks.claims import stacked
from plait.tasks.classify import Classify
from plait.tasks.regress import Regress
from plait.tasks.tag import Tag
from plait.tokens import Instants, Pairs, Tokens

COUNT = 8


class Source:
    """Two streams at different rates; the third recording has no ``b``."""

    def get(self, recording: str, modality: str):
        number = int(recording)
        if modality == "b" and number == 2:
            return None
        n = 40 if modality == "a" else 10
        rng = np.random.default_rng((number, ord(modality)))
        return rng.normal(size=(n, 2)).astype(np.float32), Grid(0.0, n // 2, n)


def made(task=None):
    torch.manual_seed(0)
    task = task or Classify(["x", "y", "z"])
    model = Model({"a": 2, "b": 2}, task, dim=8, encoders=dict.fromkeys("ab", "conv")).eval()
    items = [Item(str(i), 0.0, 2.0, "xyz"[i % 3], f"g{i}", whole=True) for i in range(COUNT)]
    targets = torch.zeros(COUNT) if task.is_numeric else torch.arange(COUNT) % 3
    data = ItemData(items, Source(), Asked(targets), ["a", "b"])
    batch = data.batch(range(COUNT), model.dims)
    return model, Answer.of(model, batch), Parts(data, batch, 5), batch


def test_parts_are_equal_times_of_each_modality() -> None:
    _, _, parts, batch = made()
    assert parts.there.shape == (COUNT, 10)
    assert parts.there[[0, 1, 3]].all()
    assert not parts.there[2, 5:].any()
    gone = torch.zeros(COUNT, 10, dtype=torch.bool)
    gone[:, 1], gone[:, 9] = True, True
    left = parts.without(gone)
    assert left["a"].mask.sum(1).tolist() == [32] * COUNT
    assert not left["a"].mask[0, 8:16].any()
    assert left["b"].mask[0].tolist() == [True] * 8 + [False] * 2
    assert batch.inputs["a"].mask.all(), "the batch itself is as it was"
    ones = parts.pooled({m: torch.ones_like(t.times) for m, t in batch.inputs.items()})
    assert ones[0].tolist() == [8.0] * 5 + [2.0] * 5
    assert ones[2, 5:].sum() == 0
    assert parts.span(6) == ("b", 0.2, 0.4)


@pytest.mark.parametrize("task", [None, Regress([0.0, 1.0])])
def test_integrated_gradients_add_up_to_the_change_from_mean_features(task) -> None:
    pytest.importorskip("captum")
    model, answer, parts, batch = made(task)
    found = integrated_gradients(answer, parts, steps=64)
    start = {m: t._replace(values=torch.zeros_like(t.values) + model.backbone.mean(m)) for m, t in batch.inputs.items()}
    with torch.no_grad():
        change = answer.scalar(batch.inputs) - answer.scalar(start)
    torch.testing.assert_close(found.sum(1), change, atol=2e-3, rtol=2e-2)
    assert found[2, 5:].abs().max() == 0


@torch.no_grad()
def test_occlusion_is_the_fall_without_each_part() -> None:
    model, answer, parts, batch = made()
    found = occlusion(answer, parts)
    whole = model(batch.inputs)[""].log_softmax(-1)
    for item, part in ((0, 3), (4, 7), (2, 0)):
        gone = torch.zeros_like(parts.there)
        gone[item, part] = True
        out = model(parts.without(gone))[""].log_softmax(-1)
        chosen = int(answer.chosen[item])
        assert float(found[item, part]) == pytest.approx(float(whole[item, chosen] - out[item, chosen]), abs=1e-5)
    assert found[2, 5:].abs().max() == 0


def test_shapley_values_of_parts_add_up_to_the_change_from_nothing() -> None:
    _, answer, parts, _ = made()
    found = sampled_shapley(answer, parts, orders=4)
    with torch.no_grad():
        change = answer.scalar(parts.tokens) - answer.scalar(parts.without(torch.ones_like(parts.there)))
    torch.testing.assert_close(found.sum(1), change, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found, sampled_shapley(answer, parts, orders=4))


def test_the_true_order_has_the_better_areas() -> None:
    _, answer, parts, _ = made()
    order = order_of(occlusion(answer, parts), parts)
    best, worst = areas(answer, parts, order), areas(answer, parts, order_of(-occlusion(answer, parts), parts))
    assert float(best.deletion.mean()) < float(worst.deletion.mean())
    assert float(best.insertion.mean()) > float(worst.insertion.mean())
    assert (order[2, -5:] >= 5).all(), "parts that hold nothing come last"


@torch.no_grad()
def test_a_randomised_model_is_another_one_and_the_model_stays() -> None:
    model, _answer, _parts, batch = made()
    before = model(batch.inputs)[""]
    other = randomised(model)
    assert (other(batch.inputs)[""] - before).abs().max() > 1e-3
    torch.testing.assert_close(model(batch.inputs)[""], before)
    torch.testing.assert_close(randomised(model)(batch.inputs)[""], other(batch.inputs)[""])


@torch.no_grad()
def test_a_claim_is_held_as_strongly_as_its_tokens_at_its_instants_are_probable() -> None:
    """Against the log-probabilities themselves, item by item."""
    torch.manual_seed(0)
    task = Tag([Annotated(2.0, ((0.0, 1.0, "x"), (1.0, 2.0, "y")))], target="t", rate=4).eval()
    output, at = torch.randn(3, 8, 2), task.asked_at([Item("0", 0.0, 2.0, None, "g")] * 3)
    claims = [own[-1] for own in task.claims(output, at)]
    logs = output.log_softmax(-1)
    for i, (claim, held) in enumerate(zip(claims, task.claimed(output, stacked(claims)).tolist())):
        first, last = (round(4 * t) for t in claim.span)
        assert held == pytest.approx(float(logs[i, first:last, task.classes.index(claim.text)].mean()), abs=1e-5)


@torch.no_grad()
def test_of_several_labels_a_claim_is_of_its_own() -> None:
    task = Tag([Annotated(2.0, ((0.0, 1.0, "x"), (1.0, 2.0, "y")))], target="t", rate=4, several=True).eval()
    output = torch.full((1, 8, 2), -2.0)
    output[0, 2:4, 1] = 3.0
    (claims,) = task.claims(output, task.asked_at([Item("0", 0.0, 2.0, None, "g")]))
    assert [(c.text, c.span) for c in claims] == [("y", (0.5, 1.0))]
    output[0, :, 0] = 9.0
    assert float(task.claimed(output, stacked(claims))) == pytest.approx(float(torch.tensor(3.0).sigmoid().log()))


def test_objects_are_the_parts_of_a_relation() -> None:
    class Data:
        items = (Item("0", 0.0, 1.0, None, "g", whole=True),)

    which, rows = torch.tensor([[[0, 2]]]), torch.tensor([[[[0, 3], [1, 4]]]])
    names = (("0", "cup"), ("1", "dish"), ("2", "fork"))
    pairs = Pairs(torch.zeros(1, 1, dtype=torch.long), (names,), which, torch.zeros(1, 5), torch.zeros(1, 5, 6), rows)
    tokens = Tokens(torch.ones(1, 5, 1), torch.zeros(1, 5), torch.ones(1, 5) > 0)
    at = Instants(torch.zeros(1, 1), torch.ones(1, 1) > 0, pairs=pairs)
    parts = Parts(Data(), Batch({"a": tokens}, torch.zeros(1), torch.tensor([0]), at), 20)
    assert parts.objects == [["cup 0", "dish 1", "fork 2"]]
    assert parts.there.tolist() == [[True, False, True]]
    gone = torch.tensor([[False, True, True]])
    assert parts.without(gone)["a"].mask.tolist() == [[True, True, True, False, False]], "row 2 is of no pair: it stays"


def test_the_methods_have_these_names() -> None:
    assert set(METHODS) == {"integrated_gradients", "occlusion", "shapley"}


class Rule(torch.nn.Module):
    """Names class 1 where enough of stream ``a`` is positive, else class 0."""

    task = Classify(["x", "y"])

    def encode(self, tokens):
        return tokens

    def answer(self, tokens, subset, at):
        on = (tokens["a"].clean().values[..., 0] > 0.5).sum(1).float()
        return torch.stack([torch.full_like(on, 4.5), on], -1)


def test_the_shortest_turning_span_is_within_the_evidence() -> None:
    values = torch.zeros(2, 50, 1)
    values[0, 20:30] = 1  # ten are on; without six of them the decision turns
    tokens = {"a": Tokens(values, torch.arange(50.0).expand(2, 50) / 10, torch.ones(2, 50) > 0)}
    answer = Answer.of(Rule().eval(), Batch(tokens, torch.zeros(2), torch.arange(2)))
    first, second = turning_spans(answer, tokens, torch.tensor([5.0, 5.0]))
    assert second is None, "nothing that could be removed makes it say otherwise"
    assert first.answer == 0
    assert 1.99 <= first.start < first.stop <= 3.01
    assert first.stop - first.start == pytest.approx(0.6, abs=0.01)
