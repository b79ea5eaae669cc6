"""`plait compare` from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plait.cli import main
from plait.comparison.schema import read_comparison


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, Any]:
    code = main(["compare", *argv, "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.slow
def test_two_variants_are_compared_and_the_report_is_written(
    tiny_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, cache = str(tmp_path / "out"), str(tmp_path / "cache")
    options = ["--out", out, "--cache", cache, "--tune", "2", "--only", "late", "shared heads=2"]
    asked = [str(tiny_recipe), "train.epochs=1", *options, "--fusions", "{name: shared, heads: 2}"]
    code, result = run(capsys, *asked, "--seeds", "3")
    assert code == 0
    assert result["seeds"] == [3]
    assert [row["name"] for row in result["variants"]] == ["late", "shared-heads=2", "quick"]
    assert Path(result["report"]).stat().st_size > 10_000
    files = {p.name for p in Path(out).iterdir()}
    assert files == {"compare.json", "compare.md", "compare.png", "compare.html", "variants"}
    kept = {k: v for k, v in result.items() if k != "report"}
    assert read_comparison(out) == kept
    assert main(["compare", *asked, "--seeds", "3"]) == 0
    printed = capsys.readouterr().out
    assert "shared heads=2" in printed
    assert "Take " in printed
    assert "report:" in printed


def test_what_is_asked_wrongly_is_told(tiny_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = [str(tiny_recipe), "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache"), "--fusions"]
    code, result = run(capsys, *asked, "lat", "nothing")
    assert (code, result["error"], len(result["problems"])) == (2, "ConfigError", 2)
    for strange in ("[1, 2]", "{name: shared"):
        code, result = run(capsys, *asked, strange)
        assert (code, result["error"]) == (2, "ConfigError")
        assert "--fusions" in result["problems"][0]
