from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.examples.collate import Ragged, Rows, pad
from plait.examples.sampler import LengthBatches


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


@pytest.mark.slow
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


@settings(deadline=None)  # torch's first backward takes a second
@given(st.lists(st.tuples(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.booleans()), min_size=2, max_size=12))
def test_what_is_held_of_a_batch_is_never_written_over(steps: list[tuple[list[int], bool]]) -> None:
    """A part of it is enough: a view, an array made of it, what autograd keeps."""
    film = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    film[0] = 0
    ragged = Ragged(Rows(film[1 + 9 * i : 1 + 9 * i + 4 + i], np.zeros(4 + i, np.float32)) for i in range(6))
    held: list[tuple[np.ndarray, np.ndarray]] = []
    weight = torch.ones(3, requires_grad=True)
    sums, expected = [], torch.zeros(3)
    for index, keep in steps:
        values = ragged.pad(index, 3).values
        if keep:
            held.append((values[-1:].numpy(), values[-1:].numpy().copy()))
            sums.append((values * weight).sum())
            expected = expected + values.sum((0, 1))
        del values
    for found, before in held:
        np.testing.assert_array_equal(found, before)
    if sums:
        torch.stack(sums).sum().backward()  # reads the values that it saved
        torch.testing.assert_close(weight.grad, expected, rtol=1e-4, atol=1e-5)


def test_memory_of_a_batch_that_is_gone_is_lent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ragged, made, empty = Ragged([rows(300, 40), rows(200, 40)]), list[int](), np.empty
    monkeypatch.setattr(np, "empty", lambda size, *rest: made.append(size) or empty(size, *rest))
    for _ in range(5):
        ragged.pad([0, 1], 40)
    assert len(made) == 1
    both = [ragged.pad([0, 1], 40), ragged.pad([0, 1], 40)]
    assert len(made) == len(both)


def test_items_that_share_rows_keep_their_own_times() -> None:
    """Windows that overlap count the time of a row each from its own start."""
    film = np.arange(20, dtype=np.float32).reshape(10, 2)
    film[0] = 0
    ragged = Ragged(
        [Rows(film[2:5], np.array([0, 1, 2], np.float32)), Rows(film[3:6], np.array([0, 1, 2], np.float32))]
    )
    apart = Ragged([Rows(film[2:4], np.array([0, 1], np.float32)), Rows(film[4:6], np.array([5, 6], np.float32))])
    assert ragged.pad([1, 0], 2).times.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert apart.pad([1, 0], 2).times.tolist() == [[5, 6], [0, 1]]
    first = Ragged([Rows(film[:2], np.array([7, 8], np.float32)), Rows(film[4:5], np.array([0], np.float32))])
    assert first.pad([0, 1], 2).times.tolist() == [[7, 8], [0, 0]]
    assert [rows.times.tolist() for rows in (apart[0], apart[1]) if rows] == [[0, 1], [5, 6]]
