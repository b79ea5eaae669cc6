"""The page about streaming runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "streaming.md"


@pytest.mark.slow
def test_the_example_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    space: dict[str, object] = {}
    first, clocks, replay = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    exec(compile(first, str(PAGE), "exec"), space)
    facts, *told = capsys.readouterr().out.strip().splitlines()
    assert facts.startswith("answers every 1 s, final 1 s later (set by chest)")
    assert "encoded anew" not in facts
    final = [line for line in told if "so far" not in line]
    assert [float(line.split(" s:")[0]) for line in final] == [2.0, 3.0, 4.0]
    assert any("waiting for chest" in line for line in told)
    assert all("walk" in line for line in final)
    exec(compile(clocks, str(PAGE), "exec"), space)
    assert "trusted=True" in capsys.readouterr().out
    exec(compile(replay, str(PAGE), "exec"), space)
    equal, worse = capsys.readouterr().out.strip().splitlines()
    assert equal == "True"
    assert worse.startswith("7 Counts(")
