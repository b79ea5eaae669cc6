"""Every packing keeps its two laws, and a file of packed weights says what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from plait.core.errors import DataError
from plait.core.parts import Spec, build, parts
from plait.packing import Packing
from plait.packing.exact import Exact
from plait.packing.file import KEY, read_weights, write_packed
from plait.packing.fp16 import Fp16
from plait.testing import LawBroken, check_packing
from plait.tokens.tensors import load_tensors, save_tensors

SPECS: list[Spec] = [*parts(Packing), {"name": "int4", "group": 1}, {"name": "int4", "group": 7}]


@pytest.mark.parametrize("name", parts(Packing))
def test_the_public_law_holds(name: str) -> None:
    check_packing(parts(Packing)[name])


class Boastful(Fp16):
    """Says that nothing is rounded."""

    def error(self, weight: Tensor) -> Tensor:
        return torch.zeros(weight.shape)


class Short(Exact):
    """Forgets a byte of its size."""

    def size(self, like: Tensor) -> int:
        return super().size(like) - 1


@pytest.mark.parametrize(("cls", "law"), [(Boastful, "error"), (Short, "size")])
def test_the_public_law_can_fail(cls: type[Packing], law: str) -> None:
    with pytest.raises(LawBroken, match=law):
        check_packing(cls)


def packing_of(spec: Spec) -> Packing:
    return build(Packing, spec, where="test")


@st.composite
def weights(draw: st.DrawFn) -> Tensor:
    """Matrices, filters and vectors with values of any scale, rows of zeros among them."""
    shape = draw(st.lists(st.integers(1, 9), min_size=0, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    values = rng.standard_t(2, shape) * 10.0 ** draw(st.integers(-9, 2))
    if shape and draw(st.booleans()):
        values[rng.random(shape[0]) < 0.5] = 0
    return torch.tensor(np.clip(values, -6e4, 6e4), dtype=torch.float32)


@pytest.mark.parametrize("spec", SPECS, ids=str)
@given(weight=weights())
def test_unpacking_is_within_the_stated_error_and_size(spec: Spec, weight: Tensor) -> None:
    packing = packing_of(spec)
    assert packing.takes(weight)
    data = packing.encode(weight)
    assert len(data) == packing.size(weight)
    back = packing.decode(data, torch.empty_like(weight))
    assert (back.shape, back.dtype) == (weight.shape, weight.dtype)
    assert bool(((back - weight).abs() <= packing.error(weight)).all())
    assert packing.error(weight).shape == weight.shape


@pytest.mark.parametrize("spec", [spec for spec in SPECS if spec != {"name": "int4", "group": 1}], ids=str)
def test_the_stated_error_is_not_idle(spec: Spec) -> None:
    packing, weight = packing_of(spec), torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    off = (packing.decode(packing.encode(weight), weight) - weight).abs()
    assert bool((off >= 0.5 * packing.error(weight)).any())


@pytest.mark.parametrize(("name", "share"), [("fp16", 1 / 2), ("int8", 1 / 4), ("int4", 1 / 8)])
def test_sizes_are_the_named_bits(name: str, share: float) -> None:
    weight = torch.zeros(128, 512)
    assert share <= packing_of(name).size(weight) / (4 * weight.numel()) <= 1.13 * share


def test_int8_is_the_naive_loop() -> None:
    weight = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(1))
    packing = packing_of("int8")
    back = packing.decode(packing.encode(weight), weight)
    for channel, own in zip(weight.numpy(), back.numpy()):
        scale = np.abs(channel).max() / 127
        assert np.allclose(own, [[round(x / scale) * scale for x in row] for row in channel.tolist()], atol=1e-6)


def test_int4_is_the_naive_loop() -> None:
    weight = torch.randn(3, 10, generator=torch.Generator().manual_seed(1))
    packing = packing_of({"name": "int4", "group": 4})
    back = packing.decode(packing.encode(weight), weight).numpy()
    for row, own in zip(weight.numpy(), back):
        for start in range(0, 10, 4):
            group = row[start : start + 4]
            scale = float(np.float16(np.abs(group).max() / 7))
            assert np.allclose(own[start : start + 4], [round(x / scale) * scale for x in group.tolist()], atol=1e-6)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
@pytest.mark.parametrize("name", ["fp16", "int8", "int4"])
def test_what_would_overflow_is_not_taken(name: str, value: float) -> None:
    assert not packing_of(name).takes(torch.tensor([[value, 1.0]]))
    assert not packing_of(name).takes(torch.tensor([[1, 2]]))


LIKE = {"a": torch.zeros(4, 6), "n": torch.zeros(3, dtype=torch.int64)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    weights = {"a": torch.arange(24.0).reshape(4, 6), "n": torch.tensor([1, 2, 3])}
    write_packed(path, weights, {"a": "int8", "n": "exact"})
    return path


def test_a_file_of_packed_weights_is_read_by_the_models_shapes(file: Path) -> None:
    found = read_weights(file, LIKE)
    assert found["n"].tolist() == [1, 2, 3]
    assert torch.allclose(found["a"], torch.arange(24.0).reshape(4, 6), atol=0.1)


def test_a_file_that_is_not_packed_is_read_as_it_is(tmp_path: Path) -> None:
    save_tensors({"a": torch.ones(2)}, tmp_path / "plain")
    assert read_weights(tmp_path / "plain", {})["a"].tolist() == [1, 1]


def rewritten(file: Path, told: object = None, **changed: Tensor) -> Path:
    packings = json.dumps({"a": "int8", "n": "exact"} if told is None else told)
    save_tensors(load_tensors(file) | changed, file, {KEY: packings})
    return file


@pytest.mark.parametrize(
    "told",
    [[], {"a": "int9"}, {"a": 5}, {"a": {"name": "int4", "group": 0}}, {"a": {"name": "int4", "groups": 1}}]
    + [{"a": "int4"}, {"a": "nowhere.at_all.Part"}, {"a": "plait.encoders.linear.Linear"}],
)
def test_a_garbled_list_of_packings_is_told(file: Path, told: object) -> None:
    with pytest.raises(DataError, match=r"model.safetensors: .*garbled.*Compress the run again"):
        read_weights(rewritten(file, told), LIKE)


@pytest.mark.parametrize(
    "stored",
    [torch.zeros(5, dtype=torch.uint8), torch.zeros(0, dtype=torch.uint8), torch.ones(4, 6)]
    + [torch.full((9,), 255, dtype=torch.uint8)],
)
def test_bytes_that_are_no_weights_are_told(file: Path, stored: Tensor) -> None:
    with pytest.raises(DataError, match=r"model.safetensors: 'a' is garbled"):
        read_weights(rewritten(file, a=stored), LIKE)


def test_a_small_file_cannot_fill_the_memory(file: Path) -> None:
    import zlib

    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = stream.compress(bytes(20_000_000)) + stream.flush()
    assert len(bomb) < 30_000
    with pytest.raises(DataError, match="it is not the 40 bytes"):
        read_weights(rewritten(file, a=torch.from_numpy(np.frombuffer(bomb, np.uint8).copy())), LIKE)


def test_text_in_place_of_the_list_is_told(file: Path) -> None:
    save_tensors(load_tensors(file), file, {KEY: "["})
    with pytest.raises(DataError, match="list of packings is garbled"):
        read_weights(file, LIKE)
