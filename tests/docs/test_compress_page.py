"""The page about smaller runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from plait.compression import Way
from plait.core.parts import parts
from plait.packing import Packing

PAGE = Path(__file__).parents[2] / "docs" / "compress.md"


@pytest.mark.slow
def test_the_example_compresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    exec(compile(code, str(PAGE), "exec"), {})
    sizes, enough, label = capsys.readouterr().out.strip().splitlines()
    assert int(sizes.split(" %")[0]) <= 30
    assert float(sizes.split()[-1]) >= -1
    assert enough in ("enough: ['wrist']", "enough: ['chest']")
    assert "rest" in label or "walk" in label


@pytest.mark.parametrize("name", [n for base in (Way, Packing) for n in parts(base) if n != "exact"])
def test_every_form_stands_on_the_page(name: str) -> None:
    assert re.search(rf"^\| `{name}[`=]", PAGE.read_text(encoding="utf-8"), re.M)
