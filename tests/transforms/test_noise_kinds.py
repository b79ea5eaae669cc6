"""Every kind of noise: exact levels, the same bits however it is read, and nothing decoded until asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.core.errors import ConfigError, DataError
from plait.core.parts import parts
from plait.streams.clock import Grid, Spans
from plait.streams.stream import KINDS, Stream
from plait.transforms.noise import Noise, add_noise, noise_named, noise_of, runs


def stream_of(kind: str, n: int = 60, seed: int = 0) -> Stream:
    rng = np.random.default_rng(seed)
    if kind == "waveform":
        return Stream.of(rng.normal(0, 0.1, (40 * n, 2)).astype(np.float32), rate=1000, kind="waveform")
    if kind == "series":
        return Stream.of(rng.normal(size=(40 * n, 3)), rate=250)
    if kind == "pose":
        return Stream.of(rng.normal(size=(n, 4, 3)), rate=30)
    if kind == "frames":
        return Stream.of(rng.integers(30, 220, (n, 9, 12, 3)).astype(np.uint8), rate=25)
    texts = np.array(["".join(rng.choice(list("abc deF7é"), 6)) for _ in range(n)], dtype=object)
    starts = np.arange(n) * 0.5
    return Stream.of(texts, spans=(starts, starts + 0.4))


LEVEL = {"blur": 1.5, "jitter": 0.01}
CASES = [(name, kind) for name, cls in parts(Noise).items() for kind in cls.kinds]


def noisy_of(name: str, stream: Stream, seed: int = 3) -> Stream:
    noise = noise_of(name)
    level = LEVEL.get(name, 0.25 if noise.bounds == (0.0, 1.0) else 5.0)
    return add_noise(stream, name, level, seed, [stream_of("waveform", seed=9)])


def same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a, b)) if a.dtype.kind == "O" else bool(np.array_equal(a, b, equal_nan=True))


def test_every_kind_of_stream_has_a_noise() -> None:
    assert {kind for _, kind in CASES} == set(KINDS)
    assert {"babble", "white", "pink", "brown", "coloured", "hum", "impulse", "blur", "occlusion"} <= set(parts(Noise))
    assert {"frame_drop", "dropout", "jitter", "typo", "word_errors"} <= set(parts(Noise))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_cut_of_the_noisy_is_the_noisy_cut(name: str, kind: str) -> None:
    clean = stream_of(kind)[3:]
    noisy = noisy_of(name, clean)
    whole, n = noisy.read(), len(noisy)
    assert not same(whole, clean.read()[:n]) or not np.array_equal(noisy.clock.times, clean.clock.times[:n])
    for lo, hi in np.sort(np.random.default_rng(0).integers(0, n + 1, (3, 2))):
        assert same(noisy[lo:hi].read(), whole[lo:hi])
        assert same(noisy[lo:][: hi - lo].read(), whole[lo:hi])
    assert same(np.concatenate([block.read() for block in noisy.blocks(n // 5 + 1)]), whole)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_seed_decides_and_the_shape_stays(name: str, kind: str) -> None:
    clean = stream_of(kind)
    one, again, other = (noisy_of(name, clean, seed) for seed in (1, 1, 2))
    assert same(one.read(), again.read())
    assert np.array_equal(one.clock.times, again.clock.times)
    assert one.source.shape == clean.source.shape
    assert len(one.read()) == len(one)
    assert (
        name == "blur" or not same(one.read(), other.read()) or not np.array_equal(one.clock.times, other.clock.times)
    )


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_nothing_is_decoded_until_asked(name: str, kind: str) -> None:
    class Never:
        shape = stream_of(kind).source.shape

        def read(self, lo: int, hi: int) -> Any:
            raise RuntimeError("decoded")

    clean = replace(stream_of(kind), source=Never())
    noisy = noisy_of(name, clean)
    assert len(noisy[2:9]) == 7
    if name not in ("jitter", "babble"):
        with pytest.raises(RuntimeError, match="decoded"):
            noisy.read()


@given(st.integers(0, 400), st.floats(0, 1), st.floats(1, 50), st.integers(0, 10))
@settings(max_examples=100)
def test_runs_hold_exactly_their_share_and_stand_apart(n: int, share: float, length: float, seed: int) -> None:
    first, last = runs(n, share, length, seed)
    assert (last - first).sum() == round(share * n)
    assert (last > first).all()
    assert (first[1:] > last[:-1]).all()
    assert len(first) == 0 or (first[0] >= 0 and last[-1] <= n)


@given(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 2.0]), st.floats(-10, 30))
@settings(max_examples=20)
def test_coloured_noise_has_its_ratio(exponent: float, level: float) -> None:
    clean = stream_of("series")
    noise = add_noise(clean, {"name": "coloured", "exponent": exponent}, level, 1).read() - clean.read()
    ratio = 10 * np.log10(clean.read().var(0) / (noise**2).mean(0))
    assert np.abs(ratio - level).max() < 1e-6


@pytest.mark.parametrize("exponent", [-2, -1, 1, 2])
def test_coloured_noise_falls_as_its_exponent_says(exponent: float) -> None:
    flat = Stream.of(np.random.default_rng(0).normal(size=(2**17, 1)), rate=1)
    noise = (add_noise(flat, {"name": "coloured", "exponent": exponent}, 0.0, 3).read() - flat.read())[:, 0]
    power = np.abs(np.fft.rfft(noise * np.hanning(len(noise)))) ** 2
    octaves = [power[2**k : 2 ** (k + 1)].mean() for k in range(8, 15)]
    slope = np.polyfit(range(len(octaves)), 10 * np.log10(octaves), 1)[0]
    assert abs(slope + 3.01 * exponent) < 0.5


def test_pink_and_brown_are_coloured_noise() -> None:
    clean = stream_of("series")
    for name, exponent in (("pink", 1.0), ("brown", 2.0)):
        coloured = add_noise(clean, {"name": "coloured", "exponent": exponent}, 3.0, 5).read()
        np.testing.assert_array_equal(add_noise(clean, name, 3.0, 5).read(), coloured)


def test_the_first_numbers_of_the_old_kinds_stay_what_they_were() -> None:
    """Caches and published results depend on them."""
    clean = Stream.of(np.sin(np.arange(5000.0)), rate=8000, kind="waveform")
    found = {k: add_noise(clean, k, 0.0, 7, [clean]).read()[1:4, 0].tolist() for k in ("white", "pink", "babble")}
    expected = {
        "white": WHITE,
        "pink": PINK,
        "babble": BABBLE,
    }
    for kind, numbers in expected.items():
        np.testing.assert_allclose(found[kind], numbers, rtol=1e-9)


WHITE = [-0.07129601169295985, 1.8048344769827318, 0.9258085957673654]
PINK = [1.9712279973817508, 2.6774749467185104, 2.108836122240127]
BABBLE = [0.46152861493246516, -0.0743555217665599, -0.5418775346614672]


def test_hum_stands_at_the_mains_and_its_harmonics() -> None:
    clean = Stream.of(np.zeros(8000) + np.random.default_rng(0).normal(0, 1, 8000), rate=1000, kind="waveform")
    hum = add_noise(clean, {"name": "hum", "frequency": 60, "harmonics": 3}, -10.0, 1).read() - clean.read()
    power = np.abs(np.fft.rfft(hum[:, 0])) ** 2
    assert set(np.argsort(power)[-3:] / 8) == {60.0, 120.0, 180.0}
    with pytest.raises(DataError, match="cannot carry a hum of 50 Hz"):
        add_noise(Stream.of(np.zeros((10, 1)), rate=64), "hum", 0.0, 1)


@given(st.floats(0, 1), st.integers(1, 200))
@settings(max_examples=25)
def test_impulses_are_exactly_as_many_as_asked(share: float, n: int) -> None:
    clean = stream_of("series", n)
    wrong = add_noise(clean, "impulse", share, 2).read() != clean.read()
    assert (wrong.sum(0) == round(share * len(clean))).all()
    pictures = stream_of("frames", 3)
    spoilt = (add_noise(pictures, "impulse", share, 2).read() != pictures.read()).all(-1)
    assert (spoilt.sum((1, 2)) == round(share * 9 * 12)).all()


@given(st.floats(0, 1), st.sampled_from(["black", "noise"]))
@settings(max_examples=15)
def test_an_occlusion_covers_exactly_its_share_and_stays(share: float, fill: str) -> None:
    clean = Stream.of(np.full((50, 11, 17, 1), 100, np.uint8), rate=10)
    noisy = add_noise(clean, {"name": "occlusion", "seconds": 2, "fill": "black"}, share, 4).read()
    covered = noisy[..., 0] == 0
    assert (covered.sum((1, 2)) == round(share * 11 * 17)).all()
    assert (
        (covered.reshape(-1, 20, 11, 17)[:, :1] == covered.reshape(-1, 20, 11, 17)).all()
        if len(covered) % 20 == 0
        else True
    )
    assert all((covered[i] == covered[i - 1]).all() for i in range(1, 50) if i % 20)
    filled = add_noise(clean, {"name": "occlusion", "fill": fill}, share, 4).read()
    assert filled.shape == noisy.shape


def test_an_occlusion_moves_and_may_be_the_mean() -> None:
    clean = stream_of("frames", 100)
    noisy = add_noise(clean, {"name": "occlusion", "seconds": 0.4, "fill": "mean"}, 0.2, 4).read()
    covered = (noisy != clean.read()).any(-1)
    assert len({row.tobytes() for row in covered}) > 5
    first = noisy[0][covered[0]]
    assert np.abs(first - clean.read()[0].mean((0, 1))).max() <= 0.5


def test_lighting_is_one_line_through_all_values_of_a_film() -> None:
    clean = Stream.of(np.random.default_rng(0).integers(100, 156, (5, 9, 12, 3)).astype(np.uint8), rate=25)
    lit = add_noise(clean, "lighting", 0.2, 4).read().astype(float)
    slope, start = np.polyfit(clean.read().ravel().astype(float), lit.ravel(), 1)
    assert np.abs(np.polyval([slope, start], clean.read().astype(float)) - lit).max() < 0.6
    assert np.exp(-0.2) <= slope <= np.exp(0.2)
    assert slope != pytest.approx(1, abs=0.005)
    assert add_noise(clean, "lighting", 0.0, 4).read() is not None
    assert same(add_noise(clean, "lighting", 0.0, 4).read(), clean.read())


def test_framing_moves_all_pictures_alike_and_mirrors() -> None:
    clean = Stream.of(np.random.default_rng(0).random((4, 20, 30, 1), np.float32)[:1].repeat(4, 0), rate=25)
    moved = add_noise(clean, "framing", 0.3, 4).read()
    assert all(np.array_equal(moved[0], other) for other in moved[1:])
    assert not np.allclose(moved, clean.read())
    mirrored = add_noise(clean, {"name": "framing", "mirror": 1}, 0.0, 4).read()
    np.testing.assert_allclose(mirrored, clean.read()[:, :, ::-1], atol=1e-6)
    assert same(add_noise(clean, "framing", 0.0, 4).read(), clean.read())
    with pytest.raises(ConfigError, match="from 0 to 1"):
        noise_of({"name": "framing", "mirror": 2})


def test_framing_keeps_within_what_its_level_says() -> None:
    dot = np.zeros((1, 41, 41, 1), np.float32)
    dot[0, 20, 20] = 1
    clean = Stream.of(dot, rate=25)
    for seed in range(20):
        row, column = np.unravel_index(add_noise(clean, "framing", 0.2, seed).read()[0, ..., 0].argmax(), (41, 41))
        assert abs(row - 20) <= 5
        assert abs(column - 20) <= 5


def test_blur_is_a_gaussian_that_keeps_the_mean() -> None:
    from scipy.ndimage import gaussian_filter

    clean = Stream.of(np.random.default_rng(0).random((2, 40, 50, 1)).astype(np.float32), rate=25)
    blurred = add_noise(clean, "blur", 2.0, 0).read()
    expected = gaussian_filter(clean.read()[0, ..., 0], 2.0, mode="mirror", truncate=4)
    assert np.abs(blurred[0, ..., 0] - expected)[10:-10, 10:-10].max() < 1e-2
    assert blurred.var() < 0.1 * clean.read().var()
    assert add_noise(clean, "blur", 0.0, 0).read() is not None
    assert same(add_noise(clean, "blur", 0.0, 0).read(), clean.read())


@given(st.floats(0, 1), st.integers(0, 80), st.floats(0, 2))
@settings(max_examples=40)
def test_dropped_frames_are_exactly_as_many_as_asked(share: float, n: int, seconds: float) -> None:
    clean = Stream.of(np.arange(float(n))[:, None], rate=10)
    lost = min(round(share * n), max(n - 1, 0)) if n > 1 else 0
    shown = add_noise(clean, {"name": "frame_drop", "seconds": seconds}, share, 1).read()[:, 0]
    assert (np.diff(shown) >= 0).all()
    assert len(set(shown)) == n - lost
    assert (shown <= np.arange(n)).all()
    left = add_noise(clean, {"name": "frame_drop", "seconds": seconds, "to": "remove"}, share, 1)
    assert len(left) == n - lost
    np.testing.assert_allclose(left.read()[:, 0], left.clock.times * 10)


@given(st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=25)
def test_dropouts_are_exactly_as_many_as_asked(share: float, seconds: float) -> None:
    for kind in ("series", "pose", "waveform"):
        clean = stream_of(kind)[5:]
        gone = np.isnan(add_noise(clean, {"name": "dropout", "seconds": seconds}, share, 1).read())
        rows = gone.reshape(len(gone), -1)
        assert rows.any(1).sum() == rows.all(1).sum() == round(share * len(clean))


def test_a_dropout_lasts_as_long_as_asked() -> None:
    gone = np.isnan(add_noise(stream_of("series"), {"name": "dropout", "seconds": 0.2}, 0.25, 1).read()[:, 0])
    edges = np.flatnonzero(np.diff(np.concatenate([[0], gone, [0]])))
    assert set(np.diff(edges)[::2]) == {50}


def test_jitter_has_its_deviation_and_keeps_order() -> None:
    clean = stream_of("frames", 5000)
    moved = add_noise(clean, "jitter", 0.004, 1).clock.times - clean.clock.times
    assert abs(moved.std() - 0.004) < 2e-4
    wild = add_noise(clean, "jitter", 1.0, 1)
    assert (np.diff(wild.clock.times) >= 0).all()
    words = stream_of("words", 50)
    jittered = add_noise(words, "jitter", 0.05, 1).clock
    assert isinstance(jittered, Spans)
    assert isinstance(words.clock, Spans)
    np.testing.assert_allclose(jittered.stops - jittered.starts, words.clock.stops - words.clock.starts)


def distance(a: str, b: str) -> int:
    """Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours."""
    d = {(i, j): i + j for i in range(-1, len(a)) for j in range(-1, len(b)) if i < 0 or j < 0}
    d = {(i, -1): i + 1 for i in range(-1, len(a))} | {(-1, j): j + 1 for j in range(-1, len(b))}
    for i in range(len(a)):
        for j in range(len(b)):
            d[i, j] = min(d[i - 1, j] + 1, d[i, j - 1] + 1, d[i - 1, j - 1] + (a[i] != b[j]))
            if i and j and a[i] == b[j - 1] and a[i - 1] == b[j]:
                d[i, j] = min(d[i, j], d[i - 2, j - 2] + 1)
    return d[len(a) - 1, len(b) - 1]


@given(st.floats(0, 1), st.integers(0, 20))
@settings(max_examples=20)
def test_typing_errors_are_no_more_than_asked_and_nearly_as_many(share: float, seed: int) -> None:
    words = stream_of("words", 40, seed)
    typed = add_noise(words, "typo", share, seed).read()
    letters = sum(c.isalnum() for w in words.read() for c in w)
    errors = sum(distance(a, b) for a, b in zip(words.read(), typed))
    assert errors <= round(share * letters)
    if share < 0.3:  # few meet: two in a row may cancel out
        assert errors >= 0.6 * round(share * letters) - 2


def test_wrong_keys_are_neighbours_and_keep_their_case() -> None:
    words = Stream.of(["gggggggg", "GGGGGGGG"] * 20, times=np.arange(40))
    typed = add_noise(words, "typo", 0.5, 1).read()
    assert set("".join(typed[::2])) <= set("gfhtyvb")
    assert set("".join(typed[1::2])) <= set("GFHTYVB")
    assert len(set("".join(typed[::2]))) == 7
    with pytest.raises(ConfigError, match=r"typo\.layout: got 'qwer'"):
        add_noise(words, {"name": "typo", "layout": "qwer"}, 0.1, 1)


def test_what_cannot_be_is_said_with_what_can() -> None:
    frames = stream_of("frames")
    with pytest.raises(ConfigError, match=r"level 1\.5; expected a finite number from 0 to 1 \(share of the picture"):
        add_noise(frames, "occlusion", 1.5, 0)
    with pytest.raises(ConfigError, match="level -1"):
        add_noise(frames, "blur", -1, 0)
    with pytest.raises(DataError, match="typo noise is for words, but the stream is frames"):
        add_noise(frames, "typo", 0.1, 0)
    with pytest.raises(ConfigError, match=r"occlusion has no such option"):
        add_noise(frames, {"name": "occlusion", "second": 2}, 0.1, 0)
    with pytest.raises(ConfigError, match="repeat or remove"):
        add_noise(frames, {"name": "frame_drop", "to": "hold"}, 0.1, 0)
    with pytest.raises(ConfigError, match="-2 to 2"):
        noise_of({"name": "coloured", "exponent": 3})
    with pytest.raises(ConfigError, match="black, mean, noise"):
        noise_of({"name": "occlusion", "fill": "white"})


def test_a_tag_holds_every_option_and_the_old_kinds_keep_theirs() -> None:
    assert noise_named("white") == ("white", "white")
    assert noise_named("dropout")[1] == {"name": "dropout", "seconds": 1.0}
    assert noise_named({"name": "typo", "layout": "azerty"})[0] == "typo (layout azerty)"


def test_removed_frames_stand_on_their_own_times() -> None:
    clean = stream_of("frames")
    left = add_noise(clean, {"name": "frame_drop", "to": "remove", "seconds": 0.2}, 0.5, 3)
    assert not isinstance(left.clock, Grid)
    kept = [round(t * 25) for t in left.clock.times]
    np.testing.assert_array_equal(left.read(), clean.read()[kept])
    np.testing.assert_array_equal(left.cut(0.5, 1.5).read(), clean.read()[[k for k in kept if 12.5 <= k < 37.5]])


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_word_errors_are_as_many_as_asked(share):
    said = [f"w{i} v{i}" for i in range(200)]
    heard = add_noise(Stream.of(said, times=np.arange(200.0)), "word_errors", share, 1).read()
    lost = sum(word not in str(row).split() for row, text in zip(heard, said) for word in text.split())
    # one kind of three, an inserted word, leaves its neighbour as it was
    assert lost == pytest.approx(400 * share * 2 / 3, abs=25)
    assert len(heard) == 200
    changed = sum(str(row) != text for row, text in zip(heard, said))
    assert changed <= 400 * share
