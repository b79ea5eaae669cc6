"""Small files that claim, unpack to or hold absurd amounts: refused or read, and never at more than a file's price."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from plait.core.errors import ConfigError, DataError
from plait.core.parts import parts
from plait.readers import Reader, open_streams
from plait.testing.fuzz import replay


@pytest.fixture(scope="module")
def bombs(tmp_path_factory):
    pytest.importorskip("h5py")
    pytest.importorskip("zstandard")
    pytest.importorskip("lz4.frame")
    spec = importlib.util.spec_from_file_location("fuzz_bombs", Path(__file__).with_name("bombs.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make_bombs(tmp_path_factory.mktemp("bombs"))


@pytest.mark.slow
def test_no_bomb_costs_more_than_a_file(bombs):
    """Each took over 5 s of processor time or 1 GB of memory, or may once a limit is lost."""
    tally = replay(bombs)
    assert tally.inputs == len(bombs) > 50
    assert {bombs[f.number].path.name: f.what for f in tally.failures} == {}
    assert tally.errors > 35


@pytest.mark.slow
def test_what_is_refused_says_how_to_open_it_all_the_same(bombs):
    by_name = {case.path.name: case for case in bombs}
    for name in ("messages.mcap", "deflated.npz", "deflated73.mat", "packed.mat", "zstd.parquet", "columns.csv"):
        case = by_name[name]
        with pytest.raises(DataError, match=r"of a file of [\d,]+ bytes; expected at most .* the option budget: \d+\."):
            [s.read() for s in open_streams(case.path, case.reader, case.options).values()]
    assert len(open_streams(by_name["packed.mat"].path, options={"budget": 2})["x"].read()) == 1


def test_a_budget_is_a_number_above_0_for_every_reader(tmp_path):
    for reader in parts(Reader):
        for budget in (0, -1, True, "10", float("inf"), float("nan")):
            with pytest.raises(ConfigError, match=r"budget: got .*; expected a number above 0"):
                open_streams(tmp_path, reader, {"budget": budget})
