"""Invariant risk minimisation: the penalty, and what is refused."""

from __future__ import annotations

import json

import pytest
import torch
import torch.nn.functional as F

from plait.core.errors import ConfigError
from plait.recipe import load_recipe, parse_recipe
from plait.tasks.classify import Classify
from plait.tasks.regress import Regress
from plait.training.build import widens
from plait.training.fit import fit
from plait.training.irm import irm_penalty
from plait.training.rehearsal import rehearse


def test_it_is_what_a_derivative_by_hand_gives() -> None:
    """d/dw of the mean cross-entropy of w * z is the mean of sum_k (p_k - y_k) z_k at w = 1."""
    torch.manual_seed(0)
    z, target, places = torch.randn(12, 3), torch.randint(3, (12,)), torch.tensor([0, 1, 2] * 4)
    slopes = ((z.softmax(1) - F.one_hot(target, 3)) * z).sum(1)
    expected = sum(slopes[places == e][0::2].mean() * slopes[places == e][1::2].mean() for e in range(3))
    loss = Classify(["x", "y", "z"], smoothing=0.0).loss
    assert irm_penalty(loss, z, target, places).item() == pytest.approx(expected.item(), rel=1e-5)


def test_its_gradient_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    task, places, target = Regress([0.0, 1.0, 2.0]), torch.tensor([0, 0, 1, 1, 1]), torch.randn(5).double()
    z = torch.randn(5, 1, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda out: irm_penalty(task.loss, out, target, places), z)


def test_it_is_unbiased_and_zero_for_an_invariant_answer() -> None:
    """In environments of unlike slope the best common answer has a penalty; one that is right in each has none."""
    torch.manual_seed(0)
    x, places = torch.randn(4000, 1), torch.arange(4000) // 2 % 2
    square = lambda out, target: (out[:, 0] - target).square()  # noqa: E731
    target = x[:, 0] * torch.where(places == 0, 0.5, 1.5) + torch.randn(4000)
    invariant = irm_penalty(square, x * torch.where(places == 0, 0.5, 1.5)[:, None], target, places)
    assert abs(invariant.item()) < 0.05 < irm_penalty(square, x, target, places).item()


def test_a_single_item_of_an_environment_adds_nothing() -> None:
    loss = Classify(["x", "y"]).loss
    found = irm_penalty(loss, torch.ones(2, 2, requires_grad=True), torch.zeros(2, dtype=torch.long), torch.arange(2))
    assert found.item() == 0.0


@pytest.mark.slow
def test_it_trains_to_other_weights_than_the_risk_alone(tiny_recipe, tmp_path) -> None:
    found = []
    for name, more in (("erm", []), ("irm", ["train.irm={environments: group, weight: 100}"])):
        recipe = load_recipe(tiny_recipe, ["train.wide=false", "train.epochs=2", *more])
        run = fit(recipe, tmp_path / name, cache=tmp_path / "cache", quiet=True)
        found.append(run.model(run.finished[0]).state_dict())
        assert json.loads((tmp_path / name / run.finished[0].name / "done.json").read_text())["log"]["train_loss"]
    assert any(not torch.equal(found[0][key], found[1][key]) for key in found[0])


def facts(manifest, folder, **own):
    """The corpus with facts: functions of the number of the recording."""
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    for line in lines:
        if "id" in line:
            number = int(line["id"][1:])
            line["meta"] = {name: value(number) for name, value in own.items() if value(number) is not None}
    path = manifest.parent / f"{folder}.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)) + "\n")
    return path


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        ("irm={environments: sites}", "Did you mean 'site'"),
        ("irm={environments: one}", "expected two environments"),
        ("irm={environments: some}", "training items lack 'some'"),
        ("irm={environments: site, weight: 0}", "greater than 0"),
        ("irm={weight: 1}", "environments"),
        ("wide=true", "closed form"),
        ("solver=ridge", "closed form"),
    ],
)
def test_what_it_cannot_do_is_refused_before_training(tiny_corpus, tiny_recipe, tmp_path, plan, told) -> None:
    names = {"site": lambda i: f"s{i % 2}", "one": lambda i: "here", "some": lambda i: "x" if i % 5 else None}
    corpus = facts(tiny_corpus, "facts", **names)
    overrides = [f"corpus={corpus}", "train.irm={environments: site}", f"train.{plan}"]
    with pytest.raises(ConfigError, match=told):
        rehearse(load_recipe(tiny_recipe, overrides), tmp_path)
    good = load_recipe(tiny_recipe, overrides[:2])
    assert rehearse(good, tmp_path).recipe.train.irm.weight == 1.0
    assert not widens(good, linear=True, longest=10, columns=2)


def test_a_task_of_more_than_one_answer_is_refused(tiny_recipe, tmp_path) -> None:
    several = "{name: multi, tasks: {kind: classify, score: regress}}"
    recipe = load_recipe(tiny_recipe, [f"task={several}", "train.irm={environments: group}"])
    with pytest.raises(ConfigError, match="asks for something else"):
        rehearse(recipe, tmp_path)
    assert parse_recipe("{corpus: m, task: classify}").train.irm is None
