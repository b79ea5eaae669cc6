"""What the page of `plait compare` shows of real data is what its numbers say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from plait.comparison.advice import advise
from plait.comparison.report import as_markdown

DOCS = Path(__file__).parents[2] / "docs"
FOUND = sorted((DOCS / "compare").glob("*.json"))


@pytest.mark.parametrize("path", FOUND, ids=lambda p: p.stem)
def test_table_and_advice_are_those_of_the_numbers(path: Path) -> None:
    result = json.loads(path.read_text(encoding="utf-8"))
    if "intervals" not in result:
        pytest.skip("compared before intervals were those of the jackknife, as the page says: to be run again")
    assert advise(result) == result["advice"], "run docs/pictures/compare.py"
    shown = as_markdown(result, picture=f"images/compare-{path.stem}.png", level=3)
    assert shown in (DOCS / "compare.md").read_text(encoding="utf-8"), "run docs/pictures/compare.py"
    assert (DOCS / f"images/compare-{path.stem}.png").exists()
