"""Asynchronous successive halving (ASHA): much training for what does well after little.

Li, Jamieson, Rostamizadeh, Gonina, Ben-tzur, Hardt, Recht & Talwalkar 2020, "A system for massively parallel
hyperparameter tuning", MLSys (arXiv 1810.05934), algorithm 2. With several objectives the best are those of the first
fronts, as in Schmucker, Donini, Zafar, Salinas & Archambeau 2021, "Multi-objective asynchronous successive halving"
(arXiv 2106.12639); within a front the first objective decides, where they have an epsilon-net.
"""

from __future__ import annotations

from collections.abc import Container, Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from plait.evaluation.intervals import Floats

__all__ = ["front_of", "promotion", "rung_shares", "standing"]

Key = TypeVar("Key", bound=Hashable)
Costs = Sequence[float]
"""The objectives of a trial, each to be as small as possible."""


def rung_shares(rungs: int, eta: int) -> list[float]:
    """The share of the whole training that each rung gets.

    >>> rung_shares(3, 4)
    [0.0625, 0.25, 1.0]
    """
    return [float(eta) ** (k + 1 - rungs) for k in range(rungs)]


def front_of(costs: Floats) -> NDArray[np.bool_]:
    """Which rows of costs [n, objectives] no other row dominates: is nowhere worse than, and somewhere better.

    >>> front_of(np.array([[1.0, 3.0], [2.0, 2.0], [2.0, 3.0]])).tolist()
    [True, True, False]
    """
    a, b = costs[:, None], costs[None]
    return np.asarray(~((a >= b).all(-1) & (a > b).any(-1)).any(-1))


def standing(costs: Floats) -> list[int]:
    """Rows of costs [n, objectives] from best to worst: by front (Deb et al. 2002), then by the first objective.

    >>> standing(np.array([[0.3, 1.0], [0.1, 9.0], [0.2, 2.0], [0.4, 3.0]]))
    [1, 2, 0, 3]
    """
    order, left = list[int](), np.arange(len(costs))
    while len(left):
        first = front_of(costs[left])
        front = left[first]
        order += front[np.argsort(costs[front, 0], kind="stable")].tolist()
        left = left[~first]
    return order


def promotion(
    ladder: Sequence[Mapping[Key, Costs]], eta: int, *, busy: Container[Key] = (), ended: bool = False
) -> tuple[Key, int] | None:
    """The trial to train on, and its next rung; None: none has earned it, a new one is to be begun.

    Of the trials of a rung the best ``1 / eta`` may go on; those of the highest rung go first.

    Args:
        ladder: per rung, from the lowest: the costs of the trials that have been there; infinite: it failed.
        eta: of how many one goes on.
        busy: trials that are being trained on.
        ended: no new trial will be begun. Then the best one goes on from a rung whose next one is empty, so that some
            trial is trained to the end however few they are.
    """
    for rung in reversed(range(len(ladder) - 1)):
        for key in _best(ladder[rung], len(ladder[rung]) // eta):
            if key not in ladder[rung + 1] and key not in busy:
                return key, rung + 1
    for rung, here in enumerate(ladder[:-1] if ended else []):
        if not ladder[rung + 1] and (best := _best(here, 1)):
            return best[0], rung + 1
    return None


def _best(here: Mapping[Key, Costs], count: int) -> list[Key]:
    keys = [key for key, costs in here.items() if np.isfinite(costs).all()]
    return [keys[i] for i in standing(np.array([here[key] for key in keys]))[:count]]
