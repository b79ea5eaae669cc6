"""No circle of imports, not even through others or within a function; tests read public names, or their own."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest


@pytest.mark.slow
def test_no_module_imports_itself_by_a_circle() -> None:
    grimp = pytest.importorskip("grimp", reason="grimp is not installed (it comes with import-linter)")
    graph = grimp.build_graph("plait", exclude_type_checking_imports=True, cache_dir=None)
    imported = {m: graph.find_modules_directly_imported_by(m) for m in graph.modules}
    assert len(imported) > 400
    assert list(TopologicalSorter(imported).static_order()), "a circle is a CycleError, which names it"
    assert not [m for m in imported if m != "plait" and "plait" in imported[m]], "nothing imports plait from below"


def test_no_test_reads_private_names_of_another_package() -> None:
    tests = Path(__file__).parent
    for path in tests.rglob("*.py"):
        own = path.relative_to(tests).parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("plait."):
                home = str(node.module).split(".")
                names = [*home, *(alias.name for alias in node.names)]
                hidden = [n for n in names if n.startswith("_") and not n.startswith("__")]
                assert not hidden or home[1] == own, f"{path}: {hidden} of {node.module}"
