from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.evaluation.uncertainty.abstention import risk_coverage


@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 4))
def test_the_curve_is_the_risk_of_each_sure_part(seed, count, digits) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.dirichlet(np.ones(3), count).round(digits)
    target = rng.integers(0, 3, count)
    found = risk_coverage(scores, target)
    wrong, sure = scores.argmax(1) != target, scores.max(1)
    for place, risk in enumerate(found.risk):
        limit = np.sort(sure)[::-1][place]
        # At the last of equally sure items, the part is exactly those that are as sure or surer.
        if place + 1 == (sure >= limit).sum():
            assert risk == pytest.approx(wrong[sure >= limit].mean())
    assert found.risk[-1] == pytest.approx(found.chance)
    assert found.best <= found.area + 1e-12


def test_confidence_that_tells_nothing_has_the_area_of_chance() -> None:
    scores = np.full((50, 2), 0.5)
    target = np.arange(50) % 2
    assert risk_coverage(scores, target).area == pytest.approx(0.5)
