"""Redundant and unique information of two sources about a third variable.

Bertschinger, Rauh, Olbrich, Jost & Ay 2014, "Quantifying unique information" (Entropy 16): of all joint distributions
in which each source has the same relation to the target, that of least information of both together about the target.
What it still has is what the sources tell redundantly or uniquely; the rest of the true information is synergy.

The minimum is found by alternating projections (Csiszár & Tusnády 1984, "Information geometry and alternating
minimization procedures"): given the mean over the target, each of its values gets the nearest joint distribution with
the right marginals (iterative proportional fitting); given these, their mean is taken anew. Both sets are convex, so it
converges to the minimum.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from plait.evaluation.intervals import Floats

__all__ = ["Union", "information", "union_information"]

TINY = 1e-300


class Union(NamedTuple):
    """Attributes:
    bits: the least information of both sources about the target.
    joint: the mean joint distribution of the sources there, [first, second]: a start for a similar problem.
    """

    bits: float
    joint: Floats


def information(table: Floats) -> float:
    """Mutual information of rows and columns, in bits.

    Args:
        table: a joint distribution, [rows, columns].

    >>> information(np.eye(4) / 4)
    2.0
    """
    apart = table.sum(1, keepdims=True) * table.sum(0, keepdims=True)
    seen = table > 0
    return float((table[seen] * np.log2(table[seen] / apart[seen])).sum())


def union_information(
    first: Floats, second: Floats, start: Floats | None = None, *, rounds: int = 2000, tolerance: float = 1e-6
) -> Union:
    """The least information that both sources together can have about the target.

    Args:
        first: joint distribution of the first source and the target, [states, values].
        second: of the second source and the target, [states, values]; with the same distribution of the target.
        start: ``joint`` of a similar problem.
        rounds: most rounds.
        tolerance: bits by which a round may still improve the result when it ends.

    >>> copy = np.eye(2) / 2
    >>> round(union_information(copy, copy).bits, 4)
    1.0
    """
    value = first.sum(0)
    known = value > 0
    one, two, value = (first[:, known] / value[known]).T, (second[:, known] / value[known]).T, value[known]
    joint = first.sum(1)[:, None] * second.sum(1) if start is None else np.maximum(start, 1e-12)
    bits, right = np.inf, np.ones_like(two)
    for _ in range(rounds):
        each, right = _fitted(joint, one, two, right)
        joint = np.einsum("v,vab->ab", value, each)
        before, bits = bits, _bits(each, joint, value)
        if before - bits < tolerance:
            break
    return Union(bits, joint)


def _fitted(joint: Floats, one: Floats, two: Floats, right: Floats, rounds: int = 100) -> tuple[Floats, Floats]:
    """The distributions nearest to ``joint`` with the marginals ``one`` and ``two``, [values, first, second]; and the
    factors of their columns, [values, second], from which the next search begins."""
    across = right @ joint.T
    for _ in range(rounds):
        left = one / np.maximum(across, TINY)
        right = two / np.maximum(left @ joint, TINY)
        across = right @ joint.T
        # After the columns were fitted the rows are off by so much.
        if np.abs(left * across - one).max() < 1e-8:
            break
    return left[:, :, None] * joint * right[:, None, :], right


def _bits(each: Floats, joint: Floats, value: Floats) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(each > 0, each * np.log2(each / np.maximum(joint, TINY)), 0.0)
    return float((value * ratio.sum((1, 2))).sum())
