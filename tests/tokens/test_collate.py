from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from plait.tokens.collate import collate, pad
from plait.tokens.sampler import LengthBatches


def rows(n: int, dim: int = 2) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(n * dim, dtype=np.float32).reshape(n, dim), np.arange(n, dtype=np.float32) / 10


@given(st.lists(st.one_of(st.none(), st.integers(0, 6)), min_size=1, max_size=5))
def test_padding_keeps_every_value_and_time(lengths: list[int | None]) -> None:
    given_rows = [None if n is None else rows(n) for n in lengths]
    tokens = pad(given_rows, 2)
    assert tokens.values.shape == (len(lengths), max((n or 0) for n in lengths), 2)
    for i, row in enumerate(given_rows):
        kept = tokens.mask[i]
        assert int(kept.sum()) == (0 if row is None else len(row[0]))
        if row is not None:
            np.testing.assert_array_equal(tokens.values[i][kept], row[0])
            np.testing.assert_array_equal(tokens.times[i][kept], row[1])


def test_a_row_of_nan_is_masked_and_a_single_nan_is_not() -> None:
    values, times = rows(3)
    values[0] = np.nan
    values[1, 0] = np.nan
    assert pad([(values, times)], 2).mask.tolist() == [[False, True, True]]


def test_a_modality_that_no_item_has_is_an_empty_mask() -> None:
    batch = collate([{"a": rows(2)}, {"a": None}], {"a": 2, "b": 5})
    assert batch["b"].values.shape == (2, 0, 5)
    assert batch["a"].present.tolist() == [True, False]


@given(st.lists(st.integers(1, 100), min_size=1, max_size=60), st.integers(1, 9), st.integers(0, 5))
def test_every_item_is_drawn_once_an_epoch(lengths: list[int], batch: int, epoch: int) -> None:
    sampler = LengthBatches(lengths, batch=batch, seed=3, epoch=lambda: epoch)
    found = list(sampler)
    assert sorted(i for b in found for i in b) == list(range(len(lengths)))
    assert len(found) == len(sampler)
    assert all(len(b) <= batch for b in found)


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[list[int]]:
        torch.rand(3)
        return list(LengthBatches(list(range(50)), batch=4, seed=seed, epoch=lambda: epoch))

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)


def test_batches_of_like_length_pad_less_than_random_ones() -> None:
    lengths = np.random.default_rng(0).integers(1, 200, 512)
    batches = list(LengthBatches(lengths.tolist(), batch=16, seed=0))
    padded = sum(len(b) * max(lengths[b]) for b in batches)
    order = np.random.default_rng(1).permutation(512).reshape(-1, 16)
    assert padded < 0.75 * sum(16 * max(lengths[b]) for b in order)
