"""The page of encoders: every line of a recipe on it is one, and no encoder is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from plait.core.parts import parts
from plait.encoders import Encoder
from plait.encoders.chain import encoder_specs
from plait.recipe import parse_recipe
from plait.training.full import full_recipe

PAGE = (Path(__file__).parents[2] / "docs/encoders.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
LINES = [line for line in re.findall(r"`(encoder: [^`]+)`", PAGE) if "..." not in line]


@pytest.mark.parametrize("line", LINES)
def test_the_recipes_lines_are_right(line: str) -> None:
    assert encoder_specs(yaml.safe_load(line)["encoder"], "encoder")


@pytest.mark.parametrize("block", BLOCKS)
def test_the_recipes_are_right(block: str) -> None:
    full_recipe(parse_recipe("corpus: films/manifest.jsonl\ntask: {name: classify, target: sign}\n" + block))


@pytest.mark.parametrize("name", parts(Encoder))
def test_every_encoder_stands_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE
