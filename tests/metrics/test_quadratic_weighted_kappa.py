"""Weighted kappa, against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.metrics.quadratic_weighted_kappa import QuadraticWeightedKappa

sk = pytest.importorskip("sklearn.metrics")


@given(st.integers(2, 5), st.integers(1, 60), st.integers(0, 10**6))
def test_it_is_that_of_scikit_learn(classes: int, items: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    target, scores = rng.integers(0, classes, items), rng.dirichlet(np.ones(classes), items)
    found = QuadraticWeightedKappa()(target, scores)
    if len({*target.tolist(), *scores.argmax(1).tolist()}) == 1:
        assert math.isnan(found)
    else:
        guess = scores.argmax(1)
        wanted = sk.cohen_kappa_score(target, guess, weights="quadratic", labels=list(range(classes)))
        assert found == pytest.approx(wanted)
