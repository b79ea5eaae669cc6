from __future__ import annotations

from pathlib import Path

import pytest
import torch

from plait.features.store import Store
from plait.recipe import load_recipe
from plait.training.balance import fit_balance
from plait.training.data import ItemData
from plait.training.experiment import Experiment, open_corpus
from plait.training.fit import build_model, fit


def fitted(tiny_recipe: Path, tmp_path: Path, scales: list[float], weights: list[float]) -> list[float]:
    """Factors of two heads, one always right and one always wrong, of the joint one, always right; of the two alone."""
    recipe = load_recipe(tiny_recipe)
    experiment = Experiment.of(recipe, open_corpus(recipe, tmp_path))
    features = experiment.prepare(Store(tmp_path / "cache"))
    torch.manual_seed(0)
    model, data = build_model(experiment, experiment.folds[0], features)
    right = torch.nn.functional.one_hot(data.targets, 4).float()

    def answers(encoded: object, own: object) -> tuple[torch.Tensor, torch.Tensor]:
        part = right[: len(next(iter(encoded.values())).mask)]  # type: ignore[attr-defined]
        outputs = [scale * out for scale, out in zip(scales, (part, part.roll(1, 0), part))]
        return torch.stack(outputs), torch.tensor(weights)[:, None].expand(-1, len(part))

    model.answers = answers  # type: ignore[method-assign]
    return fit_balance(model, [ItemData(data.items, features, data.targets, experiment.modalities)])


def test_a_head_that_is_sure_and_wrong_is_turned_down(tiny_recipe: Path, tmp_path: Path) -> None:
    found = fitted(tiny_recipe, tmp_path, [3.0, 9.0, 0.0], [1.0, 1.0, 1.0])
    assert found[0] > 1
    assert found[1] < 0.4
    assert found[2] == pytest.approx(1, abs=1e-3), "a head that says nothing stays as it is"


def test_where_a_modality_is_alone_its_head_has_a_factor_of_its_own(tiny_recipe: Path, tmp_path: Path) -> None:
    found = fitted(tiny_recipe, tmp_path, [3.0, 9.0, 2.0], [0.0, 0.0, 1.0])
    assert found[:2] == pytest.approx([1, 1], abs=1e-3), "never asked beside others"
    assert found[2] > 1
    assert found[3] > 1
    assert found[4] < 0.4, "sure and wrong"


def test_balance_needs_a_validation_part_and_is_kept_with_the_model(tiny_recipe: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    balanced = fit(load_recipe(tiny_recipe), tmp_path / "a", cache=cache, quiet=True)
    plain = fit(load_recipe(tiny_recipe, ["train.balance=false"]), tmp_path / "b", cache=cache, quiet=True)
    alone = fit(load_recipe(tiny_recipe, ["split={hash: group, test: 0.25}"]), tmp_path / "c", cache=cache, quiet=True)
    first = balanced.members[0]
    assert not torch.equal(balanced.model(first).balance, torch.ones(3))
    assert torch.equal(plain.model(first).balance, torch.ones(3))
    assert torch.equal(alone.model(first).balance, torch.ones(3))
    assert not torch.equal(balanced.model(first).alone, torch.ones(2))
    assert torch.equal(plain.model(first).alone, torch.ones(2))
