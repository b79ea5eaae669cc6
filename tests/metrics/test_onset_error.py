"""How far onsets are off."""

from __future__ import annotations

import math

import pytest

from plait.metrics.onset_error import OnsetError
from plait.metrics.spans import Span


def test_it_is_the_mean_over_what_is_found() -> None:
    true = [Span(0, 1.0, 3.0, 0), Span(0, 5.0, 6.0, 0), Span(1, 2.0, 4.0, 1)]
    said = [Span(0, 1.25, 3.0, 0), Span(0, 9.0, 9.5, 0), Span(1, 1.9, 4.0, 1), Span(1, 2.0, 4.0, 0)]
    assert OnsetError()(true, said) == pytest.approx(1000 * (0.25 + 0.1) / 2)


def test_nothing_found_is_no_error() -> None:
    assert math.isnan(OnsetError()([Span(0, 1.0, 2.0, 0)], [Span(0, 1.8, 4.0, 0)]))
