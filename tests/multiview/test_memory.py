"""The memory of embeddings: neighbours against naive loops, what is kept, and what was not there."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from plait.multiview.memory import Memory


def filled(groups, spaces=2, width=3, seed=0, but=()):
    """A memory in which every item was kept once, but some."""
    memory = Memory(torch.tensor(groups), spaces, width)
    rng = torch.Generator().manual_seed(seed)
    there = torch.ones(spaces, len(groups), dtype=torch.bool)
    there[:, list(but)] = False
    memory.keep(range(spaces), torch.arange(len(groups)), torch.randn(spaces, len(groups), width, generator=rng), there)
    return memory


@given(st.lists(st.integers(0, 3), min_size=1, max_size=9), st.sets(st.integers(0, 8)), st.integers(0, 10**6))
def test_neighbours_are_the_nearest_of_each_group_among_all_that_were_seen(groups, unseen, seed):
    n = len(groups)
    memory = filled(groups, seed=seed, but=[i for i in unseen if i < n])
    alike = torch.einsum("snd,smd->nm", memory.kept, memory.kept).tolist()
    seen = [i for i in range(n) if i not in unseen]

    def chooses(i, j):
        others = [k for k in seen if groups[k] == groups[j] and k != i]
        return i in seen and j in others and all(alike[i][j] >= alike[i][k] for k in others)

    items = [i for i in range(n) if (i + seed) % 3][::-1]
    expected = [[chooses(i, j) for j in items] for i in items]
    assert memory.neighbours(torch.tensor(items, dtype=torch.long)).tolist() == expected


def test_it_keeps_the_last_of_length_1_of_what_was_there():
    memory = Memory(torch.tensor([0, 1]), 2, 2)
    there = torch.tensor([[True, False]])
    for value in ([3.0, 0.0], [0.0, 5.0]):
        memory.keep([1], torch.tensor([0, 1]), torch.tensor([[value, value]]), there)
    assert memory.kept.tolist() == [[[0, 0], [0, 0]], [[0, 1], [0, 0]]]


def test_items_of_which_nothing_was_seen_have_no_neighbours():
    assert not Memory(torch.tensor([0, 1, 2]), 1, 2).neighbours(torch.arange(3)).any()
