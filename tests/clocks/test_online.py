"""Clocks corrected on line: within 10 ms after a minute, however cut, never backwards, and wrong ones say so."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from plait.clocks.link import Limits
from plait.clocks.online import OnlineClock
from plait.clocks.online_window import Ring, _below, of_pairs
from plait.clocks.slew import CREEP, Slew
from plait.core.errors import ConfigError, DataError


def packets(seed: int = 0, seconds: float = 70.0, rate: float = 20, jump: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Stamps of packets and of their arrival: 2 s and 200 ppm off, 20 ms late on average; a jump at 40 s."""
    rng = np.random.default_rng(seed)
    own = np.sort(rng.uniform(0, seconds, int(seconds * rate)))
    return own, own + 2 + 200e-6 * own + jump * (own >= 40) + rng.exponential(0.02, len(own))


def swell(t: np.ndarray, seed: int = 0) -> np.ndarray:
    """What happens at true seconds: noise up to 8 Hz."""
    noise = np.random.default_rng(seed).standard_normal(12 * 140)
    return np.interp((t + 20) * 12, np.arange(len(noise)), noise)


def seen(lag: np.ndarray | float, t: np.ndarray, seed: int, of: int = 0) -> np.ndarray:
    return swell(t + lag, of) + 0.2 * np.random.default_rng(seed).standard_normal(len(t))


def both(seconds: float, of: int = 0, rate: float = 50) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The reference, and a stream whose clock is 2 s and 200 ppm off (``of``: another world, where it is not 0)."""
    t = np.arange(int(seconds * rate)) / rate
    return {"reference": (t, seen(0.0, t, 1)), "own": (t, seen(2 + 200e-6 * t, t, 2, of))}


def fed(streams: dict[str, tuple[np.ndarray, np.ndarray]], size: int = 100, **options: float) -> OnlineClock:
    clock = OnlineClock(**options)
    for lo in range(0, len(streams["own"][0]), size):
        for which, (t, values) in streams.items():
            clock.push_signal(which, values[lo : lo + size], t[lo : lo + size])
    return clock


@pytest.mark.parametrize("noise", ["delay", "jitter"])
def test_pairs_are_within_10_ms_after_a_minute(noise: str) -> None:
    own, came = packets(seconds=61)
    if noise == "jitter":
        came = own + 2 + 200e-6 * own + np.random.default_rng(1).normal(0, 0.005, len(own))
        came[::20] += 0.5  # misread
    clock = OnlineClock(noise=noise)
    clock.push(own, came)
    facts = clock.facts
    error = abs(facts.offset - 2 - 200e-6 * facts.at)
    assert error < min(facts.half_width_s, 0.010)
    assert facts.trusted, facts.reason
    assert facts.at == 60
    assert abs(facts.drift_ppm - 200) < 100
    assert abs(float(clock.correct(61.0)) - (61 + 2 + 200e-6 * 61)) < 0.010


def test_signals_are_within_10_ms_after_a_minute_and_strangers_say_so() -> None:
    clock = fed(both(60.5), every=20)
    facts = clock.facts
    assert abs(facts.offset - 2.012) < min(facts.half_width_s, 0.010)
    assert facts.trusted
    assert facts.reason == ""
    strangers = fed(both(40.5, of=7), every=20)
    assert not strangers.facts.trusted
    assert "nothing in common" in strangers.facts.reason
    np.testing.assert_array_equal(strangers.correct([1.0, 2.0]), [1.0, 2.0])


def test_an_even_beat_fits_at_each_of_its_strokes_and_is_not_trusted() -> None:
    t = np.arange(0, 40.5, 0.02)
    stroke = {"reference": (t, np.sin(2 * np.pi * t) ** 8), "own": (t, np.sin(2 * np.pi * (t + 0.3)) ** 8)}
    facts = fed(stroke, every=20).facts
    assert not facts.trusted
    assert facts.reason


def test_too_short_and_nothing_yet_are_told() -> None:
    clock = OnlineClock()
    assert clock.facts.reason == "nothing was compared yet"
    assert not np.isfinite(clock.facts.half_width_s)
    clock.push([0.0, 11.0, 16.0], [0.0, 11.0, 16.0])
    assert "too short" in clock.facts.reason
    np.testing.assert_array_equal(clock.correct([5.0]), [5.0])


@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(0, 400), max_size=40), noise=st.sampled_from(["delay", "jitter"]))
def test_pairs_tell_the_same_however_they_are_cut(cuts: list[int], noise: str) -> None:
    own, came = packets(rate=6, jump=0.4)
    whole, cut, answers = OnlineClock(noise=noise, every=10), OnlineClock(noise=noise, every=10), []
    for clock in (whole, cut):
        clock.correct([0.0])  # from the first answer on
    whole.push(own, came)
    for lo, hi in pairwise(sorted({0, len(own), *cuts})):
        cut.push(own[lo:hi], came[lo:hi])
        answers.append(cut.correct(own[lo:hi]))
    assert cut.facts == whole.facts
    np.testing.assert_allclose(np.concatenate(answers), whole.correct(own), atol=1e-9)
    assert (np.diff(np.concatenate(answers)) > 0).all()


@settings(max_examples=4, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["own", "reference"]), st.integers(1, 250)), max_size=30))
def test_signals_tell_the_same_however_they_are_cut_and_ordered(pieces: list[tuple[str, int]]) -> None:
    streams = both(21)
    clock, at = OnlineClock(every=10), {"own": 0, "reference": 0}
    for which, n in [*pieces, ("own", 2000), ("reference", 2000)]:
        t, values = streams[which]
        lo = at[which]
        clock.push_signal(which, values[lo : lo + n], t[lo : lo + n])
        at[which] += n
    assert clock.facts == _WHOLE.setdefault("facts", fed(streams, every=10).facts)


_WHOLE: dict[str, object] = {}


def test_a_jump_is_told_distrusted_and_then_followed() -> None:
    own, came = packets(seconds=90, jump=0.4)
    clock, answers, trusted = OnlineClock(), [], {}
    for second in range(90):
        part = (own >= second) & (own < second + 1)
        clock.push(own[part], came[part])
        answers.append(clock.correct(own[part]))
        trusted[second] = clock.facts.trusted
    assert clock.facts.jump is not None
    at, size = clock.facts.jump
    assert abs(at - 40) < 2
    assert abs(size - 0.4) < 0.02
    assert trusted[39]
    assert not trusted[46]  # noticed within two estimates
    assert trusted[89]
    assert (np.diff(np.concatenate(answers)) > 0).all()
    assert abs(answers[-1][-1] - (own[-1] * (1 + 200e-6) + 2.4)) < 0.010


def test_only_the_future_is_corrected_and_slowly() -> None:
    own, came = packets(seconds=80)
    clock = OnlineClock(step=np.inf, slew_ppm=1000)
    clock.push(own[own < 5], came[own < 5])
    early = np.array([1.0, 4.9])
    np.testing.assert_array_equal(clock.correct(early), early)
    clock.push(own[own >= 5], came[own >= 5])
    np.testing.assert_array_equal(clock.correct(early), early)
    at = np.arange(30.0, 80.0)
    pace = np.diff(clock.correct(at))
    # Two seconds at 1000 ppm take half an hour, on top of a drift of 200 ppm.
    np.testing.assert_allclose(pace, 1 + 200e-6 + 1000e-6, atol=2e-4)
    assert -2.0 < clock.facts.slewing_s < -1.9


def test_trust_ends_where_nothing_confirms_the_clock_any_more() -> None:
    streams = both(41)
    clock = fed(streams, every=20)
    assert clock.facts.trusted
    before = clock.facts.half_width_s
    own = np.arange(41, 80, 0.02)
    clock.push_signal("own", seen(2 + 200e-6 * own, own, 3), own)
    assert clock.facts.half_width_s > before
    clock.push_signal("own", np.zeros(1), [150.0])
    assert not clock.facts.trusted
    assert "reference at 41 s" in clock.facts.reason
    assert clock.facts.offset == pytest.approx(2.008, abs=0.010)  # it goes on as it was


@pytest.mark.parametrize("kind", ["pairs", "signals"])
def test_saved_and_loaded_it_goes_on_as_if_nothing_had_happened(kind: str) -> None:
    own, came = packets()
    streams = both(41)

    def feed(clock: OnlineClock, part: slice) -> None:
        if kind == "pairs":
            clock.push(own[part], came[part])
            clock.correct(own[part])
        else:
            for which, (t, values) in streams.items():
                clock.push_signal(which, values[part], t[part])

    one = OnlineClock(every=20)
    feed(one, slice(0, 1101))
    saved = one.save()
    assert all(isinstance(each, np.ndarray) and each.dtype != object for each in saved.values())
    json.loads(bytes(saved["json"]))
    assert one.state_bytes == sum(each.nbytes for each in saved.values())
    other = OnlineClock.load(saved)
    assert other.facts == one.facts
    for clock in (one, other):
        feed(clock, slice(1101, None))
    assert other.facts == one.facts
    assert other.counts == one.counts
    np.testing.assert_array_equal(other.correct([70.0, 71.0]), one.correct([70.0, 71.0]))


def test_the_state_does_not_grow() -> None:
    own, came = packets(seconds=300)
    clock, sizes = OnlineClock(every=20), []
    for part in np.array_split(np.arange(len(own)), 40):
        clock.push(own[part], came[part])
        clock.correct(own[part])
        sizes.append(clock.state_bytes)
    assert max(sizes[20:]) <= max(sizes[:20]) + 300
    assert max(sizes) < 4096
    ring = Ring(10.0)
    for lo in range(0, 100_000, 7):
        ring.push(np.arange(lo, lo + 7) / 100, np.zeros(7, np.float32))
    assert ring.times.nbytes + ring.values.nbytes < 4 * 1000 * 12
    assert len(ring.between(0, 1e9)[0]) == 1001


WRONG_PIECES = [
    (("own", [1.0, 2.0], [0.0, np.nan]), "own times: number 1 is nan"),
    (("own", [1.0], [0.0, 1.0]), "1 values"),
    (("own", ["a"], [0.0]), "expected numbers"),
    (("own", [1.0], [[0.0]]), "one number per observation"),
]


@pytest.mark.parametrize(("piece", "message"), WRONG_PIECES)
def test_a_wrong_piece_changes_nothing(piece: tuple[str, list[float], list[float]], message: str) -> None:
    clock = OnlineClock()
    clock.push_signal("own", [1.0, 2.0], [0.0, 0.1])
    before = clock.save()
    with pytest.raises(DataError, match=message):
        clock.push_signal(*piece)
    for name, each in clock.save().items():
        np.testing.assert_array_equal(each, before[name])


def test_misuse_is_told() -> None:
    clock = OnlineClock()
    with pytest.raises(ConfigError, match="'mine' is unknown; expected one of own, reference"):
        clock.push_signal("mine", [1.0], [0.0])
    with pytest.raises(DataError, match="2 own times but 1 reference times"):
        clock.push([0.0, 1.0], [0.0])
    with pytest.raises(DataError, match="times: number 0 is inf"):
        clock.correct(np.inf)
    clock.push([], [])
    clock.push_signal("own", np.zeros((3, 2)), [0, 1, 2])
    with pytest.raises(ConfigError, match=r"got series\[3\], but this clock is fed with series\[2\]"):
        clock.push_signal("own", np.zeros((1, 3)), [4])
    with pytest.raises(ConfigError, match="got pairs"):
        clock.push([5.0], [5.0])
    with pytest.raises(DataError, match="lacks slew, block"):
        OnlineClock.load({"json": clock.save()["json"]})
    wrong = {"window": 5, "every": 70.0, "slew_ppm": np.nan, "noise": "hum"}
    with pytest.raises(ConfigError, match=r"(?s)window.*every.*slew_ppm.*noise") as told:
        OnlineClock(**wrong)
    assert len(told.value.problems) == 4


def test_times_that_do_not_grow_are_counted_and_dropped() -> None:
    own, came = packets()
    clean, rough = OnlineClock(), OnlineClock()
    clean.push(own, came)
    rough.push(np.concatenate([own[:700], own[600:]]), np.concatenate([came[:700], came[600:]]))
    assert rough.facts == clean.facts
    assert rough.counts == {"used": len(own), "late": 99, "repeated": 1}


def test_a_far_step_of_time_takes_no_time() -> None:
    own, came = packets()
    clock = OnlineClock()
    clock.push(own, came)
    clock.push([1e12], [1e12])
    assert not clock.facts.trusted


def test_epochs_far_apart_are_no_matter_for_pairs() -> None:
    own, came = packets()
    clock = OnlineClock()
    clock.push(own, came + 1.7e9)
    facts = clock.facts
    assert facts.trusted
    assert abs(facts.offset - 1.7e9 - 2 - 200e-6 * facts.at) < 0.010


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.floats(-3, 3), st.floats(-1e-3, 1e-3), st.integers(0, 9)), max_size=90)
)
def test_corrected_time_is_written_once_and_always_grows(aims: list[tuple[int, float, float, int]]) -> None:
    clock, told, now = Slew(pace=500e-6, step=0.128), {}, 0.0
    for wait, ahead, drift, on in aims:
        now += on
        at = np.linspace(now, now + 1, 5)
        told |= dict(zip(at.tolist(), clock(at).tolist()))
        clock.aim(now + wait, ahead, drift)
    times = np.array(sorted(told))
    kept = times[times > times.max(initial=0) - 20]  # older ones may be beyond the bends that are kept
    np.testing.assert_allclose(clock(kept), [told[t] for t in kept], atol=1e-9)
    assert (np.diff([told[t] for t in times]) >= 0.5 * CREEP * np.diff(times)).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(8, 40))
def test_the_line_below_all_pairs_is_that_of_the_linear_program(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    times, lags = np.sort(rng.uniform(0, 60, n)), 2 + rng.exponential(0.02, n)
    line = _below(times, lags, 60.0)
    x = times - times.mean()
    # Least total distance, with no pair below the line: the greatest offset + drift * mean(x).
    best = linprog([-1.0, 0.0], np.column_stack([np.ones(n), x]), lags, bounds=[(None, None)] * 2)
    assert (lags - line.at(times) > -1e-9).all()
    assert line.at(times.mean()) == pytest.approx(-best.fun, abs=1e-7)


def test_stated_half_widths_hold() -> None:
    off, half = [], []
    for seed in range(20):
        own, came = packets(seed, seconds=60, rate=1)
        got = of_pairs(own, came - own, 60.0, Limits(tolerance=1.0), "delay")
        off.append(abs(got.lag - 2.012))
        half.append(got.half_width)
    assert np.mean(np.array(off) < half) >= 0.9
    assert np.median(half) < 0.02


def test_the_python_of_the_docs_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "synchronise.md").read_text(encoding="utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "OnlineClock" in block]
    exec(compile(code, "docs/synchronise.md", "exec"), {})
    assert "trusted=True" in capsys.readouterr().out
