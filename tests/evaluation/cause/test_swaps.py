from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from plait.core.errors import DataError
from plait.evaluation.cause.swaps import CONDITIONS, donors, swap_rows, swaps_of, two_sample
from plait.evaluation.contribution.bank import Bank
from plait.examples.data import Asked, ItemData
from plait.examples.items import Item
from plait.models.model import Model
from plait.streams.clock import Grid
from plait.tasks.classify import Classify


@pytest.mark.parametrize(("same_class", "same_group"), CONDITIONS.values())
def test_donors_meet_the_condition(same_class, same_group) -> None:
    rng = np.random.default_rng(0)
    target, groups = rng.integers(0, 3, 60), np.array([f"g{i % 5}" for i in range(60)])
    there = rng.random(60) < 0.8
    found = donors(target, groups, there, same_class=same_class, same_group=same_group, rng=rng)
    for i, j in enumerate(found):
        if j < 0:
            continue
        assert i != j
        assert there[i]
        assert there[j]
        assert (target[i] == target[j]) == same_class
        assert (groups[i] == groups[j]) == same_group
    assert (found[~there] == -1).all()


def test_the_same_distribution_cannot_be_told_apart() -> None:
    rng = np.random.default_rng(0)
    found = [two_sample(rng.normal(size=(80, 3)), rng.normal(size=(80, 3))) for _ in range(20)]
    assert np.mean(found) == pytest.approx(0.5, abs=0.04)


class Source:
    """``voice`` tells the class, ``face`` the person, which are independent."""

    def get(self, recording: str, modality: str):
        number = int(recording)
        tells = number % 2 if modality == "voice" else (number // 2) % 4
        return np.full((5, 1), float(tells), np.float32), Grid(0.0, 5, 5)


class Rule(nn.Module):
    """Names the class that the voice tells."""

    def forward(self, tokens):
        mean = torch.where(tokens.mask[..., None], tokens.values, 0.0).mean((1, 2))
        return torch.stack([0.5 - mean, mean - 0.5], -1)


def test_only_what_the_model_looks_at_changes_its_answer() -> None:
    torch.manual_seed(0)
    task = Classify(["x", "y"])
    encoders = dict.fromkeys(("voice", "face"), "identity")
    model = Model({"voice": 1, "face": 1}, task, dim=1, encoders=encoders, fusion="late")
    model.ensemble.heads[0], model.ensemble.heads[1] = Rule(), Silent()
    items = [Item(str(i), 0.0, 1.0, "xy"[i % 2], f"g{(i // 2) % 4}", whole=True) for i in range(64)]
    target = torch.arange(64) % 2
    data = ItemData(items, Source(), Asked(target), ["voice", "face"])
    found = {(s.modality, s.condition): s for s in swaps_of(Bank(model, data), target.numpy())}
    for (modality, condition), swap in found.items():
        other = modality == "voice" and condition.startswith("other class")
        assert (swap.changed == other).all()
        assert len(swap.changed) == 64
    assert len(found) == 8
    rows = swap_rows([*found.values(), *found.values()])
    assert [row["changed"] for row in rows[:4]] == [0.0, 0.0, 1.0, 1.0]
    assert rows[0]["items"] == 128


class Silent(nn.Module):
    def forward(self, tokens):
        return torch.zeros(len(tokens.mask), 2)


def test_only_classes_are_swapped() -> None:
    model = Model({"a": 1}, Classify(["x", "y"]), dim=4)
    items = [Item("0", 0.0, 1.0, "x", "g", whole=True)]
    bank = Bank(model, ItemData(items, Source(), Asked(torch.zeros(1, dtype=torch.long)), ["a"]))
    with pytest.raises(DataError, match="one class each"):
        swaps_of(bank, np.zeros((1, 3)))
