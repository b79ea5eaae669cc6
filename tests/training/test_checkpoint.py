from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plait.core.errors import DataError
from plait.training.checkpoint import SafeCheckpoints, read_tree, write_tree

numbers = st.one_of(st.integers(-(2**60), 2**60), st.floats(allow_nan=False))
leaves = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=8))
trees = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=5), st.integers(0, 9)), inner, max_size=3),
    ),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees)
def test_what_is_written_is_read_again(tmp_path: Path, tree: object) -> None:
    write_tree(tmp_path / "x.ckpt", tree)
    assert read_tree(tmp_path / "x.ckpt") == tree


def test_tensors_keep_type_and_bits(tmp_path: Path) -> None:
    moments = {"step": torch.tensor(3.0), "v": torch.randn(2, 3, dtype=torch.float64)}
    tree = {"state": {0: moments}, "i": torch.arange(3)}
    write_tree(tmp_path / "x.ckpt", tree)
    found = read_tree(tmp_path / "x.ckpt")
    assert torch.equal(found["state"][0]["v"], tree["state"][0]["v"])
    assert found["i"].dtype == torch.int64
    loaded = SafeCheckpoints().load_checkpoint(tmp_path / "x.ckpt", map_location="cpu")
    assert torch.equal(loaded["i"], tree["i"])


def test_a_truncated_checkpoint_is_a_data_error(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    write_tree(path, {"a": torch.zeros(100)})
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(DataError, match="not a whole plait checkpoint"):
        read_tree(path)


def test_what_json_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cannot hold"):
        write_tree(tmp_path / "x.ckpt", {"a": object()})
    assert not list(tmp_path.iterdir())
