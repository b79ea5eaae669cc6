"""Shapes that signatures state are checked where one asks for it (PLAIT_SHAPES), and nothing else is."""

from __future__ import annotations

import pytest
import torch
from jaxtyping import Float, TypeCheckError, jaxtyped
from torch import Tensor

from plait.testing.shapes import checked


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
