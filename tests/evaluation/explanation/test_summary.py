"""Whether attributions are true of a model, over items."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plait.evaluation.explanation.summary import Tried, faithfulness_of, tried_of
from plait.evaluation.summary import plain
from plait.examples.data import Asked, ItemData
from plait.examples.items import Item
from plait.models.model import Model
from plait.report.sections.faithfulness import Faithful
from plait.streams.clock import Grid
from plait.tasks.classify import Classify


def tried(gain, foreign=0.0, groups=8, each=5, seed=0):
    """Items whose deletion is better than random by ``gain``, and that of random weights by ``foreign``."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 0.05, (groups * each, 3))
    return [
        Tried("occlusion", f"g{i % groups}", 0.6 - gain + a, 0.5 + gain + b, 0.6, 0.5, 0.6 - foreign + c)
        for i, (a, b, c) in enumerate(noise.tolist())
    ]


@pytest.mark.parametrize(
    ("gain", "foreign", "verdict"),
    [
        (0.3, 0.0, "better than random"),
        (0.0, 0.0, "not shown to be better than random"),
        (0.3, 0.4, "better than random, but not of this model alone"),
    ],
)
def test_the_verdict_follows_the_intervals(gain, foreign, verdict) -> None:
    (row,) = faithfulness_of(tried(gain, foreign))
    assert row["items"] == 40
    assert row["deletion"] == pytest.approx(0.6 - gain, abs=0.03)
    content = Faithful().content({"faithfulness": [row]})
    assert content["rows"][0]["verdict"] == verdict


def test_few_groups_give_no_verdict() -> None:
    (row,) = plain(faithfulness_of(tried(0.3, groups=3)))
    assert Faithful().content({"faithfulness": [row]})["rows"][0]["verdict"] == "too few groups"
    assert Faithful().content({}) is None


class Source:
    def get(self, recording: str, modality: str):
        return np.random.default_rng(int(recording)).normal(size=(20, 2)).astype(np.float32), Grid(0.0, 10, 20)


def test_each_method_is_tried_on_each_item() -> None:
    pytest.importorskip("captum")
    torch.manual_seed(0)
    model = Model({"a": 2}, Classify(["x", "y"]), dim=8, encoders={"a": "conv"}).eval()
    items = [Item(str(i), 0.0, 2.0, "xy"[i % 2], f"g{i % 3}", whole=True) for i in range(12)]
    data = ItemData(items, Source(), Asked(torch.arange(12) % 2), ["a"])
    found = tried_of(model, data)
    assert [one.method for one in found] == ["integrated_gradients"] * 12 + ["occlusion"] * 12
    assert found == tried_of(model, data)
    assert all(0 <= x <= 1 for one in found for x in one[2:])
