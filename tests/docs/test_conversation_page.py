"""The page about context runs, and its example needs context."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plait import evaluate, fit, load_recipe

PAGE = Path(__file__).parents[2] / "docs" / "conversation.md"


@pytest.mark.slow
def test_the_example_is_learnt_in_context_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shared: dict[str, object] = {}
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S):
        exec(compile(code, str(PAGE), "exec"), shared)
    assert capsys.readouterr().out == "1.00 0.49\n"
    result = evaluate(fit(load_recipe("mood.yaml"), "run", cache="cache", quiet=True), cache="cache")
    found = {frozenset(s["modalities"]): s["metrics"]["accuracy"]["mean"] for s in result["subsets"]}
    assert found[frozenset(("text", "tone"))] < 0.85
    assert found[frozenset(("text", "tone", "text.before", "tone.before"))] > 0.9
