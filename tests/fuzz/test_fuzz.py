"""Broken files: those that once did harm, some new ones for every reader, and that harm would be noticed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

import plait.testing.fuzz as fuzz
from plait.core.parts import parts
from plait.readers import Reader
from plait.testing.fuzz import Case, Seed, broken_copy, fuzz_reader, replay

HERE = Path(__file__).parent
CASES = [
    Case(options.parts[-3], next(p for p in options.parent.iterdir() if p != options), json.loads(options.read_text()))
    for options in sorted(HERE.glob("cases/*/*/options.json"))
]


@pytest.fixture(scope="module")
def seeds():
    spec = importlib.util.spec_from_file_location("fuzz_seeds", HERE / "seeds.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_what_once_did_harm_does_none():
    """Each of these ended in a crash, another exception or gigabytes of memory before the reader was mended."""
    tally = replay(CASES)
    assert tally.inputs == len(CASES) >= 19
    assert {CASES[f.number].path.parent.name: f.what for f in tally.failures} == {}


def test_every_reader_is_fuzzed(seeds):
    assert set(seeds.SEEDS) == set(parts(Reader))


@pytest.mark.slow
@pytest.mark.parametrize("reader", parts(Reader))
def test_broken_copies_end_in_values_or_in_a_data_error(reader, seeds, tmp_path):
    tally = fuzz_reader(reader, seeds.make_seeds(reader, tmp_path), inputs=250, first=10_000_000)
    assert (tally.inputs, tally.failures) == (250, [])
    assert min(tally.results, tally.errors) > 5  # neither are all broken beyond opening, nor all whole


def test_inputs_are_known_by_their_number(seeds, tmp_path):
    given = seeds.make_seeds("table", tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for number in range(40):
        a, b = (broken_copy(tmp_path / name, given, "table", number) for name in "ab")
        assert (a.path.name, a.path.read_bytes()) == (b.path.name, b.path.read_bytes())


BAD = """
import ctypes
import numpy as np
from plait.core.errors import DataError
from plait.readers import Reader
from plait.streams.stream import Stream

class Bad(Reader):
    suffixes = (".bad",)

    def open(self, path):
        what = path.read_text()
        if what == "divide":
            1 / 0
        if what == "hang":
            while True:
                pass
        if what == "crash":
            ctypes.string_at(0)
        if what == "swell":
            np.ones(150_000_000)
        if what == "claim":
            np.empty(10**12)
        if what == "infinite":
            return {"x": Stream.of([np.inf], rate=1)}
        raise DataError("all is well")
"""


@pytest.mark.slow
def test_harm_is_noticed(tmp_path, monkeypatch):
    (tmp_path / "bad_lab.py").write_text(BAD)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(fuzz, "SECONDS", 4.0)
    cases = []
    for what in ("fine", "divide", "hang", "crash", "swell", "claim", "infinite"):
        (tmp_path / f"{what}.bad").write_text(what)
        cases.append(Case("bad_lab.Bad", tmp_path / f"{what}.bad"))
    tally = replay(cases)
    told = {cases[f.number].path.stem: f.what for f in tally.failures}
    assert (tally.inputs, tally.errors, "fine" in told) == (7, 1, False)
    assert told["divide"].startswith("ZeroDivisionError at bad_lab.py:14")
    assert told["hang"].startswith("hangs")
    assert "exit code -11" in told["crash"]
    assert "MB of memory" in told["swell"]
    assert told["claim"].startswith(("MemoryError", "_ArrayMemoryError"))
    assert "infinite values" in told["infinite"]


@pytest.mark.slow
def test_fuzzing_stops_after_failures(tmp_path, monkeypatch):
    (tmp_path / "bad_lab.py").write_text(BAD.replace('raise DataError("all is well")', "1 / 0"))
    monkeypatch.syspath_prepend(str(tmp_path))
    seed = tmp_path / "a.bad"
    seed.write_text("nothing")
    tally = fuzz_reader("bad_lab.Bad", [Seed(seed)], inputs=50, stop_after=3)
    assert len(tally.failures) == 3
