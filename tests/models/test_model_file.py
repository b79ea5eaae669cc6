"""A damaged model is told as such, whatever the damage; nothing is imported, hangs or swells for it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from plait.core.errors import DataError
from plait.models.model import Model
from plait.tasks.classify import Classify
from plait.tasks.regress import Regress


@pytest.fixture(params=["classify", "regress"])
def saved(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    task = Classify(["x", "y"]) if request.param == "classify" else Regress([1.0, 2.0])
    Model({"a": 3, "b": 2}, task, dim=8).save(tmp_path)
    return tmp_path


VALUES: list[Any] = [None, -1, 0, 1e300, 10**30, float("nan"), "x", "x" * 5000, [], [1], {}, {"a": 1}, [[]], True]


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path, *(p for key, value in inner for p in places(value, (*path, key)))]


def changed(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    first, *rest = path
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[first] = changed(copy[first], tuple(rest), value)
    return copy


def test_any_value_in_any_place_loads_or_is_told(saved: Path) -> None:
    path = saved / "model.json"
    described = json.loads(path.read_text())
    told = []
    begun = time.process_time()
    for i, place in enumerate(places(described)):
        for value in VALUES[i % 3 :: 3]:
            path.write_text(json.dumps(changed(described, place, value)))
            try:
                Model.load(saved)
            except DataError as error:
                told.append(str(error))
    assert len(told) > 100
    assert all(str(saved) in text and len(text) < 3000 for text in told)
    assert time.process_time() - begun < 60


@pytest.mark.parametrize("key", ["format", "dims", "dim", "encoders", "fusion", "task", "task_state", "missing"])
def test_a_key_that_is_gone_is_named(saved: Path, key: str) -> None:
    path = saved / "model.json"
    described = json.loads(path.read_text())
    del described[key]
    path.write_text(json.dumps(described))
    with pytest.raises(DataError, match=f"garbled at {key}" if key != "format" else "expected the format"):
        Model.load(saved)


def test_all_that_is_garbled_is_told_at_once(saved: Path) -> None:
    path = saved / "model.json"
    described = json.loads(path.read_text())
    described |= {"dim": -1, "unimodal_weight": "much", "more": 1, "dims": {"a": 3, "c": 0}}
    path.write_text(json.dumps(described))
    with pytest.raises(DataError) as error:
        Model.load(saved)
    assert len(error.value.problems) == 5
    assert error.value.problems[-1].endswith("copy it again from where it was fitted.")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def gone(path: Path) -> None:
    path.unlink()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(1000))


def nested(path: Path) -> None:
    path.write_text("[" * 200_000)


def long_header(path: Path) -> None:
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")


def shapes(path: Path) -> None:
    if path.suffix == ".safetensors":
        save_file({name: torch.zeros(7) for name in load_file(path)}, path)
    else:
        path.write_text("[1]")


@pytest.mark.parametrize("damage", [cut, empty, folder, gone, pipe, noise, nested, long_header, shapes])
@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
@pytest.mark.timeout(60)
def test_damaged_files(saved: Path, name: str, damage: Callable[[Path], None]) -> None:
    damage(saved / name)
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        Model.load(saved)
