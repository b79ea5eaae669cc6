"""Ranks of retrieval against naive loops."""

from __future__ import annotations

import numpy as np
import pytest

from plait.core.errors import DataError
from plait.metrics.median_rank import MedianRank, ReverseMedianRank
from plait.metrics.pairs import ranks_of
from plait.metrics.recall import RecallAt5, ReverseRecallAt1


def naive(groups: np.ndarray, ask: np.ndarray, answer: np.ndarray) -> list[int]:
    """Rows of the index are compared one by one; equal ones of a group are one."""
    rows: list[tuple[int, np.ndarray]] = []
    for group, row in zip(groups, answer):
        if not any(g == group and np.allclose(row, other, atol=1e-6) for g, other in rows):
            rows.append((group, row))
    asked: list[tuple[int, np.ndarray]] = []
    for group, query in zip(groups, ask):
        if not any(g == group and np.allclose(query, other, atol=1e-6) for g, other in asked):
            asked.append((group, query))
    found = []
    for group, query in asked:
        best = max(float(query @ row) for g, row in rows if g == group)
        found.append(1 + sum(float(query @ row) >= best for g, row in rows if g != group))
    return found


def pairs(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Twelve pictures of three captions each: the rows of the index repeat."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(12), 3)
    pictures = rng.standard_normal((12, 6))[groups]
    return groups, np.stack([pictures + rng.standard_normal((36, 6)), pictures], 1)


def test_both_directions_are_those_of_naive_loops() -> None:
    groups, found = pairs()
    assert ranks_of(groups, found).tolist() == naive(groups, found[:, 0], found[:, 1])
    back = ranks_of(groups, found, reverse=True)
    assert back.tolist() == naive(groups, found[:, 1], found[:, 0])
    assert len(back) == 12, "one query per picture, not one per caption"


def test_equal_rows_of_one_group_count_once_even_if_rounded_otherwise() -> None:
    groups, found = pairs()
    rounded = found.copy()
    rounded[::3, 1] += 1e-7
    assert ranks_of(groups, rounded).tolist() == ranks_of(groups, found).tolist()


def test_embeddings_that_are_all_the_same_are_the_worst() -> None:
    same = np.ones((9, 2, 4))
    assert RecallAt5()(np.arange(9), same) == 0.0
    assert MedianRank()(np.arange(9), same) == ReverseMedianRank()(np.arange(9), same) == 9.0


def test_recall_counts_a_hit_of_any_row_of_the_group() -> None:
    found = np.zeros((4, 2, 3))
    found[:, 0], found[:, 1] = np.eye(3)[[0, 0, 1, 1]], np.eye(3)[[0, 2, 1, 2]]
    assert ReverseRecallAt1()(np.array([0, 0, 1, 1]), found) == 0.5


def test_shapes_that_do_not_fit_are_told() -> None:
    with pytest.raises(DataError, match=r"expected \[rows\] and \[rows, 2, width\]"):
        ranks_of(np.arange(3), np.zeros((3, 4)))
