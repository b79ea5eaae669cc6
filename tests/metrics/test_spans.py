"""Metrics of spans and of several labels: against scikit-learn, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.metrics.functional import average_precision
from plait.metrics.mean_average_precision import MeanAveragePrecision
from plait.metrics.segmental_f1 import SegmentalF1
from plait.metrics.spans import Span, runs


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=1, max_size=30))
def test_average_precision_is_scikit_learns(rows: list[tuple[bool, int]]) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    truth, score = np.array([r[0] for r in rows]), np.array([r[1] for r in rows], float)
    if truth.any():
        assert average_precision(truth, score) == pytest.approx(sklearn.average_precision_score(truth, score))
    else:
        assert math.isnan(average_precision(truth, score))


def test_segments_by_hand() -> None:
    truth = [Span(0, 0, 10, 0), Span(0, 20, 30, 1), Span(1, 0, 10, 0)]
    said = [
        Span(0, 0, 6, 0, 0.9),  # overlaps by .6
        Span(0, 6, 10, 0, 0.8),  # by .4
        Span(0, 20, 30, 0, 0.7),  # of another class
        Span(1, 1, 10, 0, 0.95),  # by .9
        Span(1, 0, 10, 0, 0.5),  # better, but the true one is taken in time by none before it
    ]
    assert SegmentalF1()(truth, said) == pytest.approx(2 * 2 / (3 + 5))
    assert SegmentalF1(overlap=0.7)(truth, said) == pytest.approx(2 * 1 / (3 + 5))
    # class 0: by confidence .95 (right), .9 (right), .8, .7, .5; class 1: nothing said
    assert MeanAveragePrecision()(truth, said) == pytest.approx((1.0 + 0.0) / 2)
    assert math.isnan(SegmentalF1()([], []))
    assert math.isnan(MeanAveragePrecision()([], said))
    assert SegmentalF1()(truth, []) == 0


@given(st.lists(st.booleans(), max_size=20))
def test_runs_cover_what_is_on(on: list[bool]) -> None:
    covered = np.zeros(len(on), np.bool_)
    for lo, hi in runs(np.array(on, np.bool_)):
        assert not covered[lo:hi].any()
        covered[lo:hi] = True
        assert hi == len(on) or not on[hi]
    assert covered.tolist() == on
