"""Numbers of an epoch, against naive loops; and that they change nothing."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from plait.evaluation.evaluate import evaluate
from plait.examples.items import Item
from plait.examples.targets import Annotated
from plait.models.model import Model
from plait.recipe import load_recipe
from plait.report.report import render_report
from plait.tasks.classify import Classify
from plait.tasks.pretrain import Pretrain
from plait.tasks.regress import Regress
from plait.tasks.retrieve import Retrieve
from plait.tasks.tag import Tag
from plait.tasks.transcribe import Transcribe
from plait.tokens import Tokens
from plait.training.fit import fit
from plait.training.missing import ogm_ge
from plait.training.module import TrainingModule
from plait.training.monitor import Monitor, ends, mismatch, unused

N = 300
COLUMNS = ("train_loss", "valid_loss", "speed", "lean", "use", "learnt_low", "learnt_high")
COLUMNS += ("fitted_low", "excess_low", "unused_low")
TASK = Classify([*"abc"] * 10)


@pytest.fixture
def drawn() -> tuple[Tensor, Tensor]:
    """Logits that know something, and their targets."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(3, (N,), generator=generator)
    return torch.randn(N, 3, generator=generator) + torch.eye(3)[target], target


def test_ends_are_those_of_sums_over_groups() -> None:
    rng = np.random.default_rng(0)
    values, groups = rng.normal(1, 2, 60), rng.integers(7, size=60)
    apart = [sum(v - values.mean() for v, g in zip(values, groups) if g == name) for name in range(7)]
    error = math.sqrt(7 / 6 * sum(s * s for s in apart)) / 60
    low, high = ends(values, groups)
    assert low == pytest.approx(values.mean() - 2.4469 * error, abs=1e-4)  # Student's t with 6 degrees of freedom
    assert high == pytest.approx(values.mean() + 2.4469 * error, abs=1e-4)
    assert ends(values, groups, scaled=True)[0] == pytest.approx(low / values.std())
    assert ends([*values, math.nan], [*groups, 0]) == (low, high)


def test_ends_contain_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(20), 5)
    found = [ends(rng.normal(size=20)[groups] + rng.normal(size=100), groups) for _ in range(400)]
    assert 0.92 < np.mean([low < 0 < high for low, high in found]) < 0.98


@pytest.mark.parametrize("values", [[1.0] * 20, [1.0, 2.0, 3.0, 4.0]])
def test_ends_are_not_known_without_spread_or_with_few_groups(values: list[float]) -> None:
    assert all(math.isnan(end) for end in ends(values, np.arange(len(values))))


def test_mismatch_is_that_of_naive_loops(drawn: tuple[Tensor, Tensor]) -> None:
    output, target = drawn
    loss = [[float(-output[i].log_softmax(0)[t]) for t in target] for i in range(N)]
    found = []
    for i in range(N):
        others = [((i - k) % N, (i + k) % N) for k in (60, 120, 180, 240)]
        found.append(np.mean([(loss[i][a] + loss[b][i]) / 2 for a, b in others]) - loss[i][i])
    np.testing.assert_allclose(mismatch(TASK, output, target), found, atol=1e-5)


def test_mismatch_knows_no_sureness_and_no_constant(drawn: tuple[Tensor, Tensor]) -> None:
    output, target = drawn
    ignorant = 30 * output.roll(7, 0) + torch.tensor([5.0, 0.0, -5.0])  # very sure, and always of the first
    groups = np.arange(N)
    assert ends(mismatch(TASK, 9 * output, target), groups, scaled=True)[0] > 0.5
    low, high = ends(mismatch(TASK, ignorant, target), groups, scaled=True)
    assert low < 0 < high < 0.25


def test_unused_is_the_efficient_score_of_a_softmax(drawn: tuple[Tensor, Tensor]) -> None:
    fused, target = drawn
    own = torch.randn(N, 3, generator=torch.Generator().manual_seed(1)) + 0.5 * torch.eye(3)[target]
    f, o, y = fused.double().numpy(), own.double().numpy(), target.numpy()

    def score(a: float) -> tuple[Any, Any, Any]:
        p = np.exp(a * f) / np.exp(a * f).sum(1, keepdims=True)
        mean_f, mean_o = (p * f).sum(1), (p * o).sum(1)
        cross, square = ((p * f * o).sum(1) - mean_f * mean_o).mean(), ((p * f * f).sum(1) - mean_f**2).mean()
        return f[np.arange(N), y] - mean_f, o[np.arange(N), y] - mean_o, cross / square

    best = min(np.linspace(0.2, 3, 2801), key=lambda a: abs(score(a)[0].mean()))
    by_a, by_b, share = score(best)
    np.testing.assert_allclose(unused(TASK, fused, own, target), by_b - share * by_a, atol=0.02)


def test_unused_finds_what_is_not_said_and_nothing_in_what_is(drawn: tuple[Tensor, Tensor]) -> None:
    fused, target = drawn
    fresh = torch.randn(N, 3, generator=torch.Generator().manual_seed(1)) + torch.eye(3)[target]
    groups = np.arange(N)
    for sureness in (0.2, 1.0, 5.0):  # the same knowledge, however sure
        assert ends(unused(TASK, sureness * fused, fresh, target), groups, scaled=True)[0] > 0.2
        assert np.abs(unused(TASK, sureness * fused, 2 * fused, target).mean()) < 1e-3


def test_unused_works_for_values() -> None:
    generator = torch.Generator().manual_seed(0)
    one, two = torch.randn(2, N, 1, generator=generator)
    task = Regress([-1.0, 1.0], loss="mse")
    both = (one + two)[:, 0]
    assert ends(unused(task, one, two, both), np.arange(N), scaled=True)[0] > 0.2
    assert ends(unused(task, one, one + 0.1, one[:, 0] + torch.randn(N, generator=generator)), np.arange(N))[0] < 0


def items(count: int) -> Any:
    return SimpleNamespace(items=[SimpleNamespace(group=str(i)) for i in range(count)])


def test_an_epoch_of_a_model_is_that_of_its_own_heads() -> None:
    torch.manual_seed(0)
    model = Model({"see": 3, "hear": 2}, TASK, dim=8).eval()
    inputs = {
        m: Tokens(torch.randn(8, 5, d), torch.arange(5.0).expand(8, 5), torch.ones(8, 5) > 0)
        for m, d in model.dims.items()
    }
    inputs["see"].mask[2] = False
    target, monitor = torch.arange(8) % 3, Monitor(model, items(8), items(8))
    with torch.no_grad():
        encoded = model.encode(inputs)
        view = model.view(encoded)
        without = model.fused({"see": encoded["see"], "hear": encoded["hear"].emptied()}, view.unimodal)
    for part in (slice(0, 5), slice(5, 8)):
        some = {m: Tokens(*(x[part] for x in t)) for m, t in inputs.items()}
        monitor.valid(model.encode(some), target[part], torch.arange(8)[part], None)
        monitor.train(model.view(model.encode(some)), target[part], torch.arange(8)[part])
    found = monitor.epoch()
    seen = torch.arange(8) != 2
    loss = TASK.nll(view.unimodal["see"], target)[seen].mean()
    assert found["train_loss.see"] == pytest.approx(float(loss), rel=1e-4)
    assert found["valid_loss.see"] == pytest.approx(float(loss), rel=1e-4)
    right = (view.unimodal["see"].argmax(1) == target)[seen].float().mean()
    assert found["valid_accuracy.see"] == pytest.approx(float(right))
    assert found["lean.hear"] == pytest.approx(float(TASK.divergence(without, view.fused).mean()), rel=1e-3)
    assert found["use.hear"] == pytest.approx(
        float((TASK.nll(without, target) - TASK.nll(view.fused, target)).mean()), rel=1e-3
    )
    assert monitor.epoch() == {}, "an epoch begins anew"


TURNS = [Annotated(2.0, ((0.0, 1.0, "sit"),)), Annotated(2.0, ((1.0, 2.0, "run"), (0.5, 2.0, "sit")))]
WORDS = [Annotated(1.0, ((0.1, 0.4, "good"),)), Annotated(1.0, ((0.1, 0.4, "good"), (0.4, 0.8, "day")))]


@pytest.mark.parametrize(
    ("task", "targets", "options"),
    [(Regress, [1.0, 2.0], {}), (Tag, TURNS, {"target": "t"}), (Transcribe, WORDS, {"target": "t"})],
    ids=["regress", "tag", "transcribe"],
)
def test_any_task_with_own_heads_has_finite_numbers(task: Any, targets: list[Any], options: Any) -> None:
    torch.manual_seed(0)
    targets = targets * 5
    model = Model({"see": 3, "hear": 2}, task(targets, **options), dim=8).eval()
    asked = model.task.asked([Item(f"r{i}", 0.0, getattr(t, "seconds", 1.0), t) for i, t in enumerate(targets)])
    inputs = {
        m: Tokens(torch.randn(10, 9, d), torch.arange(9.0).expand(10, 9) / 9, torch.ones(10, 9) > 0)
        for m, d in model.dims.items()
    }
    monitor, encoded = Monitor(model, items(10), items(10)), model.encode(inputs)
    monitor.train(model.view(encoded, at=asked.at), asked.targets, torch.arange(10))
    monitor.valid(encoded, asked.targets, torch.arange(10), asked.at)
    found = monitor.epoch()
    assert {f"{name}.{m}" for name in COLUMNS for m in model.dims} | {
        f"valid_{model.task.main_metric}.{m}" for m in model.dims
    } == found.keys()
    assert all(math.isfinite(value) for value in found.values())


def test_speed_is_the_ratio_by_which_gradients_are_modulated() -> None:
    model = Model({"see": 3, "hear": 2}, Classify([*"abc"], smoothing=0.0), dim=8).eval()
    inputs = {
        m: Tokens(torch.randn(8, 5, d), torch.arange(5.0).expand(8, 5), torch.ones(8, 5) > 0)
        for m, d in model.dims.items()
    }
    target, monitor = torch.arange(8) % 3, Monitor(model, items(8), None)
    view = model.view(model.encode(inputs))
    monitor.train(view, target, torch.arange(8))
    found = monitor.epoch()
    view.fused.sum().backward()
    for m, factor in ogm_ge(model, view, target, 0.5).items():
        assert factor == pytest.approx(1 - math.tanh(0.5 * max(found[f"speed.{m}"] - 1, 0)), abs=1e-5)


@pytest.mark.parametrize(
    ("task", "options", "suits"),
    [
        (TASK, {}, True),
        (Regress([1.0, 2.0]), {}, True),
        (TASK, {"unimodal_weight": 0.0, "fusion": {"name": "concat", "unimodal_heads": "none"}}, False),
        (Retrieve([], query=["see"], gallery=["hear"]), {"fusion": "late"}, False),
        (Pretrain([None] * 4), {}, False),
    ],
)
def test_only_own_heads_that_answer_what_is_asked_are_watched(task: Any, options: Any, suits: bool) -> None:
    assert Monitor.suits(Model({"see": 3, "hear": 2}, task, dim=8, **options)) is suits


@pytest.mark.slow
def test_it_changes_no_weight_and_no_other_number(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(tiny_recipe)
    runs = [fit(recipe, tmp_path / "watched", cache=tmp_path / "cache", quiet=True)]
    monkeypatch.setattr(Monitor, "suits", staticmethod(lambda model: False))
    runs.append(fit(recipe, tmp_path / "alone", cache=tmp_path / "cache", quiet=True))
    watched, alone = (run.model(run.replicates[0]).state_dict() for run in runs)
    assert all(torch.equal(watched[name], alone[name]) for name in alone)
    logs = [run.done(run.replicates[0]).log for run in runs]
    assert logs[1].keys() < logs[0].keys()
    assert all(logs[0][name] == logs[1][name] for name in logs[1] if name != "processor_seconds")


@pytest.mark.slow
def test_a_resumed_run_has_the_same_log_and_the_report_shows_it(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, cache = load_recipe(tiny_recipe), tmp_path / "cache"
    whole = fit(recipe, tmp_path / "whole", cache=cache, quiet=True)
    step = TrainingModule.training_step

    def interrupted(self: TrainingModule, batch: Any, index: int) -> Tensor:
        if self.current_epoch == 1 and index == 1:
            raise KeyboardInterrupt
        return step(self, batch, index)

    monkeypatch.setattr(TrainingModule, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(recipe, tmp_path / "cut", cache=cache, quiet=True)
    monkeypatch.setattr(TrainingModule, "training_step", step)
    resumed = fit(recipe, tmp_path / "cut", cache=cache, quiet=True)
    logs = [run.done(run.replicates[0]).log for run in (whole, resumed)]
    for log in logs:
        del log["processor_seconds"]
    assert json.dumps(logs[0]) == json.dumps(logs[1])
    assert "valid_accuracy.left" in logs[0]
    page = render_report(evaluate(whole, cache=cache))
    assert "While it was trained" in page
    assert "Side by side" in page


@pytest.mark.slow
@pytest.mark.parametrize("name", ["clean", "nothing", "memorised", "starved"])
def test_a_planted_defect_is_told_and_nothing_else(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty seeds of each: `benchmarks/why.py monitors`."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    planted = importlib.import_module("why_monitors")
    assert planted.warnings_in(name, 100, tmp_path, str(tmp_path / "cache")) == planted.TRUE[name]
