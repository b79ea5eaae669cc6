"""Packed weights in a safetensors file.

Each tensor is a row of bytes under its own name, deflated: codes of trained weights are far from evenly spread, and
rows of zeros cost nothing (Han et al. 2016, "Deep compression", ICLR, section 4, codes them by Huffman too). The file's
metadata names each tensor's packing; shapes and types are those of the model that ``model.json`` describes.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from plait.core.atomic import replacing
from plait.core.errors import DataError, PlaitError, raise_all
from plait.core.parts import Spec, build
from plait.core.safe_yaml import brief
from plait.packing import Packing
from plait.tokens.tensors import load_tensors, metadata_of, save_tensors

__all__ = ["read_weights", "write_packed"]

KEY = "plait packed 1"


def write_packed(path: Path, weights: Mapping[str, Tensor], packings: Mapping[str, Spec]) -> None:
    """Write every tensor by the packing of its name.

    Raises:
        OSError: the folder is not writable, or the disk is full.
    """
    made = {name: _deflated(_built(packings[name]).encode(value)) for name, value in weights.items()}
    with replacing(path, durable=True) as part:
        save_tensors(made, part, {KEY: json.dumps(dict(packings), separators=(",", ":"))})


def read_weights(path: Path, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a model's file, packed or not.

    Args:
        path: the file.
        like: the model's own tensors, for shapes and types; tensors of other names come as they are.

    Raises:
        OSError: as `load_tensors`.
        DataError: packed tensors do not have the bytes that they should; all at once.
    """
    found, told = load_tensors(path), metadata_of(path).get(KEY)
    if told is None:
        return found
    packings, problems = _packings(path, told), list[str]()
    for name in packings.keys() & found.keys() & like.keys():
        try:
            found[name] = _unpacked(found[name], _built(packings[name]), like[name])
        except (PlaitError, ValueError, zlib.error) as error:
            problems.append(f"{path}: {brief(name)} is garbled ({brief(error, 200)}). Compress the run again.")
    raise_all(DataError, sorted(problems))
    return found


def _packings(path: Path, told: str) -> dict[str, Spec]:
    try:
        found = json.loads(told)
        if isinstance(found, dict):
            return found
    except (ValueError, RecursionError):
        pass
    raise DataError(f"{path}: its list of packings is garbled. Compress the run again.")


def _built(spec: Spec) -> Packing:
    return build(Packing, spec, where="packing")


def _deflated(data: bytes) -> Tensor:
    """The smaller of two streams of DEFLATE (RFC 1951): with repeats, and by the frequencies of bytes alone."""
    tried = []
    for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY):
        stream = zlib.compressobj(9, zlib.DEFLATED, -15, 9, strategy)
        tried.append(stream.compress(data) + stream.flush())
    return torch.from_numpy(np.frombuffer(min(tried, key=len), np.uint8).copy())


def _unpacked(stored: Tensor, packing: Packing, like: Tensor) -> Tensor:
    if stored.dtype != torch.uint8 or stored.ndim != 1:
        raise ValueError(f"{stored.dtype} {list(stored.shape)}; expected a row of bytes")
    size, stream = packing.size(like), zlib.decompressobj(-15)
    # never more than one byte too many: a small file could otherwise fill the memory
    data = stream.decompress(stored.numpy().tobytes(), size + 1)
    if len(data) != size or not stream.eof:
        raise ValueError(f"it is not the {size} bytes that {list(like.shape)} numbers take")
    return packing.decode(data, like)
