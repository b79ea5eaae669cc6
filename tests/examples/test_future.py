"""Futures of streams: what is known at an instant, and that nothing of the future leaks into the past."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.core.errors import ConfigError, DataError
from plait.corpus.corpus import Corpus, CorpusWriter
from plait.examples.future import Future, Track, tracks_of
from plait.examples.items import asked_items, find_items
from plait.streams.recording import Recording
from plait.streams.stream import Stream

UNIT = {"unit": "window", "length": 10.0, "hop": 5.0, "asks": "future", "future": ["load"], "ahead": 4.0}


def naive_at(times, values, when, gap):
    known = [(t, v) for t, v in zip(times, values) if math.isfinite(v)]
    for t, v in known:
        if abs(t - when) < 1e-6:
            return v
    before, after = [k for k in known if k[0] < when], [k for k in known if k[0] > when]
    if not before or not after or after[0][0] - before[-1][0] > gap:
        return math.nan
    (a, x), (b, y) = before[-1], after[0]
    return x + (when - a) / (b - a) * (y - x)


@given(
    st.lists(st.one_of(st.floats(-5, 5), st.just(math.nan)), min_size=2, max_size=20),
    # Not within a millionth of an instant, where rounding decides.
    st.lists(st.integers(-300, 2500).map(lambda n: n / 100), min_size=1, max_size=8),
)
def test_a_value_is_that_of_a_naive_search(values, when):
    track = Track(np.arange(len(values), dtype=float), values)
    found = track.at(np.array(when))
    wanted = [naive_at(range(len(values)), values, w, 1.5) for w in when]
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_a_gap_is_not_interpolated_but_a_grid_step_is():
    track = Track([0, 1, 2, 3, 4, 5], [0.0, 1.0, np.nan, np.nan, 4.0, 5.0])
    np.testing.assert_array_equal(track.at(np.array([0.5, 1.5, 3.0, 4.5, 6.0])), [0.5, np.nan, np.nan, 4.5, np.nan])
    np.testing.assert_array_equal(track.held(np.array([-1.0, 3.9, 9.0])), [0.0, 1.0, 5.0])


def test_the_future_counts_from_the_last_instant_of_the_own_clock():
    assert Track(np.arange(10.0), np.zeros(10)).now(np.array([5.0, 5.5])).tolist() == [4.0, 5.0]
    beats = Track([0.0, 0.8, 1.7, 2.4], np.ones(4), regular=False)
    assert beats.now(np.array([2.0, 60.0])).tolist() == [1.7, 60.0]  # 60 s: the stream has stopped long before


@given(st.integers(0, 2**31), st.integers(1, 6))
def test_changes_so_far_are_those_of_a_loop(seed, ahead):
    rng = np.random.default_rng(seed)
    values = np.where(rng.random(30) < 0.2, np.nan, rng.normal(size=30))
    track = Track(np.arange(30.0), values)
    total, count = track.change(np.array([3.0, 11.0, 29.0]), float(ahead))
    full = track.at(np.arange(30.0))
    for now, s, n in zip((3, 11, 29), total, count):
        apart = [abs(full[i] - full[i - ahead]) for i in range(ahead, now + 1)]
        apart = [a for a in apart if math.isfinite(a)]
        assert (s, n) == (pytest.approx(sum(apart)), len(apart))


def corpus(folder, seconds=(30, 12), channels=1, name="load"):
    with CorpusWriter(folder) as out:
        for i, n in enumerate(seconds):
            streams = {name: Stream.of(np.zeros((n, channels)), rate=1), "other": Stream.of(np.zeros(40), rate=1)}
            out.add(f"r{i}", streams)
    return Corpus(folder / "manifest.jsonl")


def test_items_without_enough_future_are_dropped_and_counted(tmp_path):
    found = find_items(corpus(tmp_path), UNIT)
    # windows to 10, 15 ... 40 s; the first track ends at 29 s, the second at 11 s
    assert [(i.recording, i.stop) for i in found] == [("r0", 10.0), ("r0", 15.0), ("r0", 20.0), ("r0", 25.0)]
    assert found.dropped == {"items: less than 4 s are recorded after them": 10}
    asked, _ = asked_items(corpus(tmp_path), UNIT)
    assert len(asked) == 14
    assert all(isinstance(i.target, Future) for i in asked), "prediction needs the past of each item"


def test_a_horizon_beyond_all_data_is_the_recipes_error(tmp_path):
    with pytest.raises(ConfigError, match=r"task\.horizon: no item .* followed by 400 s of load .*shorter horizon"):
        find_items(corpus(tmp_path), {**UNIT, "ahead": 400.0})


def test_a_stream_that_no_recording_has_is_the_recipes_error(tmp_path):
    with pytest.raises(ConfigError, match=r"has a stream 'laod'. .*load"):
        find_items(corpus(tmp_path), {**UNIT, "future": ["laod"]})


def test_a_stream_of_several_channels_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"r0: stream 'load' is 3 channels; a forecast takes numbers of one channel"):
        find_items(corpus(tmp_path, channels=3), UNIT)


def test_a_recording_may_lack_a_target():
    recording = Recording("r", {"load": Stream.of(np.arange(5.0), rate=1)})
    load, other = tracks_of(recording, ["load", "heat"])
    assert load is not None
    assert other is None
