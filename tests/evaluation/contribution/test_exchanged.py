"""Items whose modalities come from others: the bank, permutation, and the additive projection."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from plait.core.errors import DataError
from plait.evaluation.contribution.bank import Bank
from plait.evaluation.contribution.dependence import Exchanged, dependence_of
from plait.evaluation.contribution.emap import projected
from plait.evaluation.contribution.permutation import permuted
from plait.evaluation.examined import restricted
from plait.evaluation.replicates import ReplicateOutput
from plait.examples.data import Asked, ItemData
from plait.examples.items import Item
from plait.models.model import Model
from plait.recipe import parse_recipe
from plait.streams.clock import Grid
from plait.tasks.classify import Classify

DIMS = {"a": 2, "b": 3, "c": 1}


class Source:
    """Streams of unequal length; every fifth recording has no ``b``."""

    def get(self, recording: str, modality: str):
        number = int(recording)
        if modality == "b" and number % 5 == 4:
            return None
        rng = np.random.default_rng((number, ord(modality)))
        count = 6 + number % 4
        return rng.normal(size=(count, DIMS[modality])).astype(np.float32), Grid(0.0, 10, count)


def made(names="ab", count=12, fusion="concat", wide=True):
    torch.manual_seed(0)
    dims = {m: DIMS[m] for m in names}
    items = [Item(str(i), 0.0, 1.0, "xyz"[i % 3], f"g{i % 6}", whole=True) for i in range(count)]

    def model():
        return Model(dims, Classify(["x", "y", "z"]), dim=8, fusion=fusion)

    whole = model()
    if wide:
        whole.widen(model(), 0.3)
    data = ItemData(items, Source(), Asked(torch.arange(count) % 3), list(names))
    return whole.eval(), data


@torch.inference_mode()
def by_hand(model, data, sources, subset=None):
    """The model's output for each combination alone, from features."""
    count = len(next(iter(sources.values())))
    rows = []
    for k in range(count):
        tokens = {m: data.rows[m].pad([int(sources[m][k])], model.dims[m]) for m in model.modalities}
        rows.append(model.forward_subset(model.encode(tokens), subset)[""])
    return torch.cat(rows)


@pytest.mark.parametrize("fusion", ["concat", "late", "bottleneck"])
@pytest.mark.parametrize("wide", [True, False])
def test_the_bank_answers_as_the_model_does(fusion, wide) -> None:
    model, data = made("abc", fusion=fusion, wide=wide)
    rng = np.random.default_rng(1)
    sources = {m: rng.integers(0, 12, 20) for m in "abc"}
    bank = Bank(model, data)
    for subset in (None, ("a",), ("b", "c")):
        found = torch.cat([*bank.outputs(sources, sources["a"], subset)])
        torch.testing.assert_close(found, by_hand(model, data, sources, subset), atol=1e-5, rtol=1e-4)


def test_permutation_is_among_the_items_that_have_the_modality() -> None:
    model, data = made()
    bank = Bank(model, data)
    found = permuted(bank, permutations=3)
    assert {m: len(own) for m, own in found.items()} == {"a": 3, "b": 3}
    whole = bank.scores({})
    lacking = ~data.present("b")
    for scores in found["b"]:
        np.testing.assert_allclose(scores[lacking], whole[lacking], atol=1e-6)
        assert np.abs(scores - whole).max() > 1e-4
    assert all(np.array_equal(x, y) for x, y in zip(found["a"], permuted(bank, permutations=3)["a"]))


def test_the_projection_is_that_of_the_paper() -> None:
    model, data = made()
    found = projected(Bank(model, data))
    items = [i for i in range(12) if i % 5 != 4]
    assert found.items.tolist() == items
    grid = np.array([by_hand(model, data, {"a": [i] * len(items), "b": items}).numpy() for i in items], float)
    additive = grid.mean(1) + grid.mean(0) - grid.mean((0, 1))
    expected = torch.from_numpy(additive).softmax(-1).numpy()
    np.testing.assert_allclose(found.scores, expected, atol=1e-5)
    truth = grid[np.arange(len(items)), np.arange(len(items))]
    rest = ((truth - additive) ** 2).sum() / ((truth - truth.mean(0)) ** 2).sum()
    assert found.share == pytest.approx(rest, rel=1e-4)


@pytest.mark.parametrize("names", ["ab", "abc"])
def test_a_sum_of_modalities_has_no_interaction(names) -> None:
    """Late fusion of modalities that all items have: a mean of outputs."""
    model, data = made(names, fusion="late", wide=False)
    there = [i for i in range(12) if i % 5 != 4]
    items = ItemData([data.items[i] for i in there], Source(), Asked(torch.tensor(there) % 3), list(names))
    found = projected(Bank(model, items))
    assert found.share < 1e-6
    np.testing.assert_allclose(found.scores, found.whole, atol=1e-5)


def test_few_items_are_drawn() -> None:
    model, data = made()
    assert len(projected(Bank(model, data), most=4).items) == 4


def test_what_cannot_be_told() -> None:
    model, data = made("a")
    with pytest.raises(DataError, match="two modalities"):
        projected(Bank(model, data))
    model, data = made("ab", count=1)
    with pytest.raises(DataError, match="1 items have all"):
        projected(Bank(model, data))


def output_of(model, data, seed=0):
    scores = Bank(model, data).scores({})
    return ReplicateOutput(
        seed=seed,
        fold="",
        items=[i.recording for i in data.items],
        recordings=[i.recording for i in data.items],
        groups=[i.group for i in data.items],
        target=data.targets.numpy(),
        present={m: data.present(m) for m in model.modalities},
        outputs={tuple(model.modalities): scores},
        baseline=np.full((len(data), 3), 1 / 3),
    )


def test_items_of_another_corpus_may_lack_a_stream() -> None:
    model, data = made("abc", wide=False)
    fewer = ItemData(data.items, Source(), data.asked, ["a", "b"])
    bank = Bank(model, fewer)
    assert bank.modalities == ["a", "b"]
    assert bank.scores({"a": np.arange(12)[::-1].copy()}).shape == (12, 3)
    assert set(permuted(bank, permutations=1)) == {"a", "b"}
    recipe = parse_recipe(
        "{corpus: m.jsonl, task: classify, augment: {modality_dropout: {see: 0.1, hear: [0.0, 0.2]}}}"
    )
    assert restricted(recipe, ["see"]).augment.modality_dropout == {"see": 0.1}
    assert recipe.augment.modality_dropout == {"see": 0.1, "hear": (0.0, 0.2)}


def test_of_a_run() -> None:
    model, data = made()
    both = [Exchanged(Bank(model, data), output_of(model, data, seed), permutations=2, pairs=6) for seed in (0, 1)]
    found = dependence_of(model.task, both)
    assert {row["modality"] for row in found["permutation"]} == {"a", "b"}
    assert found["additive"]["model"] is not None
    whole = model.task.metrics(output_of(model, data).outputs["a", "b"], data.targets.numpy())["accuracy"]
    drops = [
        whole - model.task.metrics(one.permuted.outputs[(f"a {k}",)], data.targets.numpy())["accuracy"]
        for one in both
        for k in range(2)
    ]
    row = next(row for row in found["permutation"] if row["modality"] == "a")
    assert row["drop"] == pytest.approx(np.mean(drops))
