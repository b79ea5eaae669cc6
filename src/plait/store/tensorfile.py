"""Arrays in one safetensors file: written atomically, piece by piece; read by memory map; damage detected on open."""

from __future__ import annotations

import errno
import json
import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypedDict

import numpy as np
from numpy.typing import NDArray

from plait.core.atomic import open_file, replacing
from plait.core.errors import DataError
from plait.streams.stream import Values

__all__ = ["Pieces", "TensorFile", "open_tensors", "write_tensors"]

log = logging.getLogger("plait")

KINDS: dict[str, np.dtype[Any]] = {
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
    "I64": np.dtype(np.int64),
    "U8": np.dtype(np.uint8),
}
LETTERS = {kind: name for name, kind in KINDS.items()}

SMALL = 1 << 14
"""Bytes up to which a file is read whole: a map costs as much, and a process may have only about 65,000 maps."""

EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
"""System errors for a lack of resources, not of a damaged file."""


class _About(TypedDict):
    """An array in the header, as safetensors defines it."""

    dtype: str
    shape: list[int]
    data_offsets: list[int]


@dataclass(frozen=True)
class Pieces:
    """An array that is never in memory whole: its shape, and its parts in order along the first axis."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    parts: Iterable[NDArray[np.generic]]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def write_tensors(path: Path, tensors: Mapping[str, NDArray[np.generic] | Pieces], notes: Mapping[str, str]) -> None:
    """Write arrays of float32, float64, int64 or uint8 in the order given, and notes in the header; atomically.

    Pass arrays of 8-byte numbers before those of 4 and 1 bytes, so that each is aligned.

    Raises:
        OSError: the folder does not exist, or the disk is full.
    """
    with replacing(path) as part, open(part, "wb") as out:
        out.write(_head(tensors, notes))
        for tensor in tensors.values():
            for piece in tensor.parts if isinstance(tensor, Pieces) else [tensor]:
                np.ascontiguousarray(piece).tofile(out)


@dataclass(frozen=True)
class TensorFile:
    """A file of `write_tensors`: its notes, and its arrays as read-only views of the mapped file."""

    path: Path
    notes: dict[str, str]
    _about: dict[str, _About]
    _start: int

    def tensors(self) -> dict[str, Values]:
        """All arrays. Nothing is read from disk before it is used."""
        content = _content(self.path)
        return {name: self._view(content, about) for name, about in self._about.items()}

    def _view(self, content: memoryview, about: _About) -> Values:
        shape, kind = tuple(about["shape"]), KINDS[about["dtype"]]
        if 0 in shape:  # frombuffer refuses an empty buffer
            empty: Values = np.empty(shape, kind)
            empty.setflags(write=False)
            return empty
        found: Values = np.frombuffer(content, kind, math.prod(shape), self._start + about["data_offsets"][0])
        return found.reshape(shape)


def open_tensors(path: Path, format: str) -> TensorFile | None:
    """Read the header; None if there is no file, or if it is truncated or foreign (with a warning).

    Raises:
        DataError: the process has too many open files.
    """
    try:
        with open_file(path) as file:
            return _parse(path, file, format)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, OSError) and error.errno in EXHAUSTED:  # nothing is wrong with the file
            raise DataError(
                f"{path}: cannot be opened ({error.strerror}). Raise the limit of open files (ulimit -n), or ask for "
                "fewer workers."
            ) from error
        log.warning("%s: not a whole file of features (%s); it will be rebuilt", path, error)
        return None


def _content(path: Path) -> memoryview:
    """A whole file as a read-only buffer that keeps no file open."""
    # `numpy.memmap` keeps a file handle per array, and a trainer holds thousands; Arrow's map survives the closing.
    if path.stat().st_size <= SMALL:
        return memoryview(path.read_bytes())
    import pyarrow as pa  # slow to import; only who reads features needs it

    with pa.memory_map(str(path), "r") as file:
        return memoryview(file.read_buffer())


def _head(tensors: Mapping[str, NDArray[np.generic] | Pieces], notes: Mapping[str, str]) -> bytes:
    """The safetensors header: its length, then JSON padded so that the data begin at a multiple of 8."""
    header: dict[str, object] = {"__metadata__": dict(notes)}
    at = 0
    for name, tensor in tensors.items():
        offsets = [at, at + tensor.nbytes]
        header[name] = {"dtype": LETTERS[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        at += tensor.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _parse(path: Path, file: BinaryIO, format: str) -> TensorFile:
    """Read the header.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: the file is truncated, or not of the format.
    """
    size, length = path.stat().st_size, file.read(8)
    count = int.from_bytes(length, "little")
    if len(length) < 8 or count > size - 8:
        raise ValueError(f"{size} bytes are too few")
    about = json.loads(file.read(count))
    notes = about.pop("__metadata__")
    if notes["format"] != format:
        raise ValueError("another format")
    end = max(one["data_offsets"][1] for one in about.values())
    # The exact size: a copy that was cut short would otherwise only fail when its last rows are read.
    if size != 8 + count + end:
        raise ValueError(f"{size} bytes, but its header tells of {8 + count + end}")
    return TensorFile(path, notes, about, 8 + count)
