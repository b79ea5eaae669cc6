"""Shapes that signatures state are checked in the tests, and nothing else is."""

from __future__ import annotations

import inspect

import pytest
import torch
from jaxtyping import Float, TypeCheckError, jaxtyped
from torch import Tensor

from plait.encoders import Encoder
from plait.testing.shapes import checked, sampled
from plait.tokens.tokens import whole


def _mean(values: Float[Tensor, "batch time"], axis: str = "") -> Float[Tensor, " batch"]:
    return values.mean(int(axis))


def test_arrays_are_checked_and_nothing_else():
    pytest.importorskip("beartype")
    mean = jaxtyped(_mean, typechecker=checked)
    assert mean(torch.ones(3, 2), 1).tolist() == [1.0] * 3
    with pytest.raises(TypeCheckError, match="return value"):
        mean(torch.ones(3, 2), 0)
    with pytest.raises(TypeCheckError, match="parameters"):
        mean(torch.ones(3), 0)


def test_the_first_calls_are_checked_and_then_one_of_many():
    mean = sampled(_mean, first=2, every=5)
    wrong = [n for n in range(11) if _refused(mean)]
    assert wrong == [0, 1, 5, 10]


def _refused(function):
    try:
        function(torch.ones(3, 2), 0)
    except TypeCheckError:
        return True
    return False


def test_nothing_is_wrapped_that_states_no_array():
    def plain(a: int) -> int:
        return a

    assert sampled(plain) is plain
    assert sampled(Encoder) is Encoder


def test_the_packages_are_checked_while_tests_run():
    assert inspect.unwrap(whole) is not whole
