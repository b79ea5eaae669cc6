from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from plait.evaluation.contribution.broja import information, union_information


def parts(joint):
    """Redundancy, unique parts and synergy of a distribution [first, second, target]."""
    one, two = joint.sum(1), joint.sum(0)
    union = union_information(one, two).bits
    own, other, both = information(one), information(two), information(joint.reshape(-1, joint.shape[2]))
    return np.array([own + other - union, union - other, union - own, both - union])


def of(rule, size=2):
    joint = np.zeros((2, 2, size))
    for a, b in np.ndindex(2, 2):
        joint[a, b, rule(a, b)] = 0.25
    return joint


@pytest.mark.parametrize(
    ("joint", "expected"),
    [
        (of(lambda a, b: a ^ b), [0, 0, 0, 1]),
        # Bertschinger et al. 2014, section 4: AND shares .311 bits, and half a bit is synergy.
        (of(lambda a, b: a & b), [0.3113, 0, 0, 0.5]),
        (of(lambda a, b: 2 * a + b, 4), [0, 1, 1, 0]),
        (of(lambda a, b: a), [0, 1, 0, 0]),
        (np.einsum("ab,bc->abc", np.eye(4), np.eye(4)) / 4, [2, 0, 0, 0]),
    ],
    ids=["xor", "and", "two bits", "first", "copy"],
)
def test_known_distributions(joint, expected) -> None:
    np.testing.assert_allclose(parts(joint), expected, atol=1e-3)


@given(st.integers(0, 10**6))
@settings(max_examples=15)
def test_no_distribution_with_these_marginals_has_less(seed) -> None:
    rng = np.random.default_rng(seed)
    joint = rng.dirichlet(np.full(8, 0.5)).reshape(2, 2, 2)
    one, two = joint.sum(1), joint.sum(0)
    value = one.sum(0)
    # Of two states there is one free number for each value of the target: a plain search is exact.
    low = np.maximum(0, one[0] + two[0] - value)
    high = np.minimum(one[0], two[0])

    def bits(share):
        corner = low + share * (high - low)
        found = np.array([[corner, one[0] - corner], [two[0] - corner, value - one[0] - two[0] + corner]])
        return information(np.maximum(found, 0).reshape(4, 2))

    starts = [bits(minimize(bits, x, bounds=[(0, 1)] * 2).x) for x in ([0.5, 0.5], [0.1, 0.9], [0.9, 0.1])]
    assert union_information(one, two).bits == pytest.approx(min(starts), abs=2e-3)


def test_a_start_of_a_similar_problem_gives_the_same() -> None:
    joint = np.random.default_rng(1).dirichlet(np.ones(36)).reshape(3, 4, 3)
    anew = union_information(joint.sum(1), joint.sum(0))
    again = union_information(joint.sum(1), joint.sum(0), anew.joint)
    assert again.bits == pytest.approx(anew.bits, abs=1e-4)
