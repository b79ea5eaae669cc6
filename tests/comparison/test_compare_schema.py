"""A comparison has the keys and types that its schema says, and what is read back is checked against it."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from plait.comparison.report import save_comparison
from plait.comparison.schema import Comparison, comparison_schema, read_comparison
from plait.core.errors import DataError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def comparison() -> Any:
    return json.loads((ROOT / "docs/compare/gait.json").read_text(encoding="utf-8"))


def test_what_is_saved_comes_back_the_same(comparison: Any, tmp_path: Path) -> None:
    save_comparison(comparison, tmp_path)
    assert read_comparison(tmp_path) == comparison == read_comparison(tmp_path / "compare.json")


def test_the_schemas_file_is_that_of_the_code() -> None:
    made = runpy.run_path(str(ROOT / "docs/pictures/comparison_schema.py"))
    assert made["FILE"].read_text(encoding="utf-8") == made["text"](), "run: python docs/pictures/comparison_schema.py"
    assert set(comparison_schema()["properties"]) == set(Comparison.__annotations__)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no json", "no JSON"),
        ('{"subsets": []}', "no comparison: got .*; expected an object with 'variants'"),
        ('{"variants": []}', "version none, so that it is from an older plait; expected 1"),
        ('{"variants": [], "version": 2}', "version 2; expected 1"),
    ],
)
def test_what_is_older_or_foreign_is_told_with_what_to_do(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "compare.json").write_text(text)
    with pytest.raises(DataError, match=f"compare.json: {said}.*plait compare RECIPE"):
        read_comparison(tmp_path)


def test_every_wrong_value_is_told_with_its_place(comparison: Any, tmp_path: Path) -> None:
    comparison["variants"][0]["low"] = "little"
    comparison["colour"] = "red"
    del comparison["advice"]["take"]
    (tmp_path / "c.json").write_text(json.dumps(comparison))
    with pytest.raises(DataError) as error:
        read_comparison(tmp_path / "c.json")
    told = "\n".join(error.value.problems)
    assert len(error.value.problems) == 3
    assert "variants.0.low: got 'little'; input should be a valid number" in told
    assert "colour: got 'red'; extra inputs are not permitted" in told
    assert "advice.take: " in told
