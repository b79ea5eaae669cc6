"""The page about searches runs, and names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plait.tuning.choice import OBJECTIVES
from plait.tuning.space import KNOWN

PAGE = (Path(__file__).parents[2] / "docs/tune.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_its_python_searches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    exec(compile(code, "docs/tune.md", "exec"), {})
    told = capsys.readouterr().out
    assert told.startswith("chosen on the validation part: 32 items of 8 groups; accuracy of a constant answer 0.25")
    assert "cost: 4 trials" in told
    listed = re.findall(r"^\| `([\w.]+)` \|", PAGE.split("in the folder")[1].split("\n\n")[0], re.M)
    assert [name for name in listed if not (tmp_path / "runs/gait-tune" / name).exists()] == []


@pytest.mark.parametrize("name", [*OBJECTIVES, *KNOWN])
def test_every_objective_and_known_key_stands_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE
