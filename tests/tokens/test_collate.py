from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from plait.tokens.collate import Ragged, Rows, pad
from plait.tokens.sampler import LengthBatches


def rows(n: int, dim: int = 2) -> Rows:
    return Rows(np.arange(n * dim, dtype=np.float32).reshape(n, dim), np.arange(n, dtype=np.float32) / 10)


@given(st.lists(st.one_of(st.none(), st.integers(0, 6)), min_size=1, max_size=5))
def test_padding_keeps_every_value_and_time(lengths: list[int | None]) -> None:
    given_rows = [None if n is None else rows(n) for n in lengths]
    tokens = pad(given_rows, 2)
    assert tokens.values.shape == (len(lengths), max((n or 0) for n in lengths), 2)
    for i, row in enumerate(given_rows):
        kept = tokens.mask[i]
        assert int(kept.sum()) == (0 if row is None else len(row.times))
        if row is not None:
            np.testing.assert_array_equal(tokens.values[i][kept], row.values)
            np.testing.assert_array_equal(tokens.times[i][kept], row.times)


def test_a_row_of_nan_is_masked_and_a_single_nan_is_not() -> None:
    given_rows = rows(3)
    given_rows.values[0] = np.nan
    given_rows.values[1, 0] = np.nan
    assert pad([given_rows], 2).mask.tolist() == [[False, True, True]]


def naive(rows_of: list[Rows | None], dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The plain loop."""
    longest = max((len(r.times) for r in rows_of if r is not None), default=0)
    values = np.zeros((len(rows_of), longest, dim), np.float32)
    times = np.zeros((len(rows_of), longest), np.float32)
    mask = np.zeros((len(rows_of), longest), bool)
    for i, row in enumerate(rows_of):
        if row is not None:
            n = len(row.times)
            values[i, :n], times[i, :n] = row
            mask[i, :n] = np.isfinite(values[i, :n]).any(1)
    return values, times, mask


@st.composite
def cuts(draw: st.DrawFn) -> tuple[list[Rows | None], int]:
    """Items of one array with a zero row, of one without, or each of its own; some missing, some with holes."""
    dim, seed = draw(st.integers(1, 4)), draw(st.integers(0, 99))
    rng = np.random.default_rng(seed)
    kind = draw(st.sampled_from(["pack", "film", "apart", "columns"]))
    film = rng.normal(size=(30, 2 * dim)).astype(np.float32)
    film = film[:, :dim] if kind == "columns" else np.ascontiguousarray(film[:, :dim])
    film[rng.random(film.shape) < 0.3] = np.nan
    if kind == "pack":
        film[0] = 0
    items: list[Rows | None] = []
    for first, n in draw(st.lists(st.tuples(st.integers(1, 20), st.integers(-1, 9)), min_size=1, max_size=7)):
        values = film[first : first + n].copy() if kind == "apart" else film[first : first + n]
        items.append(None if n < 0 else Rows(values, rng.normal(size=n).astype(np.float32)))
    return items, dim


@given(cuts(), st.data())
def test_any_batch_equals_the_plain_loop(made: tuple[list[Rows | None], int], data: st.DataObject) -> None:
    items, dim = made
    ragged = Ragged(items)
    index = data.draw(st.lists(st.integers(0, len(items) - 1), min_size=1, max_size=6))
    others = {
        k: Rows(np.full((n, dim), value, np.float32), np.arange(n, dtype=np.float32))
        for k in range(len(index))
        for n, value in [data.draw(st.tuples(st.integers(0, 12), st.sampled_from([1.0, np.nan])))]
        if data.draw(st.booleans())
    }
    for instead in ({}, others, {}):  # the second time, every item has been looked at
        found = ragged.pad(index, dim, instead)
        truth = naive([instead.get(k, items[i]) for k, i in enumerate(index)], dim)
        for ours, theirs in zip(found, truth):
            np.testing.assert_array_equal(ours.numpy(), theirs)
    assert len(ragged) == len(items)
    present = [row is not None and bool(np.isfinite(row.values).any()) for row in items]
    assert ragged.present().tolist() == present
    for i, row in enumerate(items):
        kept = ragged[i]
        if row is None or not len(row.times):
            assert kept is None
        else:
            assert kept is not None
            np.testing.assert_array_equal(kept.values, row.values)
            np.testing.assert_array_equal(kept.times, row.times)


def test_items_of_one_file_share_its_array() -> None:
    film = np.arange(60, dtype=np.float32).reshape(20, 3)
    film[0] = 0
    whole = np.frombuffer(film.tobytes(), np.float32).reshape(20, 3)  # as a mapped file is
    shared = Ragged(Rows(whole[a : a + 2], np.zeros(2, np.float32)) for a in (1, 5, 6))
    assert shared._flat is not None
    assert np.shares_memory(shared._flat, whole)
    apart = Ragged(Rows(whole[a : a + 2].copy(), np.zeros(2, np.float32)) for a in (1, 5, 6))
    assert apart._flat is None


def test_a_modality_that_no_item_has_is_an_empty_mask() -> None:
    batch = pad([None, None], 5)
    assert batch.values.shape == (2, 0, 5)
    assert batch.times.shape == batch.mask.shape == (2, 0)
    assert pad([rows(2), None], 2).present.tolist() == [True, False]


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
