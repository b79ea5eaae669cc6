"""The most likely path through candidates, in overlapping pieces of bounded length, all pieces at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["best_path"]

Array = NDArray[np.float32]

FEWEST = np.float32(-30.0)
"""Logarithm of a negligible probability."""

AT_ONCE = 256
"""Pieces per batch."""


def best_path(
    place: Array, weight: Array, none: Array, *, widest: float, switch: float, piece: int, margin: int
) -> NDArray[np.int64]:
    """The candidate that the most likely path takes at each instant, [n]; -1: none of them.

    A hidden Markov model over the candidates of each instant and a state without candidate. Paths change between the
    two with probability ``switch``; the probability of a move falls linearly with its distance to 0 at ``widest``. The
    Viterbi algorithm runs over pieces of ``piece`` instants with ``margin`` more on either side, so that no choice
    depends on anything further away than both together.

    Args:
        place: [n, k], place of each candidate; NaN: there is none.
        weight: [n, k], log probability of each; none: [n], of the state without candidate.

    >>> place = np.array([[1.0, 5.0], [1.1, 5.0], [5.0, 1.2]], np.float32)
    >>> weight = np.log(np.array([[0.5, 0.4], [0.4, 0.5], [0.5, 0.4]], np.float32))
    >>> best_path(place, weight, np.full(3, -9.0), widest=2.0, switch=0.01, piece=9, margin=3).tolist()
    [1, 1, 0]
    """
    n, k = place.shape
    weight = np.concatenate([np.where(np.isnan(place), -np.inf, weight), none[:, None]], 1).astype(np.float32)
    starts = np.arange(0, n, piece)
    chosen = np.full(n, -1, np.int64)
    for lo in range(0, len(starts), AT_ONCE):
        begin = starts[lo : lo + AT_ONCE]
        rows = begin[:, None] - margin + np.arange(piece + 2 * margin)
        path = _viterbi(np.nan_to_num(place), weight, rows, widest, switch)
        inside = rows[:, margin : margin + piece]
        real = inside < n
        chosen[inside[real]] = path[:, margin : margin + piece][real]
    return np.where(chosen == k, -1, chosen)


def _viterbi(place: Array, weight: Array, rows: NDArray[np.int64], widest: float, switch: float) -> NDArray[np.int64]:
    """States [pieces, length] of the best path of each piece; rows outside the stream are ignored."""
    n, states = weight.shape
    real = (rows >= 0) & (rows < n)
    at = np.clip(rows, 0, max(n - 1, 0))
    stay, change = np.float32(np.log1p(-switch)), np.float32(np.log(switch))
    came = np.zeros((rows.shape[1], len(rows), states), np.int8)
    score = np.zeros((len(rows), states), np.float32)
    moves = np.full((len(rows), states, states), change, np.float32)
    moves[:, -1, -1] = stay
    identity = np.arange(states, dtype=np.int8)
    first = np.argmax(real, 1)
    for t in range(rows.shape[1]):
        now, here = at[:, t], real[:, t]
        if t:
            apart = np.abs(place[now][:, None, :] - place[at[:, t - 1]][:, :, None])
            # Not minus infinity: a path over an impossible move is still better than none.
            moves[:, :-1, :-1] = stay + np.maximum(np.log(np.maximum(1 - apart / widest, 1e-13)), FEWEST)
            options = score[:, :, None] + moves
            come = np.argmax(options, 1)
            reached = np.take_along_axis(options, come[:, None], 1)[:, 0]
            go = here & (t > first)
            came[t] = np.where(go[:, None], come, identity)
            score = np.where(go[:, None], reached, score)
        score = np.where(here[:, None], score + weight[now], score)
    path = np.empty(rows.shape, np.int64)
    state = np.argmax(score, 1)
    everyone = np.arange(len(rows))
    for t in range(rows.shape[1] - 1, -1, -1):
        path[:, t] = state
        state = came[t, everyone, state]
    return path
