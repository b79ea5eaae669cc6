"""What the documentation shows is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from plait.cli import commands
from plait.recipe import load_recipe, parse_recipe
from plait.training.full import full_recipe

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs/parts").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_yaml_blocks_are_yaml(page: Path) -> None:
    for text in blocks(page, "yaml"):
        assert yaml.safe_load(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("path", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_recipe_is_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAIT_DATA", "data")
    full_recipe(load_recipe(path))


@pytest.mark.parametrize("command", commands())
def test_every_command_stands_in_the_docs(command: str) -> None:
    assert any(f"plait {command}" in page.read_text(encoding="utf-8") for page in PAGES)


def test_the_shortest_recipe_is_enough() -> None:
    full_recipe(parse_recipe(blocks(ROOT / "docs/recipes.md", "yaml")[0]))


@pytest.mark.slow
def test_the_python_of_the_docs_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for code in blocks(ROOT / "docs/your-data.md", "python"):
        exec(compile(code, "docs/your-data.md", "exec"), {})
    assert "['imu', 'mic']" in capsys.readouterr().out
