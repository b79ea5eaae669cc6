"""What the documentation shows is run."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from plait.cli import commands
from plait.core.parts import build
from plait.recipe import load_recipe, parse_recipe
from plait.training.full import full_recipe

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.S)


def test_the_fusion_of_the_docs_obeys_the_laws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from plait.fusion import Fusion
    from plait.testing import check_fusion

    code = blocks(ROOT / "docs/add-a-fusion.md", "python")[0]
    (tmp_path / "my_lab_strongest.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = {"name": "my_lab_strongest.Strongest", "bias": False}
    fusion = build(Fusion, spec, ["a", "b"], 8, where="fusion")
    check_fusion(type(fusion))
    sys.modules.pop("my_lab_strongest")


def test_the_unit_and_the_split_of_the_docs_obey_the_laws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from plait.corpus.corpus import Corpus, CorpusWriter
    from plait.examples.items import find_items
    from plait.streams.stream import Stream
    from plait.testing import check_split, check_unit

    page = ROOT / "docs/recipes.md"
    (tmp_path / "mylab").mkdir()
    for name, code in zip(("units", "splits"), blocks(page, "python")):
        assert code.startswith(f"# mylab/{name}.py")
        (tmp_path / f"mylab/{name}.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    with CorpusWriter(tmp_path) as out:
        for i in range(8):
            labels = {"mood": "calm"} if i % 3 else {}
            out.add(f"r{i}", {"imu": Stream.of(np.zeros((200, 1)), rate=10)}, labels=labels, meta={"year": 2020 + i})
    corpus = Corpus(tmp_path / "manifest.jsonl")
    (text,) = [block for block in blocks(page, "yaml") if "mylab" in block]
    recipe = full_recipe(parse_recipe("corpus: manifest.jsonl\n" + text))
    unit = {k: recipe.task[k] for k in ("unit", "target", "seconds")}
    assert check_unit(corpus, unit) == 5
    (fold,) = check_split(find_items(corpus, unit).items, corpus, recipe.split)
    assert (len(fold.train), len(fold.test)) == (2, 3)
    for module in ("mylab", "mylab.units", "mylab.splits"):
        sys.modules.pop(module, None)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_yaml_blocks_are_yaml(page: Path) -> None:
    for text in blocks(page, "yaml"):
        assert yaml.safe_load(text)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
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
