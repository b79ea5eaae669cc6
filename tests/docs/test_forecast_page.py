"""docs/forecast.md, from its data to its verdict."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from plait.cli import main

PAGE = Path(__file__).parents[2] / "docs/forecast.md"


@pytest.mark.slow
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for language, code in re.findall(r"```(python|console)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S):
        if language == "python":
            exec(compile(code, str(PAGE), "exec"), names)
        for line in code.splitlines() if language == "console" else ():
            assert main(shlex.split(line.removeprefix("$ plait "))) == 0
    told = capsys.readouterr().out
    assert "Does another stream help to forecast load? yes (push)" in told.replace("\n", " ")
    assert names["low"] < names["middle"] < names["high"]
    result = json.loads((tmp_path / "runs/plant/evaluation.json").read_text(encoding="utf-8"))
    full = result["subsets"][-1]["metrics"]
    assert full["pinball_skill"]["mean"] > result["rivals"]["ridge"]["metrics"]["pinball_skill"] + 0.12
    assert 0.72 < full["coverage"]["mean"] < 0.88
    # whatever is missing, the rest answers, and its bands are honest
    for row in result["subsets"]:
        assert 0.65 < row["metrics"]["coverage"]["mean"] < 0.93, row["modalities"]
    annotated = (tmp_path / "plant/forecast.jsonl").read_text(encoding="utf-8").splitlines()
    assert all(json.loads(line)["annotations"] for line in annotated)
