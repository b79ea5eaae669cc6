"""Each command and each piece of Python on the pages of the themes is run, in the order of the page."""

from __future__ import annotations

import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from plait.cli import main

DOCS = Path(__file__).parents[2] / "docs"
THEMES = [
    "fusion",
    "synchronise",
    "align",
    "missing-and-noise",
    "space-and-segments",
    "features",
    "store-and-scale",
    "interchange",
    "encoders",
    "compare",
    "joint",
    "keypoints",
]
BLOCK = re.compile(r"```(console|python)\n(.*?)```", re.S)


def commands_of(text: str) -> list[str]:
    """The lines behind a ``$``; a line that ends in a backslash goes on in the next."""
    return re.findall(r"^\$ (.*)$", text.replace("\\\n", " "), re.M)


@pytest.mark.slow
@pytest.mark.parametrize("theme", THEMES)
def test_the_page_runs(theme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if theme == "keypoints" and not (find_spec("ai_edge_litert") and find_spec("mediapipe")):
        pytest.skip("the extra keypoints or its models are not installed")
    text = (DOCS / f"{theme}.md").read_text(encoding="utf-8")
    found = BLOCK.findall(text)
    assert any(language == "console" for language, _ in found), "a page without a command"
    assert re.search(r"!\[[^]]+\]\(images/[^)]+\)", text), "a page without a picture"
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    for language, block in found:
        if language == "python":
            exec(compile(block, f"docs/{theme}.md", "exec"), names)
            continue
        for command in commands_of(block):
            program, *argv = shlex.split(command)
            assert program == "plait", f"{command}: only plait's own commands can be run here"
            assert main(argv) == 0, command
