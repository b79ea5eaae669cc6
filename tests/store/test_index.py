"""The index on disk: what it finds, and what it says of damage."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from plait.core.errors import ConfigError, DataError
from plait.store.index import FILE, LISTS, ROWS, VECTORS, Row, VectorIndex


def unit(rows: int, width: int = 16, seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def index(rows: int = 300) -> VectorIndex:
    return VectorIndex(unit(rows), [Row(f"r{i}", float(i), i + 1.0, f"g{i % 7}", "é" * (i % 3)) for i in range(rows)])


def test_exact_search_is_sorting_all_products() -> None:
    own, queries = index(), unit(5, seed=1)
    found = own.search(queries, 4)
    want = np.argsort(-(queries @ own.vectors.T), 1)[:, :4]
    assert found.places.tolist() == want.tolist()
    np.testing.assert_allclose(found.similarity, np.take_along_axis(queries @ own.vectors.T, want, 1), atol=1e-6)
    assert own.search(queries, 1000).places.shape == (5, 300), "no more rows than there are"


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    own = index()
    own.about["model"] = "abc"
    own.write(tmp_path)
    again = VectorIndex.open(tmp_path)
    assert list(again.rows) == list(own.rows)
    assert again.about["model"] == "abc"
    np.testing.assert_array_equal(again.vectors, own.vectors)
    assert not list(tmp_path.glob("*.pkl"))


def test_a_search_by_lists_finds_what_exact_search_finds(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    own = index(2000).build_lists()
    assert own.recall(unit(50, seed=2)) > 0.95
    assert index(50).build_lists().lists is None, "too few to learn lists from"
    own.write(tmp_path)
    again, query = VectorIndex.open(tmp_path), unit(3, seed=3)
    assert (again.search(query, 5, exact=False).places == own.search(query, 5, exact=False).places).all()
    # The similarities are those of the vectors, not of their 4 bits.
    found = again.search(query, 5, exact=False)
    np.testing.assert_allclose(found.similarity[0], again.vectors[found.places[0]] @ query[0], atol=1e-6)


@pytest.mark.parametrize("name", [VECTORS, ROWS, LISTS, FILE])
@pytest.mark.parametrize("harm", ["flip", "cut", "gone"])
def test_damage_is_told(tmp_path: Path, name: str, harm: str) -> None:
    pytest.importorskip("faiss")
    index(1000).build_lists().write(tmp_path)
    path = tmp_path / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x15
    {"flip": lambda: path.write_bytes(data), "cut": lambda: path.write_bytes(data[:-9]), "gone": path.unlink}[harm]()
    with pytest.raises(DataError, match="plait index"):
        VectorIndex.open(tmp_path)


def test_files_of_another_index_do_not_fit(tmp_path: Path) -> None:
    index(20).write(tmp_path / "a")
    index(30).write(tmp_path / "b")
    (tmp_path / "a" / ROWS).write_bytes((tmp_path / "b" / ROWS).read_bytes())
    with pytest.raises(DataError, match="is not as it was written"):
        VectorIndex.open(tmp_path / "a")
    about = json.loads((tmp_path / "a" / FILE).read_text(encoding="utf-8"))
    assert set(about["files"]) == {VECTORS, ROWS}


def test_wrong_questions_are_refused() -> None:
    own = index(5)
    with pytest.raises(DataError, match=r"expected \[queries, 16\]"):
        own.search(np.zeros((1, 3), np.float32))
    with pytest.raises(ConfigError, match="lists for a search by them"):
        own.search(unit(1), exact=False)
    with pytest.raises(ConfigError, match="expected 1 or more"):
        own.search(unit(1), 0)
    with pytest.raises(DataError, match="one row or more"):
        VectorIndex(np.zeros((0, 3), np.float32), [])
