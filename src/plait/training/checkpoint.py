"""Checkpoints as safetensors: numbers as tensors, everything else as JSON, nothing pickled."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.checkpoint_io import CheckpointIO
from safetensors import SafetensorError, safe_open
from torch import Tensor

from plait.core.atomic import replacing
from plait.core.errors import DataError
from plait.tokens.tensors import save_tensors

__all__ = ["SafeCheckpoints", "read_tree", "write_tree"]


def write_tree(path: Path, tree: object) -> None:
    """Write nested dicts, lists, numbers, strings and tensors to one file, atomically.

    Raises:
        TypeError: something in the tree is none of these.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_pack(tree, tensors))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        save_tensors(tensors, part, {"tree": text, "sha256": _digest(text)})


def read_tree(path: Path) -> Any:
    """What `write_tree` wrote.

    Raises:
        DataError: the file is missing, truncated or not such a file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            if _digest(facts["tree"]) != facts["sha256"]:
                raise ValueError("its contents do not fit its checksum")
            return _unpack(json.loads(facts["tree"]), file)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: is not a whole plait checkpoint ({error}). Delete it to start anew.") from error


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _pack(node: object, tensors: dict[str, Tensor]) -> object:
    if isinstance(node, Tensor):
        name = str(len(tensors))
        tensors[name] = node.detach().cpu().clone().contiguous()
        return {"tensor": name}
    if isinstance(node, dict):
        return {"dict": [[_pack(k, tensors), _pack(v, tensors)] for k, v in node.items()]}
    if isinstance(node, list | tuple):
        return {type(node).__name__ if type(node) in (list, tuple) else "list": [_pack(x, tensors) for x in node]}
    if node is None or isinstance(node, bool | int | float | str):
        return node
    if isinstance(node, Path):
        return str(node)
    raise TypeError(f"a checkpoint cannot hold {type(node).__name__}: {node!r}")


def _unpack(node: object, file: Any) -> Any:
    if not isinstance(node, dict):
        return node
    ((kind, content),) = node.items()
    if kind == "tensor":
        return file.get_tensor(content)
    if kind == "dict":
        return {_unpack(k, file): _unpack(v, file) for k, v in content}
    items = [_unpack(x, file) for x in content]
    return tuple(items) if kind == "tuple" else items


class SafeCheckpoints(CheckpointIO):
    """Lightning's door to `write_tree` and `read_tree`."""

    def save_checkpoint(self, checkpoint: dict[str, object], path: Any, storage_options: object | None = None) -> None:
        write_tree(Path(path), checkpoint)

    def load_checkpoint(self, path: Any, map_location: Any | None = None, weights_only: bool | None = None) -> Any:
        tree = read_tree(Path(path))
        return tree if map_location is None else torch.utils._pytree.tree_map_only(Tensor, _to(map_location), tree)

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def _to(place: Any) -> Any:
    return lambda tensor: place(tensor, "cpu") if callable(place) else tensor.to(place)
