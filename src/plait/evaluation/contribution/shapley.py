"""Exact Shapley values and interactions of modalities, from the values of all their subsets.

Shapley 1953, "A value for n-person games"; of pairs: the interaction index of Grabisch & Roubens 1999, "An axiomatic
approach to the concept of interaction among players in cooperative games" (Int. J. Game Theory 28), equation 1.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from plait.core.errors import DataError
from plait.evaluation.intervals import Floats

__all__ = ["MOST", "game_of", "interactions", "shapley"]

MOST = 16
"""More players than this would have more subsets than anyone can evaluate."""


def game_of(values: Mapping[tuple[str, ...], Floats], players: Sequence[str], empty: Floats) -> Floats | None:
    """The values of all subsets by bit mask, [2 ** players, ...]; None if a subset is missing.

    Bit ``i`` of an index tells whether player ``i`` is in the subset.

    Args:
        values: of each subset that is not empty, its players in order.
        players: their names, in order.
        empty: the value of no player.

    >>> game_of({("a",): np.array(1.0)}, ["a"], np.array(0.0)).tolist()
    [0.0, 1.0]
    """
    subsets = [tuple(p for i, p in enumerate(players) if mask >> i & 1) for mask in range(1, 2 ** len(players))]
    if any(subset not in values for subset in subsets):
        return None
    return np.stack([empty, *(values[subset] for subset in subsets)])


def shapley(game: Floats) -> Floats:
    """How much each player adds to a subset, mean over all orders in which players may join: [players, ...].

    They add up to the value of all players less that of none.

    Args:
        game: from `game_of`, [2 ** players, ...].

    Raises:
        DataError: the number of values is no power of two, or above 2 ** 16.

    >>> shapley(np.array([0.0, 1.0, 1.0, 4.0])).tolist()
    [2.0, 2.0]
    """
    count = _players(game)
    found = np.zeros((count, *game.shape[1:]))
    for mask, player in itertools.product(range(len(game)), range(count)):
        if not mask >> player & 1:
            found[player] += _weight(mask.bit_count(), count) * (game[mask | 1 << player] - game[mask])
    return found


def interactions(game: Floats) -> Floats:
    """How much more two players add together than each alone, mean over the others' orders: [players, players, ...].

    Above 0: they complement each other (synergy); below 0: one can stand for the other (redundancy). Symmetric, with
    zeros on the diagonal.

    Args:
        game: from `game_of`, [2 ** players, ...].

    Raises:
        DataError: as `shapley`.

    >>> interactions(np.array([0.0, 1.0, 1.0, 1.0]))[0, 1]
    np.float64(-1.0)
    """
    count = _players(game)
    found = np.zeros((count, count, *game.shape[1:]))
    for a, b in itertools.combinations(range(count), 2):
        one, other = 1 << a, 1 << b
        for mask in range(len(game)):
            if not mask & (one | other):
                gain = game[mask | one | other] - game[mask | one] - game[mask | other] + game[mask]
                found[a, b] += _weight(mask.bit_count(), count - 1) * gain
        found[b, a] = found[a, b]
    return found


def _weight(size: int, players: int) -> float:
    """The share of orders in which a player comes right after the players of a subset."""
    return 1 / (players * math.comb(players - 1, size))


def _players(game: Floats) -> int:
    count = len(game).bit_length() - 1
    if len(game) != 2**count or not 1 <= count <= MOST:
        raise DataError(
            f"a game of {len(game)} values; expected one for each subset of 1 to {MOST} modalities, the empty one too."
        )
    return count
