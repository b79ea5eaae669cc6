"""The documentation site builds without a warning, describes every public name, and asks no other host for anything."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import pkgutil
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import plait

ROOT = Path(__file__).parents[2]
NEEDED = [name for name in ("mkdocs", "material", "mkdocstrings_handlers") if importlib.util.find_spec(name) is None]
LOADED = re.compile(
    r"<(?!a\b)\w+\b[^>]*?\b(?:href|src|srcset|data|action)\s*=\s*[\"']?((?:https?:)?//[^\"'\s>]+)", re.I
)
OF_STYLE = re.compile(r"(?:url\(|@import\s+)[\"']?((?:https?:)?//[^\"')\s]+)", re.I)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if NEEDED:
        pytest.skip(f"the site needs {', '.join(NEEDED)}: pip install -e '.[docs]'")
    out = tmp_path_factory.mktemp("site")
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "-d", str(out)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def public_names() -> list[str]:
    """What each module that is not private says of itself when it is imported: not read as the site reads it."""
    modules = ["plait", *(m.name for m in pkgutil.walk_packages(plait.__path__, "plait."))]
    public = [m for m in modules if not any(part.startswith("_") for part in m.split("."))]
    return [f"{m}.{n}" for m in public for n in getattr(importlib.import_module(m), "__all__", ())]


@pytest.mark.slow
def test_every_public_name_is_in_the_reference(site: Path) -> None:
    found = {i for page in (site / "reference").glob("*.html") for i in re.findall(r'id="([^"]+)"', page.read_text())}
    names = public_names()
    assert len(names) > 900
    assert [name for name in names if name not in found] == []


@pytest.mark.slow
def test_no_page_asks_another_host(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 40
    asked = [(page.name, url) for page in pages for url in LOADED.findall(page.read_text(encoding="utf-8"))]
    asked += [(p.name, u) for p in site.rglob("*.css") for u in OF_STYLE.findall(p.read_text(encoding="utf-8"))]
    assert asked == []


@pytest.mark.slow
def test_the_search_works_from_disk(site: Path) -> None:
    index = (site / "search/search_index.js").read_text(encoding="utf-8")
    assert index.startswith("var __index = ")
    found = json.loads(index.removeprefix("var __index = "))["docs"]
    assert any("plait.training.fit.fit" in entry["location"] for entry in found)
    assert "assets/iframe-worker.js" in (site / "index.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_doctests_are_code_and_names_are_links(site: Path) -> None:
    page = (site / "reference/plait.training.html").read_text(encoding="utf-8")
    assert "&gt;&gt;&gt; " in re.sub(r"<[^>]+>", "", page)
    assert "<blockquote>" not in page
    assert re.search(r'href="plait\.recipe\.html#plait\.recipe\.quick_recipe"', page)


def test_what_is_loaded_is_told_from_what_is_linked() -> None:
    page = (
        '<a href="https://one.org">x</a> <script src="https://two.org/x.js"></script> <link rel="x" href="//three.org">'
    )
    assert LOADED.findall(page) == ["https://two.org/x.js", "//three.org"]


def test_the_picture_of_the_packages_is_up_to_date() -> None:
    made = runpy.run_path(str(ROOT / "docs/pictures/architecture.py"))
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert made["with_table"](page) == page, "run: python docs/pictures/architecture.py"
    assert (ROOT / "docs/images/architecture.svg").read_text(encoding="utf-8") == made["picture"]()


def test_what_the_architecture_names_is_there() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    names = set(re.findall(r"`(plait(?:\.\w+)+)`", page))
    assert len(names) > 50
    assert [name for name in sorted(names) if not _is_there(name)] == []
    files = set(re.findall(r"`((?:\w+/)*\w+\.(?:py|html\.j2))`", page))
    assert [f for f in sorted(files) if not (ROOT / "src/plait" / f).exists()] == []


def _is_there(name: str) -> bool:
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            if not hasattr(thing, part):
                return False
            thing = getattr(thing, part)
        return True
    return False
