from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from plait.examples.data import Asked, ItemData
from plait.models.ensemble import Encoded
from plait.models.model import Model
from plait.recipe import load_recipe
from plait.store.store import Store
from plait.tokens import Tokens
from plait.training import temperatures
from plait.training.build import build_model
from plait.training.experiment import Experiment, open_corpus
from plait.training.fit import fit
from plait.training.temperatures import fit_temperatures


def prepared(tiny_recipe: Path, tmp_path: Path, *, times: int = 1) -> tuple[Model, ItemData]:
    recipe = load_recipe(tiny_recipe)
    experiment = Experiment.of(recipe, open_corpus(recipe, tmp_path))
    features = experiment.prepare(Store(tmp_path / "cache"))
    torch.manual_seed(0)
    model, data = build_model(experiment, experiment.folds[0], features)
    return model, ItemData(data.items * times, features, Asked(data.targets.repeat(times)), experiment.modalities)


def fitted(tiny_recipe: Path, tmp_path: Path, scales: list[float], weights: list[float]) -> list[float]:
    """Factors of two heads, one always right and one always wrong, and of the joint one, always right; shares; and
    temperatures: of the two alone, and of both."""
    model, data = prepared(tiny_recipe, tmp_path)
    right = torch.nn.functional.one_hot(data.targets, 4).float()

    def answers(encoded: object, own: object, at: None = None) -> tuple[torch.Tensor, torch.Tensor]:
        part = right[: len(next(iter(encoded.values())).mask)]  # type: ignore[attr-defined]
        outputs = [scale * out for scale, out in zip(scales, (part, part.roll(1, 0), part))]
        there = model.backbone.there(encoded)  # type: ignore[arg-type]
        alone = torch.cat([there, ~there.any(0, keepdim=True)]).float()
        both = torch.tensor(weights)[:, None].expand(-1, len(part))
        return torch.stack(outputs), torch.where(there.all(0), both, alone)

    model.head_logits = answers  # type: ignore[method-assign]
    return fit_temperatures(model, [data])


def test_a_head_that_is_sure_and_wrong_is_turned_down(tiny_recipe: Path, tmp_path: Path) -> None:
    found = fitted(tiny_recipe, tmp_path, [3.0, 9.0, 0.0], [1.0, 1.0, 1.0])
    assert found[0] > 1
    assert found[1] < 0.4
    assert found[2] == pytest.approx(1, abs=1e-3), "a head that says nothing stays as it is"


def test_where_a_modality_is_alone_its_answer_has_a_temperature_of_its_own(tiny_recipe: Path, tmp_path: Path) -> None:
    balance, share, temperature = np.split(fitted(tiny_recipe, tmp_path, [3.0, 9.0, 2.0], [0.0, 0.0, 1.0]), [3, 6])
    assert balance[:2] == pytest.approx([1, 1], abs=1e-3), "never asked beside others"
    assert balance[2] > 1
    assert not share.any(), "there is no wide part"
    assert temperature[0] < 1, "right, and not sure enough"
    assert temperature[1] > 2.5, "sure and wrong"


class Beside(torch.nn.Module):
    """Stands where a wide part stands."""

    def encode(self, batch: Mapping[str, Tokens]) -> Encoded:
        return Encoded(batch)


def test_two_models_together_are_as_sure_as_they_are_right(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mean of two models that err apart is right more often than either, and less sure."""
    model, data = prepared(tiny_recipe, tmp_path, times=20)
    noise = torch.randn(2, len(data), 4, generator=torch.Generator().manual_seed(0))
    said = 2 * torch.nn.functional.one_hot(data.targets, 4) + 2 * noise
    told: Counter[str] = Counter()

    def opinions(
        encoded: Encoded, only: object, at: None
    ) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
        begin = told[str(only)]
        told[str(only)] += len(next(iter(encoded.values())).mask)
        return said[0, begin : told[str(only)]], said[1, begin : told[str(only)]], {}

    monkeypatch.setattr(temperatures, "EVEN", len(data))
    model.opinions, model.wide = opinions, Beside()  # type: ignore[method-assign, assignment]
    fit_temperatures(model, [data], ranking=False)
    answer = torch.lerp(said[0], said[1], model.wide_weight[-1]) / model.temperature[-1]
    assert 0.3 < model.wide_weight[-1] < 0.7
    best = min(torch.linspace(0.2, 3, 281), key=lambda t: float(model.task.nll(answer / t, data.targets).mean()))
    assert float(best) == pytest.approx(1, abs=0.1)


@pytest.mark.slow
def test_balance_needs_a_validation_part_and_is_kept_with_the_model(tiny_recipe: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    balanced = fit(load_recipe(tiny_recipe), tmp_path / "a", cache=cache, quiet=True)
    plain = fit(load_recipe(tiny_recipe, ["train.temperature_scaling=false"]), tmp_path / "b", cache=cache, quiet=True)
    alone = fit(load_recipe(tiny_recipe, ["split={hash: group, test: 0.25}"]), tmp_path / "c", cache=cache, quiet=True)
    first = balanced.replicates[0]
    assert not torch.equal(balanced.model(first).ensemble.head_scales, torch.ones(3))
    assert torch.equal(plain.model(first).ensemble.head_scales, torch.ones(3))
    assert torch.equal(alone.model(first).ensemble.head_scales, torch.ones(3))
    assert not torch.equal(balanced.model(first).temperature, torch.ones(3))
    assert torch.equal(plain.model(first).temperature, torch.ones(3))
