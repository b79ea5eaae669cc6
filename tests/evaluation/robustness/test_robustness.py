from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.parts import parts
from plait.evaluation.replicates import ReplicateOutput
from plait.evaluation.robustness.corruptions import Corruption
from plait.evaluation.robustness.curves import corrupted, curves_of
from plait.examples.data import Asked, ItemData
from plait.examples.items import Item
from plait.models.model import Model
from plait.report.sections.corruptions import Corruptions
from plait.streams.clock import Grid
from plait.tasks.classify import Classify
from plait.tokens import Tokens

KINDS = parts(Corruption)


def tokens(seed=0, n=4, count=40):
    g = torch.Generator().manual_seed(seed)
    mask = torch.rand(n, count, generator=g) < 0.9
    values = torch.randn(n, count, 2, generator=g)
    values[~mask] = float("nan")
    return Tokens(values, (torch.arange(count) / 10).expand(n, count), mask)


def damaged(kind, level, own, seed=0):
    return KINDS[kind]()(own, level, torch.full((len(own.mask),), 4.0), torch.Generator().manual_seed(seed + 1000))


def test_every_kind_is_a_part() -> None:
    assert set(KINDS) == {"dropped_rows", "feature_noise", "jitter", "low_rate", "missing_span", "shift"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_level_of_no_damage_changes_nothing(kind) -> None:
    own = tokens()
    found = damaged(kind, KINDS[kind].none, own)
    assert torch.equal(found.mask, own.mask)
    assert torch.equal(found.clean().values, own.clean().values)
    torch.testing.assert_close(found.clean().times, own.clean().times)


@given(st.sampled_from(sorted(KINDS)), st.integers(0, 99))
@settings(max_examples=40)
def test_nothing_comes_to_be_and_the_same_seed_gives_the_same(kind, seed) -> None:
    own = tokens(seed)
    for level in KINDS[kind].levels:
        found, again = damaged(kind, level, own, seed), damaged(kind, level, own, seed)
        assert not (found.mask & ~own.mask).any()
        assert torch.equal(found.mask, again.mask)
        assert torch.equal(found.clean().values, again.clean().values)
        assert found.clean().values.isfinite().all()
        assert found.clean().times.isfinite().all()


def test_the_levels_are_what_they_say() -> None:
    own = tokens(n=200)
    assert (damaged("dropped_rows", 0.5, own).mask.sum() / own.mask.sum()).item() == pytest.approx(0.5, abs=0.02)
    assert (damaged("missing_span", 0.4, own).mask.sum() / own.mask.sum()).item() == pytest.approx(0.6, abs=0.02)
    slow = damaged("low_rate", 4, own)
    assert torch.equal(slow.mask.sum(1), (own.mask.sum(1) + 3) // 4)
    late = damaged("shift", 0.3, own)
    there = late.mask
    torch.testing.assert_close((late.times - own.times)[there], torch.full((int(there.sum()),), 0.3), atol=1e-5, rtol=0)
    assert (late.times[there] < 4).all()
    off = damaged("jitter", 0.2, own)
    assert all((row[m].diff() >= 0).all() for row, m in zip(off.times, off.mask)), "the order stays"
    noisy = damaged("feature_noise", 1.0, own)
    spread = (noisy.values - own.values)[own.mask].std()
    assert spread.item() == pytest.approx(own.values[own.mask].std().item(), rel=0.05)


class Source:
    def get(self, recording: str, modality: str):
        number = int(recording)
        values = np.random.default_rng((number, ord(modality))).normal(size=(20, 2)).astype(np.float32)
        return values + number % 2, Grid(0.0, 10, 20)


def test_curves_of_a_model(tmp_path) -> None:
    torch.manual_seed(0)
    model = Model({"a": 2, "b": 2}, Classify(["x", "y"]), dim=8, encoders=dict.fromkeys("ab", "conv")).eval()
    count = 24
    items = [Item(str(i), 0.0, 2.0, "xy"[i % 2], f"g{i % 6}", whole=True) for i in range(count)]
    data = ItemData(items, Source(), Asked(torch.arange(count) % 2), ["a", "b"])
    names = [i.recording for i in items]
    with torch.no_grad():
        scores = model(data.batch(range(count), model.dims).inputs)[""].softmax(-1).double().numpy()
    output = ReplicateOutput(
        seed=0,
        fold="",
        items=names,
        recordings=names,
        groups=[i.group for i in items],
        target=data.targets.numpy(),
        present={m: data.present(m) for m in "ab"},
        outputs={("a", "b"): scores},
        baseline=np.full((count, 2), 0.5),
    )
    found = curves_of(model.task, [corrupted(model, data, output)])
    assert {(row["modality"], row["kind"]) for row in found} == {(m, k) for m in ("a", "b", "") for k in KINDS}
    clean = model.task.metrics(scores, output.target)["accuracy"]
    for row in found:
        assert row["values"][0] == pytest.approx(clean)
        assert row["area"] == pytest.approx(np.mean(row["values"]))
        assert row["gain_over_late"] == pytest.approx(row["area"] - np.mean(row["late"]))
        assert len(row["single"]["values"]) == len(row["levels"])
    page = {
        "robustness": {"noise": [], "missing": [], "corruptions": found},
        "task": {"metric": "accuracy", "higher_is_better": True},
    }
    content = Corruptions().content(page)
    assert len(content["figures"]) == len(KINDS)
    assert len(content["rows"]) == len(found)
