"""A clock is corrected where that is surely better, and each flag has a meaning that can be looked up."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.cli import main
from plait.clocks import ClockFix, synchronise, write_synced
from plait.clocks.drift import Curve
from plait.clocks.estimate import solve
from plait.clocks.flags import Flag, nearer
from plait.clocks.link import Limits, Link
from plait.clocks.report import SyncReport
from plait.core.errors import DataError
from plait.corpus.corpus import Corpus, CorpusWriter

DOCS = Path(__file__).parents[2] / "docs" / "synchronise.md"


def _solved(monkeypatch: Any, strokes: Any, seen_by: Any, offset: float, within: float, **limits: float) -> ClockFix:
    """What is done about a clock that was found to be ``offset`` off, to ``within`` seconds."""
    curve = Curve(offset, 0.0, 15.0, np.diag([1e-8, 1e-16]), 0.001, 1.0, 20)
    monkeypatch.setattr("plait.clocks.estimate.link", lambda *_: Link("a", "b", curve, 0.99, within, ("x~y",)))
    rng = np.random.default_rng(0)
    at = strokes(rng, 30.0)
    a, b = (seen_by("series", at, 30.0, rng) for _ in range(2))
    (fix,) = solve("r", {"a": {"x": a}, "b": {"y": b}}, "a", Limits(**limits))
    return fix


def test_an_error_of_seconds_is_corrected_though_known_to_85_ms_only(
    monkeypatch: Any, strokes: Any, seen_by: Any
) -> None:
    fix = _solved(monkeypatch, strokes, seen_by, 2.5, 0.085)
    assert fix.applied
    assert fix.offset == pytest.approx(2.5, abs=1e-4)
    assert fix.uncertainty_s == pytest.approx(0.085, abs=0.001)
    assert fix.better > 0.999
    assert fix.flag is Flag.UNCERTAIN
    wide = _solved(monkeypatch, strokes, seen_by, 2.5, 0.085, tolerance=0.1)
    assert (wide.applied, wide.flag) == (True, Flag.NONE)


def test_what_is_not_surely_nearer_is_left(monkeypatch: Any, strokes: Any, seen_by: Any) -> None:
    fix = _solved(monkeypatch, strokes, seen_by, 0.03, 0.085)
    assert not fix.applied
    assert fix.flag is Flag.NOT_BETTER
    assert "not surely nearer" in fix.reason
    assert fix.better == pytest.approx(0.64, abs=0.01)
    sharp = _solved(monkeypatch, strokes, seen_by, 0.0001, 0.002)
    assert (sharp.applied, sharp.flag) == (True, Flag.NONE)


@given(st.integers(0, 2**31), st.floats(0.01, 10))
def test_nearer_is_the_share_of_draws_in_which_it_is_so(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((4, 4))
    moved = scale * rng.standard_normal(4)
    errors = rng.standard_normal((4000, 4)) @ root.T
    share = np.mean((errors**2).sum(axis=1) < ((errors - moved) ** 2).sum(axis=1))
    assert abs(nearer(moved, root @ root.T) - share) < 0.04


def test_each_flag_is_explained_and_says_whether_the_clock_was_corrected() -> None:
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (yes|no) \|", DOCS.read_text(), re.MULTILINE))
    assert {flag: "yes" if Flag(flag).corrected else "no" for flag in rows} == rows
    assert set(rows) == {str(flag) for flag in Flag if flag}


def _fix(applied: bool, flag: Flag, within: float = 0.001) -> ClockFix:
    reason = "why" if flag else ""
    return ClockFix("r", "d", ("d",), "x", uncertainty_s=within, applied=applied, flag=flag, reason=reason)


def test_the_summary_counts_what_was_corrected_and_why_others_were_left() -> None:
    good, loose = _fix(True, Flag.NONE), _fix(True, Flag.UNCERTAIN, 0.085)
    lost = _fix(False, Flag.NOTHING_IN_COMMON)
    report = SyncReport(("x",), (good,) * 9 + (loose,) * 3 + (lost, lost, _fix(False, Flag.UNREADABLE)), 5)
    said = "12 of 15 clocks corrected, 3 of them within 85 ms only; 3 left as they are: "
    assert report.summary == said + "2 nothing-in-common, 1 unreadable"
    assert report.lines()[-1] == report.summary
    told = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert (told["applied"], told["uncertain"], told["tolerance_s"]) == (12, 3, 0.010)
    assert told["left"] == {"nothing-in-common": 2, "unreadable": 1}
    assert told["summary"] == report.summary
    assert "no clock" in SyncReport((), (), 1).summary


@pytest.fixture
def corpus(tmp_path: Path, strokes: Any, seen_by: Any) -> Corpus:
    rng = np.random.default_rng(0)
    at = strokes(rng, 40.0)
    with CorpusWriter(tmp_path) as out:
        streams = {"left": seen_by("series", at, 40.0, rng), "right": seen_by("series", at - 0.5, 40.0, rng)}
        out.add("r", {**streams, "still": seen_by("series", np.zeros(0), 40.0, rng)})
    return Corpus(tmp_path / "manifest.jsonl")


def test_the_manifest_keeps_how_certain_each_clock_is(corpus: Corpus) -> None:
    report = synchronise(corpus)
    synced = Corpus(write_synced(corpus, report, corpus.folder / "synced.jsonl"))
    notes = {name: entry.sync for name, entry in synced.entries[0].streams.items() if entry.sync}
    assert set(notes) == {"right", "still"} or set(notes) == {"left", "still"}
    for name, note in notes.items():
        fix = report.of("r", name)
        assert fix is not None
        assert (note["applied"], note["flag"]) == (fix.applied, str(fix.flag))
        if fix.applied:
            assert note["uncertainty_s"] == fix.uncertainty_s
            assert note["better"] == fix.better


def test_the_tolerance_is_an_option(corpus: Corpus, capsys: Any) -> None:
    assert main(["sync", str(corpus.path), "--tolerance", "0.0001", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["tolerance_s"] == 0.0001
    assert {fix["flag"] for fix in told["fixes"]} == {"uncertain", "nothing-in-common"}
    assert told["uncertain"] == told["applied"] == 1


@pytest.mark.parametrize("tolerance", [0.0, -1.0, float("nan"), float("inf")])
def test_a_tolerance_that_is_none_is_refused(corpus: Corpus, tolerance: float) -> None:
    with pytest.raises(DataError, match="tolerance"):
        synchronise(corpus, tolerance=tolerance)
