from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from plait.examples.data import Asked, ItemData, Swapped, loader
from plait.examples.items import Item
from plait.streams.clock import Clock, Grid, Ticks

DIMS = {"fast": 3, "slow": 2}


class Source:
    """Features of four recordings, drawn from a seed; some missing, some with rows of NaN."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.found: dict[tuple[str, str], tuple[np.ndarray, Clock]] = {}
        for r in "abcd":
            fast = rng.normal(size=(200, 3)).astype(np.float32)
            fast[rng.random(200) < 0.05] = np.nan
            self.found[r, "fast"] = fast, Grid(0.1, 25, 200)
            if r != "c":
                slow = rng.normal(size=(20, 2)).astype(np.float32)
                self.found[r, "slow"] = slow, Ticks(np.sort(rng.random(20)) * 8)

    def get(self, recording: str, modality: str) -> Any:
        return self.found.get((recording, modality))


ITEMS = [Item(r, a, a + 1.5, "x") for r in "abcd" for a in np.arange(0, 9, 0.7).tolist()]
ITEMS += [Item(r, 0.0, 8.1, "x", whole=True) for r in "abcd"]


def one_by_one(data: ItemData, source: Source, indices: Sequence[int]) -> dict[str, tuple[np.ndarray, ...]]:
    """A batch as a plain loop makes it: clocks cut for each item, draws in the order of items and modalities."""
    rows: dict[str, list[Any]] = {m: [] for m in DIMS}
    for i in indices:
        item, rng = data.items[i], np.random.default_rng((data.seed, data.epoch(), i))
        for m in DIMS:
            found = _cut(source, item, m)
            groups = data.noisy.get(m, ())
            if found is not None and groups:
                draw, edges = rng.random(), np.cumsum([share for share, _ in groups])
                group = int((draw >= edges).sum())
                if group < len(groups):
                    sources = groups[group][1]
                    found = _cut(sources[rng.integers(len(sources))], item, m)
            rows[m].append(found)
    out = {}
    for m, dim in DIMS.items():
        longest = max((len(r[0]) for r in rows[m] if r), default=0)
        values, times = (
            np.zeros((len(indices), longest, dim), np.float32),
            np.zeros((len(indices), longest), np.float32),
        )
        mask = np.zeros((len(indices), longest), bool)
        for k, r in enumerate(rows[m]):
            if r is not None:
                n = len(r[0])
                values[k, :n], times[k, :n], mask[k, :n] = r[0], r[1], np.isfinite(r[0]).any(1)
        out[m] = values, times, mask
    return out


def _cut(source: Any, item: Item, modality: str) -> Any:
    found = source.get(item.recording, modality)
    if found is None:
        return None
    values, clock = found
    part = slice(0, len(clock)) if item.whole else clock.window(item.start, item.stop)
    if part.start == part.stop:
        return None
    return values[part], (clock[part].times - item.start).astype(np.float32)


@pytest.mark.parametrize("noisy", [False, True])
def test_batches_equal_items_put_together_one_by_one(noisy: bool) -> None:
    source, first, second = Source(0), Source(1), Source(2)
    del second.found["a", "fast"]  # a noisy source that lacks what the clean one has
    groups = {"fast": [(0.3, [first]), (0.4, [first, second])], "slow": [(0.5, [second])]} if noisy else None
    targets = torch.arange(len(ITEMS))
    data = ItemData(ITEMS, source, Asked(targets), list(DIMS), noisy=groups)
    epoch = 3
    batches = loader(data, DIMS, batch=7, seed=5, epoch=lambda: epoch)
    seen = []
    for tokens, target, index, _ in batches:
        truth = one_by_one(data, source, index.tolist())
        for m in DIMS:
            for ours, theirs in zip(tokens[m], truth[m]):
                np.testing.assert_array_equal(ours.numpy(), theirs)
        assert target.tolist() == index.tolist()
        seen += index.tolist()
    assert sorted(seen) == list(range(len(ITEMS)))
    assert len(batches) == -(-len(ITEMS) // 7)
    again = [index.tolist() for _, _, index, _ in batches]
    epoch = 4
    assert [index.tolist() for _, _, index, _ in batches] != again


def test_without_a_seed_the_order_is_that_of_the_items() -> None:
    data = ItemData(ITEMS, Source(0), Asked(torch.zeros(len(ITEMS))), list(DIMS))
    batches = loader(data, {**DIMS, "other": 4}, batch=16)
    found = list(batches)
    assert [i for _, _, index, _ in found for i in index.tolist()] == list(range(len(ITEMS)))
    assert found[0][0]["other"].values.shape == (16, 0, 4), "a modality of the model that the data do not have"


def test_what_it_tells_of_its_items() -> None:
    source = Source(0)
    data = ItemData(ITEMS, source, Asked(torch.zeros(len(ITEMS))), list(DIMS))
    counts = {m: [len(c[0]) if (c := _cut(source, item, m)) else 0 for item in ITEMS] for m in DIMS}
    assert data.lengths == [a + b for a, b in zip(*counts.values())]
    assert data.typical_length("slow") == np.median([n for n in counts["slow"] if n])
    assert [len(f) for f in data.features("slow")] == [n for n in counts["slow"] if n]
    assert data.present("slow").tolist() == [n > 0 for n in counts["slow"]]
    assert data.regular() == {"fast"}
    assert not ItemData(ITEMS, Swapped(source, "slow", Source(9)), Asked(torch.zeros(9)), ["slow"]).present("slow")[-2]
