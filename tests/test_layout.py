"""No module imports another that imports it, not even through others or within a function."""

from __future__ import annotations

from graphlib import TopologicalSorter

import pytest


@pytest.mark.slow
def test_no_module_imports_itself_by_a_circle() -> None:
    grimp = pytest.importorskip("grimp", reason="grimp is not installed (it comes with import-linter)")
    graph = grimp.build_graph("plait", exclude_type_checking_imports=True, cache_dir=None)
    imported = {m: graph.find_modules_directly_imported_by(m) for m in graph.modules}
    assert len(imported) > 400
    assert list(TopologicalSorter(imported).static_order()), "a circle is a CycleError, which names it"
    assert not [m for m in imported if m != "plait" and "plait" in imported[m]], "nothing imports plait from below"
