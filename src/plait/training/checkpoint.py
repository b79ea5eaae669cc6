"""Checkpoints as safetensors files: tensors as they are, everything else as JSON, nothing pickled."""

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
from plait.core.parts import Options
from plait.tokens.tensors import save_tensors

__all__ = ["SafeCheckpoints", "read_tree", "write_tree"]


def write_tree(path: Path, tree: object) -> None:
    """Write nested dicts, lists, numbers, strings and tensors to one file, atomically.

    Raises:
        TypeError: the tree holds a value of another type.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_pack(tree, tensors))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        save_tensors(tensors, part, {"tree": text, "sha256": _digest(text)})


def read_tree(path: Path) -> Any:
    """What `write_tree` wrote.

    Raises:
        DataError: the file is missing, truncated or not a checkpoint of plait.
    """
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            # safetensors has no checksum: a damaged header can still be valid JSON.
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
        # A clone, since safetensors refuses tensors that share memory.
        tensors[name] = node.detach().cpu().clone().contiguous()
        return {"tensor": name}
    if isinstance(node, dict):
        # Pairs, since JSON would turn keys that are numbers into texts.
        return {"dict": [[_pack(k, tensors), _pack(v, tensors)] for k, v in node.items()]}
    if isinstance(node, list | tuple):
        # Subclasses (torch.Size, named tuples) become lists: their constructors are not known here.
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
    """Lightning's interface to `write_tree` and `read_tree`."""

    def save_checkpoint(
        self, checkpoint: dict[str, object], path: str | Path, storage_options: object | None = None
    ) -> None:
        write_tree(Path(path), checkpoint)

    def load_checkpoint(
        self, path: str | Path, map_location: object | None = None, weights_only: bool | None = None
    ) -> Options:
        tree: Options = read_tree(Path(path))
        if map_location is not None:
            tree = torch.utils._pytree.tree_map_only(Tensor, _to(map_location), tree)
        return tree

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)


def _to(place: Any) -> Any:
    return lambda tensor: place(tensor, "cpu") if callable(place) else tensor.to(place)
