"""Activity signals peak where the strokes are, whatever the kind, and need no more than blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from plait.clocks.signals import RATE, activity
from plait.core.errors import DataError
from plait.streams.stream import Stream

KINDS = ["waveform", "series", "pose", "frames", "words"]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_most_active_at_the_strokes(kind: str, strokes: Any, seen_by: Any) -> None:
    rng = np.random.default_rng(3)
    at = strokes(rng, 45.0)
    act = activity(seen_by(kind, at, 45.0, rng))
    lags = np.arange(-0.1, 0.1005, 0.0005)
    strength = [np.interp(at + lag, act.clock.times, act.values).mean() for lag in lags]
    assert abs(lags[int(np.argmax(strength))]) < 0.004
    assert max(strength) > 1.5
    assert abs(act.values[act.known].mean()) < 0.2


@pytest.mark.parametrize("kind", ["waveform", "series", "pose", "frames"])
def test_reading_in_blocks_loses_nothing_at_their_edges(kind: str, strokes: Any, seen_by: Any) -> None:
    """The same strokes, shifted against the blocks, give the same activity."""
    rng = np.random.default_rng(5)
    whole = seen_by(kind, strokes(rng, 50.0), 50.0, rng)
    part = whole.cut(3.7, 50.0)
    a, b = activity(whole), activity(part)
    times = np.arange(6, 47, 1 / RATE)
    va, vb = (np.interp(times, x.clock.times, x.values) for x in (a, b))
    assert np.corrcoef(va, vb)[0, 1] > 0.99
    assert len(a.clock) == len(a.values) == len(a.known)


def test_gaps_and_nan_are_unknown_not_zero() -> None:
    rng = np.random.default_rng(0)
    times = np.concatenate([np.arange(0, 10, 0.01), np.arange(15, 25, 0.01)])
    values = rng.standard_normal((len(times), 2))
    values[200:500] = np.nan
    act = activity(Stream.of(values, times=times))
    unknown = act.clock.times[~act.known]
    assert unknown.min() < 2.02
    assert ((unknown > 10.01) & (unknown < 15)).sum() > 900
    assert not act.values[~act.known].any()


@pytest.mark.parametrize(
    ("stream", "why"),
    [
        (Stream.of(np.zeros((500, 3)), rate=100), "usable|nothing ever changes"),
        (Stream.of(np.ones((16000, 1), np.float32), rate=8000, kind="waveform"), "nothing ever changes"),
        (Stream.of(np.zeros((50, 8, 8, 3), np.uint8), rate=25), "nothing ever changes"),
        (Stream.of(np.zeros((3, 2)), rate=10), "too few"),
        (Stream.of(["a"], spans=([0.0], [1.0])), "too few"),
    ],
)
def test_what_never_changes_is_refused(stream: Stream, why: str) -> None:
    with pytest.raises(DataError, match=why):
        activity(stream)
