"""A benchmark that lacks what it needs says so at once, and all of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


def test_missing_data_are_told_by_name_and_at_once(tmp_path: Path) -> None:
    (tmp_path / "fsdd" / "recordings").mkdir(parents=True)
    (tmp_path / "fsdd" / "recordings" / "0_a_0.wav").touch()
    python = [sys.executable, str(FOLDER / "sync_coverage.py")]
    env = {**os.environ, "PLAIT_DATA": str(tmp_path)}
    done = subprocess.run(python, capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[0] == f"PLAIT_DATA={tmp_path} lacks:"
    assert any("utd_mhad/Skeleton/*.mat" in line and "skeletons" in line for line in lines)
    assert not any("fsdd" in line for line in lines)
    assert "Traceback" not in done.stderr


def test_without_a_folder_it_says_what_it_must_hold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    import needs

    monkeypatch.delenv("PLAIT_DATA", raising=False)
    with pytest.raises(SystemExit, match=r"PLAIT_DATA names no folder(.|\n)*one/\*\.wav +a sound"):
        needs.data({"one/*.wav": "a sound"})
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.wav").touch()
    monkeypatch.setenv("PLAIT_DATA", str(tmp_path))
    assert needs.data({"one/*.wav": "a sound"}) == tmp_path
