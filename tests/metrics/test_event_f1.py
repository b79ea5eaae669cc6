"""Event-based F1 against mir_eval's matching of notes, which is the same with one pitch."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.metrics.event_f1 import EventF1
from plait.metrics.spans import Span

notes = pytest.importorskip("mir_eval.transcription")

Events = list[tuple[int, int]]
EVENTS = st.lists(st.tuples(st.integers(0, 300), st.integers(5, 150)), min_size=1, max_size=8)


@given(EVENTS, EVENTS, st.sampled_from([0.1, 0.25]), st.sampled_from([0.0, 0.2, 0.5]))
def test_it_is_that_of_mir_eval(true: Events, said: Events, collar: float, length: float) -> None:
    sides = [np.array([[a / 100, (a + n) / 100] for a, n in side]) for side in (true, said)]
    pitch = [np.full(len(side), 440.0) for side in sides]
    wanted = notes.precision_recall_f1_overlap(
        sides[0], pitch[0], sides[1], pitch[1],
        onset_tolerance=collar, offset_ratio=length, offset_min_tolerance=collar,
    )[2]  # fmt: skip
    spans = [[Span(0, a, b, 0) for a, b in side] for side in sides]
    assert EventF1(collar=collar, length=length)(*spans) == pytest.approx(wanted)


def test_classes_count_alike_and_items_are_apart() -> None:
    true = [Span(0, 0, 1, 0), Span(0, 5, 6, 0), Span(1, 0, 1, 1)]
    said = [Span(0, 0.1, 1.1, 0), Span(1, 5, 6, 0), Span(1, 0, 1, 1), Span(1, 0, 1, 1)]
    assert EventF1()(true, said) == pytest.approx(np.mean([2 * 1 / (2 + 2), 2 * 1 / (1 + 2)]))
    assert EventF1()(true, []) == 0
    assert math.isnan(EventF1()([], said))
