"""What joins refuse, wait for, count and keep: on small cases that one can follow by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from plait.align.join import How, Joining, join, join_all
from plait.core.errors import ConfigError, DataError
from plait.streams.clock import Grid, Spans, Ticks
from plait.streams.stream import Stream


def test_the_reported_future_is_no_larger_than_it_must_be() -> None:
    words, ticks = Spans([0.0, 1.0], [1.0, 1.8]), Stream.of(np.arange(30.0), rate=10)
    for how, future in (("mean", 0.4), ("nearest", 0.0), ("linear", 0.0), ("hold", 0.0)):
        assert join(words, ticks, how).coverage.future_s == pytest.approx(future)
    assert join(words, ticks, "linear", at="start").coverage.ahead == 0
    assert join(Ticks([0.52, 0.91]), ticks, "linear").coverage.future_s == pytest.approx(0.09)
    assert join(words, ticks, "mean", at="start").coverage.future_s == pytest.approx(0.9)
    assert join(words, ticks, "mean", causal=True).coverage.ahead == 0
    assert join(words, ticks, "mean", receptive_field=0.25).coverage.future_s == pytest.approx(0.65)
    assert join(words, ticks, "mean", receptive_field=np.inf).coverage.future_s == np.inf
    scenes = Stream.of([[1.0], [2.0]], spans=([0.0, 2.0], [2.0, 3.0]))
    assert join(Ticks([0.5]), scenes, "hold").coverage.future_s == 1.5


def test_what_cannot_be_causal_is_refused_with_what_to_do() -> None:
    words, ticks = Spans([0.0, 1.0], [1.0, 1.8]), Stream.of(np.arange(30.0), rate=10)
    for how in ("nearest", "linear", "cubic"):
        with pytest.raises(ConfigError, match="Use 'hold'"):
            join(words, ticks, how, causal=True)
    with pytest.raises(ConfigError, match="Use at='stop'"):
        join(words, ticks, "mean", causal=True, at="middle")
    with pytest.raises(ConfigError, match="whole recording"):
        join(words, ticks, "mean", causal=True, receptive_field=np.inf)
    with pytest.raises(ConfigError, match="Did you mean 'mean'"):
        join(words, ticks, "meen")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="max_gap=0") as caught:
        join(words, ticks, max_gap=0, receptive_field=-1.0, at="end")  # type: ignore[arg-type]
    assert len(caught.value.problems) == 3
    texts = Stream.of(np.array(["a", "b"], object), spans=([0.0, 1.0], [1.0, 2.0]))
    with pytest.raises(ConfigError, match=r"(?s)body: how='mean' is of numbers.*face: out|body: how='mean' is of"):
        join_all(words, {"body": texts, "face": ticks})


def test_a_causal_join_waits_for_what_looks_ahead() -> None:
    feature = Stream.of(np.arange(20.0), rate=10)
    at = Ticks([1.0, 1.5])
    assert join(at, feature, "hold", causal=True).values.ravel().tolist() == [10, 15]
    assert join(at, feature, "hold", causal=True, receptive_field=0.25).values.ravel().tolist() == [7, 12]
    assert join(Grid(1, 2, 2), feature, "max", causal=True, receptive_field=0.25).values.ravel().tolist() == [7, 12]
    words = Stream.of([[1.0], [2.0]], spans=([0.0, 1.0], [1.0, 1.4]))
    assert join(at, words, "hold", causal=True).values.ravel().tolist() == [1, 2]


def test_sums_lose_nothing_over_hours() -> None:
    rng = np.random.default_rng(0)
    hour = (1000 + rng.normal(size=(360_000, 6))).astype(np.float32)
    hour[:, 0] = np.float32(0.1)
    words = Spans(np.arange(0, 3600, 600.0), np.arange(600, 3601, 600.0))
    for values, loose in ((hour, 1e-6), (hour.astype(np.float64), 1e-12)):
        got = join(words, Stream.of(values, rate=100), "sum")
        for k in range(6):
            want = [math.fsum(column.tolist()) for column in values[60_000 * k : 60_000 * (k + 1)].T]
            np.testing.assert_allclose(got.values[k], want, rtol=loose)
    # a running sum in float32 is off by a thousand times as much
    assert abs(np.add.accumulate(hour[:60_000, 0])[-1] / 6000.00009 - 1) > 1e-5


def test_one_wild_value_harms_only_its_own_interval() -> None:
    values = np.ones((1000, 6))
    values[500] = 1e300
    got = join(Spans([0.0, 4.0, 6.0], [3.0, 6.0, 9.0]), Stream.of(values, rate=100))
    assert got.values[:, 0].tolist() == [1.0, pytest.approx(1e300 / 200), 1.0]


def test_texts_and_pictures_are_joined_too() -> None:
    words = Stream.of(np.array(["so", "what", "now"], object), spans=([0.0, 0.5, 2.0], [0.4, 1.0, 2.2]))
    got = join(Grid(0, 4, 10), words, "hold")
    assert got.values.tolist() == ["so", "so", "what", "what", "", "", "", "", "now", ""]
    assert got.stream().kind == "words"
    assert join(Spans([0.0], [3.0]), words, "last").values.tolist() == ["now"]
    assert join(Spans([0.0], [3.0]), words, "count").values.tolist() == [3.0]
    film = Stream.of(np.arange(2 * 3 * 3 * 10, dtype=np.uint8).reshape(10, 2, 3, 3), rate=10)
    got = join(words, film, "nearest")
    assert (got.values.shape, got.values.dtype) == ((3, 2, 3, 3), np.float32)
    np.testing.assert_array_equal(got.values[0], film.read()[2])
    np.testing.assert_allclose(join(words, film).values[0], film.read()[:4].mean(0))


def test_spans_that_overlap_hold_by_the_one_that_began_last() -> None:
    scene = Stream.of([[1.0], [2.0], [3.0]], spans=([0.0, 1.0, 4.0], [9.0, 2.0, 5.0]))
    got = join(Ticks([0.5, 1.5, 3.0, 4.5, 8.0, 9.0]), scene, "hold")
    assert got.values.ravel().tolist() == [1, 2, 1, 3, 1, 0]
    assert got.coverage.after == 1


class _InOrder:
    """A source, such as a film, that is read in order only."""

    shape = (3,)

    def __init__(self, rows: np.ndarray) -> None:
        self.rows, self.place, self.most = rows, 0, 0

    def read(self, lo: int, hi: int) -> np.ndarray:
        assert lo >= self.place or hi == 1, "went back"
        self.place, self.most = self.place if hi == 1 else hi, max(self.most, hi - lo)
        return self.rows[lo:hi].copy()


@pytest.mark.parametrize("how", ["mean", "max", "first", "linear", "nearest", "hold"])
def test_a_film_is_read_once_in_order_a_block_at_a_time(how: How) -> None:
    rows = np.random.default_rng(0).normal(size=(20_000, 3))
    source = _InOrder(rows)
    film = Stream(Grid(0, 100, 20_000), source, "series")
    starts = np.arange(0, 199, 0.4)
    work = Joining(Spans(starts, starts + 0.4), film, how, block=12_000)
    got = np.concatenate([piece.values for piece in work])
    want = join(Spans(starts, starts + 0.4), Stream.of(rows, rate=100), how)
    np.testing.assert_array_equal(got, want.values)
    assert source.place >= 19_890
    assert source.most <= 2100


def test_results_may_go_into_files(tmp_path: Any) -> None:
    stream, grid = Stream.of(np.random.default_rng(0).normal(size=(500, 2, 3)), rate=50), Grid(0, 20, 200)
    work = Joining(grid, stream)
    values = np.lib.format.open_memmap(tmp_path / "v.npy", "w+", work.dtype, (200, 2, 3))
    mask = np.zeros((200, 2, 3), bool)
    got = join(grid, stream, out=(values, mask))
    values.flush()
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), join(grid, stream).values)
    assert got.values is values
    with pytest.raises(ConfigError, match=r"expected \(200, 2, 3\)"):
        join(grid, stream, out=(values[1:], mask))


def test_a_damaged_stream_is_named() -> None:
    class Broken:
        shape = (1,)

        def read(self, lo: int, hi: int) -> np.ndarray:
            raise DataError("a.csv:3: is not a number.")

    with pytest.raises(DataError, match=r"imu: a\.csv:3"):
        join_all(Grid(0, 1, 3), {"imu": Stream(Grid(0, 1, 3), Broken(), "series")})


def test_recordings_add_up() -> None:
    words, stream = Spans([0.0, 5.0], [1.0, 6.0]), Stream.of(np.ones(20), rate=10)
    one, other = join(words, stream).coverage, join(words, stream, receptive_field=1.0).coverage
    both = one + other
    assert (both.intervals, both.matched, both.after, both.unused) == (4, 2, 2, 20)
    assert both.future_s == other.future_s
    assert type(both).of(both.describe()) == both
    far = join(words, stream, receptive_field=np.inf).coverage
    assert type(far).of(far.describe()) == far
    assert "whole recording" in str(far)


def test_coverage_is_the_same_whenever_and_however_often_it_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    words = Spans(np.arange(0, 30, 0.5), np.arange(0, 30, 0.5) + 0.7)
    right = Stream.of(np.where(rng.random((500, 3)) < 0.3, np.nan, 1.0), rate=20)
    hows: tuple[How, ...] = ("mean", "linear")
    for how in hows:
        small, want = Joining(words, right, how, block=200), join(words, right, how).coverage
        for _ in range(2):
            asked = [small.coverage.intervals for _ in small]
            assert len(asked) > 2
            assert asked == sorted(asked)
            assert small.coverage == small.coverage == want
