from __future__ import annotations

import json
from pathlib import Path

import pytest

from plait.cli import main


@pytest.mark.slow
def test_the_demo_runs_from_files_to_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Small, but whole: eight recordings, a few epochs. The full demo is measured by benchmarks/demo.py."""
    code = main(["demo", "--out", str(tmp_path), "--recordings", "8", "--epochs", "4", "--jobs", "1", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert code == 0
    assert found["sync"]["wrong_unflagged"] == 0
    assert found["sync"]["share_within"] >= 0.75
    assert {c["device"] for c in found["clocks"]} == {"imu", "words"}
    assert len(found["evaluation"]["subsets"]) == 15
    assert found["evaluation"]["gain_over_best_single"] > 0
    page = Path(found["report"]).read_text()
    assert "rec001" in page
    assert list((tmp_path / "corpus").glob("*.mp4"))
