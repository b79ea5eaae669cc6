"""The likelihood of texts in the order of time, against the sum over all paths."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch

from plait.decoders.autoregressive import Memory
from plait.tasks.in_order import InOrder
from plait.tasks.places import Places


def places(values: torch.Tensor, mask: list[list[int]], times: list[list[float]], sources: list[list[int]]) -> Places:
    return Places(Memory(values, torch.tensor(mask) > 0), torch.tensor(times), torch.tensor(sources))


def by_paths(logs: np.ndarray, text: list[int]) -> float:
    """Minus the logarithm of the sum over all paths that collapse to a text, per token."""
    total = 0.0
    for path in itertools.product(range(logs.shape[1]), repeat=len(logs)):
        if [k for k, _ in itertools.groupby(path) if k] == text:
            total += math.exp(sum(logs[i, k] for i, k in enumerate(path)))
    return -math.log(total) / max(1, len(text))


def test_it_is_the_sum_over_all_paths_of_each_source() -> None:
    torch.manual_seed(0)
    order = InOrder(4, 2)
    # Source 1 comes in two pieces whose times are not in order; one place of it is hidden.
    values = torch.randn(1, 7, 4)
    given = places(values, [[1, 1, 1, 0, 1, 1, 1]], [[2.0, 3.0, 0.0, 1.0, 0.5, 1.5, 2.5]], [[1, 1, 1, 1, 0, 0, 0]])
    logs = order.read(values[0]).log_softmax(-1).detach().double().numpy()
    for text in ([1, 2], [2], [1, 1], []):
        row = torch.tensor([[*text, -1, 9]])[:, : len(text) + 1]
        found = order.nll(given, row, torch.tensor([0])).item()
        want = np.mean([by_paths(logs[[2, 0, 1]], text), by_paths(logs[[4, 5, 6]], text)])
        assert abs(found - want) < 1e-4, text
    # A token above the inventory is left out.
    both = order.nll(given, torch.tensor([[1, 9, 2], [1, 2, -1]]), torch.tensor([0, 0]))
    torch.testing.assert_close(both[0], both[1])


def test_what_is_too_long_teaches_nothing_and_items_are_their_own() -> None:
    order = InOrder(4, 2)
    values = torch.randn(2, 3, 4)
    given = places(values, [[1, 0, 0], [1, 1, 1]], [[0.0, 1.0, 2.0]] * 2, [[0, 0, 0]] * 2)
    found = order.nll(given, torch.tensor([[1, 2], [1, 2]]), torch.tensor([0, 1]))
    assert found[0] == 0
    assert found[1] > 0
    found.sum().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in order.parameters())
    alone = order.nll(
        Places(Memory(values[1:], torch.ones(1, 3) > 0), given.times[1:], given.sources[1:]),
        torch.tensor([[1, 2]]),
        torch.tensor([0]),
    )
    torch.testing.assert_close(found[1:], alone)
