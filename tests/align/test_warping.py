"""Warping against the plain dynamic programme, and against warps that were planted, on made-up and on real data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.align import warping
from plait.align.join import join
from plait.align.warping import TimeMap, align_by_warping, warp_path
from plait.core.errors import ConfigError, DataError
from plait.readers import open_streams
from plait.streams.clock import Grid, Spans, Ticks
from plait.streams.stream import ArraySource, Stream
from plait.streams.warp import warped

pytest.importorskip("dtaidistance")


def naive(x: np.ndarray, y: np.ndarray, band: int | None) -> float:
    """The distance by the textbook's table."""
    n, m = len(x), len(y)
    table = np.full((n + 1, m + 1), np.inf)
    table[0, 0] = 0
    for i in range(n):
        for j in range(m):
            if band is None or max(0, i - max(0, n - m) - band + 1) <= j < min(m, i + max(0, m - n) + band):
                near = min(table[i, j], table[i, j + 1], table[i + 1, j])
                table[i + 1, j + 1] = ((x[i] - y[j]) ** 2).sum() + near
    return float(np.sqrt(table[n, m]))


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from([None, 1, 3]), st.integers(1, 3))
def test_the_path_is_the_best_there_is(seed: int, band: int | None, width: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=(int(rng.integers(1, 15)), width)) for _ in range(2))
    path, distance = warp_path(x, y, band=band)
    steps = np.diff(path, axis=0)
    assert path[0].tolist() == [0, 0]
    assert path[-1].tolist() == [len(x) - 1, len(y) - 1]
    assert ((steps >= 0) & (steps <= 1)).all()
    assert (steps.sum(1) > 0).all()
    assert np.sqrt(((x[path[:, 0]] - y[path[:, 1]]) ** 2).sum()) == pytest.approx(distance)
    assert distance == pytest.approx(naive(x, y, band))


def performances(rng: np.random.Generator, seconds: float) -> tuple[Stream, Stream, np.ndarray, np.ndarray]:
    """The same twice, at paces that differ by up to 1.4 either way, and the truth: times in a, times in b."""
    score = np.cumsum(rng.normal(size=(int(seconds * 10), 4)), 0)
    score -= np.linspace(0, 1, len(score))[:, None] * score[-1]
    knots = np.linspace(0, seconds, int(seconds / 4) + 2)
    there = np.concatenate([[0], np.cumsum(rng.uniform(0.7, 1.4, len(knots) - 1))])
    there *= seconds / there[-1]
    t = np.arange(int(seconds * 40)) / 40
    s = np.arange(int(there[-1] * 25)) / 25
    played = [
        np.stack([np.interp(x, np.arange(len(score)) / 10, c) for c in score.T], 1)
        for x in (t, np.interp(s, there, knots))
    ]
    noisy = [p + 0.05 * rng.normal(size=p.shape) for p in played]
    return Stream.of(noisy[0], rate=40), Stream.of(noisy[1], rate=25, start=7), knots, there + 7


@pytest.mark.parametrize("cells", [10_000_000, 20_000])
def test_a_planted_warp_is_found_whole_or_from_coarse_to_fine(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warping, "CELLS", cells)
    monkeypatch.setattr(warping, "STRETCH", 500)
    a, b, knots, there = performances(np.random.default_rng(1), 60)
    warp = align_by_warping(a, b)
    t = np.linspace(1, 59, 500)
    error = np.abs(warp.to_b(t) - np.interp(t, knots, there))
    assert np.median(error) < 0.03
    assert error.max() < 0.3
    assert (np.diff(warp.a) >= 0).all()
    assert (np.diff(warp.b) >= 0).all()
    on_a = b.on(warp.clock(b.clock))
    both = join(Grid(1, 10, 580), on_a, "linear"), join(Grid(1, 10, 580), a, "linear")
    spread = np.abs(both[0].values - both[1].values)[both[0].mask].mean()
    assert spread < 0.3 * a.read().std(0).mean()


def test_a_band_keeps_the_two_together() -> None:
    a, b, _, _ = performances(np.random.default_rng(2), 40)
    free, bound = align_by_warping(a, b), align_by_warping(a, b, band=0.1)
    diagonal = np.interp(free.a, [0, a.clock.times[-1]], [7, b.clock.times[-1]])
    assert np.abs(free.b - diagonal).max() > 0.5
    diagonal = np.interp(bound.a, [0, a.clock.times[-1]], [7, b.clock.times[-1]])
    assert np.abs(bound.b - diagonal).max() < 0.2
    assert bound.distance > free.distance


def test_a_warp_maps_every_clock_and_goes_on_beyond_its_ends() -> None:
    warp = TimeMap(np.array([0.0, 1.0, 1.0, 3.0]), np.array([5.0, 6.0, 8.0, 9.0]), 0.0)
    assert warp.to_b([-1.0, 0.5, 1.0, 4.0]).tolist() == [4.0, 6.0, 7.0, 10.0]
    assert warp.to_a([6.0, 7.0, 8.0, 10.0]).tolist() == [1.0, 1.0, 1.0, 4.0]
    assert warp.clock(Ticks([5.0, 9.0])) == Ticks([0.0, 3.0])
    assert warp.clock(Spans([5.5], [8.5])) == Spans([0.5], [2.0])
    bent = warped(Grid(5, 10, 41), warp.bend(0.1))
    np.testing.assert_allclose(bent.times, warp.to_a(np.arange(50, 91) / 10), atol=0.01)


def test_holes_and_scale_are_dealt_with_and_what_cannot_be_is_refused() -> None:
    t = np.linspace(0, 1, 60)
    wave = np.stack([np.sin(9 * t), 100 * np.cos(7 * t)], 1)
    holed = wave.copy()
    holed[20:23, 0] = np.nan
    holed[:2] = np.nan
    warp = align_by_warping(Stream.of(wave, rate=30), Stream.of(3 * holed + 5, rate=30))
    assert np.abs(warp.to_b(t[5:50]) - t[5:50]).max() < 0.1
    holed[:, 1] = np.nan
    with pytest.raises(DataError) as caught:
        align_by_warping(Stream.of(holed, rate=30), Stream.of(wave[:1], rate=30))
    assert [p.split(":")[0] for p in caught.value.problems] == ["the first stream", "the second stream"]
    with pytest.raises(DataError, match="2 and 1 channels"):
        align_by_warping(Stream.of(wave, rate=30), Stream.of(wave[:, :1], rate=30))
    with pytest.raises(ConfigError, match="band=0"):
        align_by_warping(Stream.of(wave, rate=30), Stream.of(wave, rate=30), band=0)
    with pytest.raises(ConfigError, match="expected 1 or more"):
        warp_path([1.0], [1.0], band=0)
    with pytest.raises(DataError, match="too many for one table"):
        warp_path(np.zeros(5000), np.zeros(5000))
    with pytest.raises(DataError, match="x: has values that are not finite"):
        warp_path([np.nan], [1.0])


def cepstra(folder: Path, name: str) -> Stream:
    from plait.features.spectral import Mfcc

    (sound,) = open_streams(folder / "fsdd" / "recordings" / f"{name}.wav").values()
    values, clock = Mfcc()(sound)
    return Stream(clock, ArraySource(values), "series")


def stretched(stream: Stream, shape: list[float]) -> tuple[Stream, np.ndarray, np.ndarray]:
    """The same with its parts slower or faster, and the truth."""
    times, rows = stream.clock.times - stream.clock.start, stream.read().astype(np.float64)
    there = np.array([0.0, *shape]) * times[-1]
    knots = np.linspace(0, times[-1], len(there))
    at = np.interp(np.arange(int(there[-1] * 100)) / 100, there, knots)
    other = Stream.of(np.stack([np.interp(at, times, c) for c in rows.T], 1), rate=100, start=stream.clock.start)
    return other, knots + stream.clock.start, there + stream.clock.start


@pytest.mark.slow
def test_a_digit_said_slower_is_found_again(real_data: Path) -> None:
    errors = []
    for digit in range(10):
        said = cepstra(real_data, f"{digit}_jackson_0")
        slow, knots, there = stretched(said, [0.45, 0.62, 1.15])
        t = np.linspace(knots[0] + 0.05, knots[-1] - 0.05, 50)
        errors += np.abs(align_by_warping(said, slow).to_b(t) - np.interp(t, knots, there)).tolist()
    assert np.median(errors) < 0.005
    assert np.quantile(errors, 0.95) < 0.03


@pytest.mark.slow
def test_digits_of_two_speakers_match_better_when_warped_than_when_stretched(real_data: Path) -> None:
    def laid_out(stream: Stream) -> np.ndarray:
        place = np.linspace(0, len(stream) - 1, 40)
        rows = np.stack([np.interp(place, np.arange(len(stream)), c) for c in stream.read().T], 1)
        return (rows - rows.mean(0)) / rows.std(0)

    warped = straight = 0
    for one, other in (("jackson", "nicolas"), ("jackson", "theo"), ("george", "yweweler")):
        known = {d: cepstra(real_data, f"{d}_{one}_0") for d in range(10)}
        for digit in range(10):
            said = cepstra(real_data, f"{digit}_{other}_0")
            near = {d: align_by_warping(k, said).distance for d, k in known.items()}
            flat = {d: ((laid_out(k) - laid_out(said)) ** 2).mean() for d, k in known.items()}
            warped += min(near, key=near.__getitem__) == digit
            straight += min(flat, key=flat.__getitem__) == digit
    assert warped > straight
    assert warped >= 15  # of 30; chance is 3


@pytest.mark.slow
def test_an_exercise_is_found_again_and_nearer_to_itself_than_to_another(real_data: Path) -> None:
    def skeleton(action: int, subject: int) -> Stream:
        path = real_data / "utd_mhad" / "Skeleton" / f"a{action}_s{subject}_t1_skeleton.mat"
        (found,) = open_streams(path, "array", {"time_axis": 2, "rate": 30}).values()
        values = found.read().astype(np.float64)
        return Stream.of((values - values[:, 2:3]).reshape(len(values), -1), rate=30)

    rng, errors = np.random.default_rng(0), []
    for action in (1, 6, 9, 14, 22):
        a = skeleton(action, 1)
        end = a.clock.times[-1]
        knots = np.linspace(0, end, 5)
        there = np.concatenate([[0], np.cumsum(rng.uniform(0.7, 1.4, 4))]) * end / 4
        at = np.interp(np.arange(int(there[-1] * 30)) / 30, there, knots)
        b = Stream.of(np.stack([np.interp(at, a.clock.times, c) for c in a.read().T], 1), rate=30)
        t = np.linspace(0.1, 0.9, 50) * end
        errors += np.abs(align_by_warping(a, b).to_b(t) - np.interp(t, knots, there)).tolist()
    assert np.median(errors) < 0.02
    actions = (1, 6, 9, 14, 22)
    for k in actions:
        other = skeleton(k, 2)
        apart = {j: align_by_warping(skeleton(j, 1), other, scale=False).distance for j in actions}
        assert min(apart, key=apart.__getitem__) == k
