from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from plait.core.errors import DataError
from plait.evaluation.contribution.shapley import game_of, interactions, shapley

games = st.integers(1, 5).flatmap(lambda n: arrays(np.float64, 2**n, elements=st.floats(-1e3, 1e3)))


@given(games)
def test_shares_add_up_and_are_the_mean_over_all_orders(game) -> None:
    found, n = shapley(game), len(game).bit_length() - 1
    assert found.sum() == pytest.approx(game[-1] - game[0], abs=1e-6)
    by_hand = np.zeros(n)
    orders = [*itertools.permutations(range(n))]
    for order in orders:
        mask = 0
        for player in order:
            by_hand[player] += (game[mask | 1 << player] - game[mask]) / len(orders)
            mask |= 1 << player
    np.testing.assert_allclose(found, by_hand, atol=1e-6)


@given(games)
def test_two_that_do_not_work_together_have_no_interaction(game) -> None:
    n = len(game).bit_length() - 1
    alone = np.arange(n) + 1.0
    additive = np.array([sum(alone[i] for i in range(n) if mask >> i & 1) for mask in range(2**n)])
    np.testing.assert_allclose(interactions(additive), 0, atol=1e-9)
    np.testing.assert_allclose(shapley(additive), alone, atol=1e-9)
    # Interactions are linear in the game, as Shapley values are.
    np.testing.assert_allclose(interactions(game + additive), interactions(game), atol=1e-6)


@pytest.mark.slow
def test_as_shapiq_has_them() -> None:
    shapiq = pytest.importorskip("shapiq")
    game, n = np.random.default_rng(0).normal(size=32), 5

    def value(coalitions):
        return game[(np.atleast_2d(coalitions).astype(int) * (1 << np.arange(n))).sum(1)]

    exact = shapiq.ExactComputer(value, n_players=n)
    np.testing.assert_allclose(shapley(game), exact("SV", 1).get_n_order_values(1), atol=1e-6)
    np.testing.assert_allclose(interactions(game), exact("SII", 2).get_n_order_values(2), atol=1e-6)


def test_a_subset_that_is_missing_gives_no_game() -> None:
    values = {("a",): np.array(1.0), ("b",): np.array(2.0), ("a", "b"): np.array(4.0)}
    assert game_of(values, ["a", "b"], np.array(0.0)).tolist() == [0.0, 1.0, 2.0, 4.0]
    assert game_of({("a", "b"): np.array(4.0)}, ["a", "b"], np.array(0.0)) is None


@pytest.mark.parametrize("size", [0, 1, 3, 2**17])
def test_a_game_has_a_value_for_each_subset(size) -> None:
    with pytest.raises(DataError, match="one for each subset"):
        shapley(np.zeros(size))
