"""The deletion test: does an answer depend on what was recorded at its time?"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from plait.evaluation.deletion import Effect, deletion_of, effects_of
from plait.evaluation.time_effects import _places
from plait.examples.data import ItemData
from plait.examples.items import Item
from plait.examples.targets import Annotated
from plait.models.model import Model
from plait.streams.clock import Grid
from plait.tasks.tag import Tag
from plait.tokens import Instants, Tokens


@given(st.lists(st.tuples(st.floats(0, 9), st.floats(0.1, 9)), max_size=3), st.floats(0.2, 10), st.integers(0, 99))
@settings(max_examples=60)
def test_the_other_part_is_beside_the_answer(spans, seconds, seed) -> None:
    answers = [(a, min(a + long, seconds)) for a, long in spans if a < seconds]
    places = _places(np.random.default_rng(seed), [answers], [seconds])
    if not places.found[0]:
        return
    start, stop, other = (float(x[0]) for x in places[:3])
    assert any(np.allclose((start, stop), own, atol=1e-5) for own in answers)
    end = other + stop - start
    assert end <= start + 1e-4 or other >= stop - 1e-4
    assert -1e-4 <= other <= end <= seconds + 1e-4


def test_it_is_the_ratio_of_the_means() -> None:
    rng = np.random.default_rng(0)
    effects = [Effect(f"g{i % 6}", float(a), float(b)) for i, (a, b) in enumerate(rng.random((30, 2)) + [1, 0])]
    found = deletion_of(effects)
    assert found is not None
    assert found["ratio"] == pytest.approx(sum(e.inside for e in effects) / sum(e.elsewhere for e in effects))
    assert found["interval"]["low"] < found["ratio"] < found["interval"]["high"]
    assert deletion_of([]) is None


def test_without_any_effect_there_is_no_ratio() -> None:
    found = deletion_of([Effect(g, 0.0, 0.0) for g in "abcdef"])
    assert found is not None
    assert found["ratio"] is None


class Source:
    """One stream that is 1 while something happens."""

    def get(self, recording: str, modality: str):
        rng = np.random.default_rng(int(recording))
        start = int(rng.integers(0, 70))
        values = np.zeros((100, 1), np.float32)
        values[start : start + 20] = 1
        return values, Grid(0.0, 10, 100)


class Head(nn.Module):
    """Says "on" where the stream within ``reach`` seconds does."""

    def __init__(self, lag: float) -> None:
        super().__init__()
        self.lag = lag

    def forward(self, tokens: Tokens, at: Instants) -> Tensor:
        away = (tokens.times[:, None] - at.times[:, :, None] - self.lag).abs()
        on = ((away < 0.15) & tokens.mask[:, None]).float() @ tokens.clean().values[..., :1]
        return torch.cat([torch.zeros_like(on), on * 4 - 2], -1)


@pytest.mark.parametrize(("lag", "honest"), [(0.0, True), (3.0, False)])
def test_a_model_that_looks_elsewhere_is_found_out(lag: float, honest: bool) -> None:
    items = [Item(str(i), 0.0, 10.0, Annotated(10.0, ((1.0, 3.0, "on"),)), str(i), whole=True) for i in range(40)]
    task = Tag([items[0].target], target="t", rate=10, background="off")
    model = Model({"x": 1}, task, dim=4, fusion="late").eval()
    model.ensemble.heads[0] = Head(lag)
    model.backbone.encode = lambda batch: dict(batch)  # type: ignore[method-assign]  # the raw stream
    effects = effects_of(model, ItemData(items, Source(), task.asked(items), ["x"]))
    found = deletion_of(effects)
    assert found is not None
    assert found["answers"] > 15
    if honest:
        assert found["elsewhere"] == 0
        assert found["inside"] > 1
    else:
        assert found["inside"] < found["elsewhere"]
