from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plait.core.errors import DataError
from plait.evaluation.evaluate import evaluate
from plait.examples.items import Fold, Item
from plait.recipe import load_recipe
from plait.training import fit as fitting
from plait.training.fit import fit
from plait.training.held_out import can_hold_out, hold_out, parts_of

NO_VALIDATION = "split={hash: group, test: 0.25}"


def items(groups: dict[str, str]) -> list[Item]:
    return [
        Item(f"{g}{i}", 0, 1, target, g, "train") for g, targets in groups.items() for i, target in enumerate(targets)
    ]


def test_whole_groups_are_held_out_and_no_class_that_the_rest_lacks() -> None:
    fold = Fold(items({"a": "xyxy", "b": "xyxy", "c": "xyxy", "d": "xyxz"}), [], [], "fold2")
    part = hold_out(fold, classes=True)
    assert {i.group for i in part.train}.isdisjoint(i.group for i in part.valid)
    assert len(part.train) == 12
    assert part.name == "fold2"
    assert {i.target for i in part.valid} <= {i.target for i in part.train}
    assert len(hold_out(fold, classes=False).valid) == 4


def test_every_group_is_held_out_of_one_part() -> None:
    fold = Fold(items(dict.fromkeys("abcdefg", "xy")), [], [])
    assert [parts_of(Fold(items(dict.fromkeys(some, "xy")), [], [])) for some in ("ab", "abcdefg")] == [2, 4]
    parts = [hold_out(fold, classes=False, part=part) for part in range(parts_of(fold))]
    assert all({i.group for i in p.train} | {i.group for i in p.valid} == set("abcdefg") for p in parts)
    assert sorted(i.id for p in parts for i in p.valid) == sorted(i.id for i in fold.train)


def test_a_single_group_holds_nothing_out() -> None:
    assert not can_hold_out(Fold(items({"a": "xy"}), [], []))
    assert can_hold_out(Fold(items({"a": "xy", "b": "xy"}), [], []))


@pytest.mark.slow
def test_without_a_validation_part_the_answer_is_as_sure_as_held_out_groups_say(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    run = fit(load_recipe(tiny_recipe, [NO_VALIDATION, "train.seeds=[0, 1]"]), tmp_path / "a", cache=cache, quiet=True)
    plain = fit(
        load_recipe(tiny_recipe, [NO_VALIDATION, "train.temperature_scaling=false"]),
        tmp_path / "b",
        cache=cache,
        quiet=True,
    )
    models = [run.model(m) for m in run.replicates]
    assert models[0].temperature[-1] != 1
    assert models[0].factors() == models[1].factors(), "one held-out model serves all seeds"
    assert torch.equal(models[0].ensemble.head_scales, torch.ones(3)), "which class is answered does not change"
    assert plain.model(plain.replicates[0]).temperature[-1] == 1
    assert not (tmp_path / "b" / "held-out").exists()
    sure, unsure = (evaluate(r, cache=cache) for r in (run, plain))
    assert len(sure["subsets"]) == len(unsure["subsets"]) == 3


@pytest.mark.slow
def test_a_fit_that_was_cut_off_keeps_the_held_out_model(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, cache = load_recipe(tiny_recipe, [NO_VALIDATION, "train.epochs=2"]), tmp_path / "cache"
    whole = fit(recipe, tmp_path / "whole", cache=cache, quiet=True)

    def cut(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fitting, "train_replicate", cut)
        with pytest.raises(KeyboardInterrupt):
            fit(recipe, tmp_path / "cut", cache=cache, quiet=True)
    kept = (tmp_path / "cut/held-out/factors.json").stat().st_mtime_ns
    resumed = fit(recipe, tmp_path / "cut", cache=cache, quiet=True)
    assert (tmp_path / "cut/held-out/factors.json").stat().st_mtime_ns == kept
    assert resumed.model(resumed.replicates[0]).factors() == whole.model(whole.replicates[0]).factors()


@pytest.mark.slow
def test_damaged_factors_are_told(tiny_recipe: Path, tmp_path: Path) -> None:
    recipe, cache = load_recipe(tiny_recipe, [NO_VALIDATION, "train.epochs=1"]), tmp_path / "cache"
    fit(recipe, tmp_path / "run", cache=cache, quiet=True)
    (tmp_path / "run/held-out/factors.json").write_text('{"head_scales": [1, 2]}')
    (tmp_path / "run/seed0/done.json").unlink()
    with pytest.raises(DataError, match="head_scales"):
        fit(recipe, tmp_path / "run", cache=cache, quiet=True)


@pytest.mark.slow
def test_numbers_are_weighed_by_held_out_groups(tiny_recipe: Path, tmp_path: Path) -> None:
    recipe = load_recipe(tiny_recipe, [NO_VALIDATION, "task={name: regress, target: score}", "train.epochs=2"])
    run = fit(recipe, tmp_path / "run", cache=tmp_path / "cache", quiet=True)
    model = run.model(run.replicates[0])
    assert model.temperature[-1] == 1
    assert not np.allclose(model.ensemble.head_scales.numpy(), 1)
